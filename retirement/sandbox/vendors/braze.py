"""Braze: deletion of profiles within minutes, and the export that shows them (contract services.md B2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, String, Table

from retirement.sandbox.routing import Call, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

API_KEY = "braze-sandbox-key"
MOST_IDS = 50
DELAY = timedelta(minutes=5)

profile = table_of("braze", "braze_profile", "external_id", "email", "first_name", Column("delete_at", String))


def gate(request: Request, world: World) -> Principal:
    if request.headers.get("authorization") != f"Bearer {API_KEY}":
        raise AbortError(as_json({"message": "Invalid API key"}, 401))
    return NO_ACCOUNT


def _ids(call: Call) -> list[str]:
    """The external ids of a body; 400 unless they are one to fifty texts."""
    body = call.request.data()
    ids = body.get("external_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise AbortError(as_json({"message": "'external_ids' must be an array of strings"}, 400))
    if len(ids) > MOST_IDS:
        raise AbortError(as_json({"message": "a maximum of 50 external_ids is allowed"}, 400))
    return ids


def delete(call: Call) -> Answer:
    """Queues; unknown ids are no error and lower the count."""
    due = (call.world.now() + DELAY).isoformat()
    known = profile.c.external_id.in_(_ids(call)) & profile.c.delete_at.is_(None)
    queued = call.db.execute(profile.update().where(known).values(delete_at=due)).rowcount
    return as_json({"deleted": queued, "message": "success"}, 201)


def export(call: Call) -> Answer:
    ids = _ids(call)
    if not call.request.data().get("fields_to_export"):
        return as_json({"message": "'fields_to_export' is required"}, 400)
    found = list(call.db.execute(profile.select().where(profile.c.external_id.in_(ids))))
    users = [{"external_id": row.external_id} for row in found]
    unknown = sorted(set(ids) - {row.external_id for row in found})
    return as_json({"message": "success", "users": users, "invalid_user_ids": unknown}, 201)


def _settle(db: Connection, now: datetime) -> None:
    db.execute(profile.delete().where(profile.c.delete_at <= now.isoformat()))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    yield (
        profile,
        {
            "external_id": str(person.user_id),
            "email": person.email,
            "first_name": person.name.partition(" ")[0],
            "delete_at": None,
        },
    )


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url, "api_key": API_KEY}


VENDOR = Vendor(
    name="braze",
    service="BRAZE",
    routes=[
        Route("/users/delete", gate, {"POST": delete}),
        Route("/users/export/ids", gate, {"POST": export}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("BRAZE", "BRAZE", "delete_user")],
    settle=_settle,
)
