"""A customer database with a plain HTTP API, as sites have them: what the connector HTTP is rehearsed with.

It is no vendor's product. It answers as such APIs do: a key in a header, 202 with a job for an erasure that runs
within the hour, the job's status, deletion at once by username, and a search that answers an empty list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Column, Connection, String, Table

from retirement.sandbox.routing import Call, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

API_KEY = "crm-sandbox-key"
DELAY = timedelta(hours=1)

contact = table_of("crm", "crm_contact", "external_id", "username", "email", "full_name")
#: Jobs hold ids only, and stay.
erasure = table_of("crm", "crm_erasure", "number", "external_id", Column("due_at", String))

UNKNOWN = as_json({"ok": False, "error": "no such contact"}, 404)


def gate(request: Request, world: World) -> Principal:
    if request.headers.get("x-api-key") != API_KEY:
        raise AbortError(as_json({"ok": False, "error": "wrong key"}, 401))
    return NO_ACCOUNT


def ping(_call: Call) -> Answer:
    return as_json({"ok": True})


def erase(call: Call) -> Answer:
    """Makes a job of its own for each request about a contact that is known by id."""
    body = call.request.data(forms=True)
    external_id = body.get("external_id") if isinstance(body, dict) else None
    if not isinstance(external_id, str) or not external_id:
        return as_json({"ok": False, "error": "external_id must be a text"}, 422)
    if call.db.execute(contact.select().where(contact.c.external_id == external_id)).first() is None:
        return UNKNOWN
    row = {
        "number": uuid4().hex,
        "external_id": external_id,
        "due_at": (call.world.now() + DELAY).isoformat(),
        "learner": int(external_id) if external_id.isdecimal() else None,
    }
    call.db.execute(erasure.insert().values(row))
    return as_json({"ok": True, "job": {"id": row["number"], "status": "queued"}}, 202)


def job(call: Call) -> Answer:
    row = call.db.execute(erasure.select().where(erasure.c.number == call.arguments["number"])).first()
    if row is None:
        return as_json({"ok": False, "error": "no such job"}, 404)
    status = "done" if row.due_at <= call.world.now().isoformat() else "queued"
    return as_json({"ok": True, "job": {"id": row.number, "status": status}})


def delete(call: Call) -> Answer:
    named = contact.c.username == call.arguments["rest"]
    deleted = call.db.execute(contact.delete().where(named)).rowcount
    return as_json({"ok": True, "deleted": deleted}) if deleted else UNKNOWN


def search(call: Call) -> Answer:
    email = call.request.query.get("email", [""])[0]
    found = call.db.execute(contact.select().where(contact.c.email == email))
    return as_json({"ok": True, "contacts": [{"external_id": row.external_id} for row in found]})


def _settle(db: Connection, now: datetime) -> None:
    due = erasure.select().where(erasure.c.due_at <= now.isoformat()).with_only_columns(erasure.c.external_id)
    db.execute(contact.delete().where(contact.c.external_id.in_(due)))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    row = {"external_id": str(person.user_id), "username": person.username}
    yield contact, {**row, "email": person.email, "full_name": person.name}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {
        "url": url,
        "header": "X-Api-Key",
        "header_value": API_KEY,
        "request": {"method": "POST", "path": "/api/v1/erasures", "json": {"external_id": "{user_id}"}},
        "accepted_on": [202],
        "absent_on": [404],
        "answer": {"must_have": {"ok": True}, "absent_has": {"error": "no such contact"}},
        "receipt": "job.id",
        "probe": {"path": "/api/v1/ping"},
        "ask": {"path": "/api/v1/erasures/{receipt}", "gone_has": {"job.status": "done"}, "otherwise": "working"},
    }


VENDOR = Vendor(
    name="crm",
    service="HTTP",
    routes=[
        Route("/api/v1/ping", gate, {"GET": ping}),
        Route("/api/v1/erasures", gate, {"POST": erase}),
        Route("/api/v1/erasures/{number}", gate, {"GET": job}),
        Route("/api/v1/contacts", gate, {"GET": search}),
        Route("/api/v1/contacts/{rest}", gate, {"DELETE": delete}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("CRM", "HTTP", "erase")],
    settle=_settle,
)
