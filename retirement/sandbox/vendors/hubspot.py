"""HubSpot: contacts, a search that lags and compares words, erasure within days, a block list (services.md B4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Column, Connection, Integer, String, Table

from retirement.sandbox.routing import Call, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import NO_CONTENT, AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

PRIVATE_APP = "pat-sandbox"
PREFIXES = ("/crm/v3/objects/contacts", "/crm/objects/2026-03/contacts")
#: Between the erasure and its end; the contact is among the archived ones meanwhile.
DELAY = timedelta(days=3)
MOST_RESULTS = 200
FIRST_ID = 5_000_000

contact = table_of(
    "hubspot",
    "hubspot_contact",
    *("email", "hs_additional_emails", "firstname", "lastname"),
    Column("archived", Integer, default=0),
    Column("erase_at", String),
    #: The search does not know the contact before; None: it does.
    Column("indexed_at", String),
)
blocked = table_of("hubspot", "hubspot_block_list", "email")


def _error(status: int, category: str, message: str) -> Answer:
    body = {"status": "error", "message": message, "correlationId": "00000000-sandbox", "category": category}
    return as_json(body, status)


NO_CONTACT = _error(404, "OBJECT_NOT_FOUND", "resource not found")


def gate(request: Request, _world: World) -> Principal:
    if request.headers.get("authorization") != f"Bearer {PRIVATE_APP}":
        raise AbortError(_error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found"))
    return NO_ACCOUNT


def _addresses(row: Any) -> set[str]:
    return {each.strip().lower() for each in (row.email or "", *(row.hs_additional_emails or "").split(";")) if each}


def _shown(row: Any) -> dict[str, Any]:
    properties = {"email": row.email, "hs_additional_emails": row.hs_additional_emails}
    return {"id": str(row.id), "properties": properties, "archived": bool(row.archived)}


def read(call: Call) -> Answer:
    """By id, or by the main address; `archived=true` shows those and no others."""
    path = call.request.raw_path
    part = next(path.removeprefix(f"{each}/") for each in PREFIXES if path.startswith(f"{each}/"))
    if "/" in part:
        return NO_CONTACT
    key = unquote(part)
    archived = call.request.query.get("archived") == ["true"]
    by_email = call.request.query.get("idProperty") == ["email"]
    for row in call.db.execute(contact.select().where(contact.c.archived == int(archived))):
        if (str(row.email).lower() == key.lower()) if by_email else str(row.id) == key:
            return as_json(_shown(row))
    return NO_CONTACT


def _matches(row: Any, condition: Mapping[str, Any]) -> bool:
    held = str(getattr(row, condition["propertyName"]) or "").lower()
    wanted = str(condition["value"]).lower()
    if condition["operator"] == "EQ":
        return held == wanted
    # CONTAINS_TOKEN compares words, so that it finds more than was asked for.
    return set(re.findall(r"\w+", wanted)) <= set(re.findall(r"\w+", held))


def search(call: Call) -> Answer:
    """Groups are alternatives; archived contacts are hidden, and those that are not indexed yet."""
    body = call.request.data()
    groups, limit = body.get("filterGroups"), body.get("limit", 10)
    if not isinstance(groups, list) or not groups or not 0 < limit <= MOST_RESULTS:
        return _error(400, "VALIDATION_ERROR", "Invalid input JSON")
    now = call.world.now().isoformat()
    found = [
        row
        for row in call.db.execute(contact.select().where(contact.c.archived == 0).order_by(contact.c.id))
        if row.indexed_at is None or row.indexed_at <= now
        if any(all(_matches(row, condition) for condition in group["filters"]) for group in groups)
    ]
    start = int(body.get("after", 0))
    page = {"total": len(found), "results": [_shown(row) for row in found[start : start + limit]]}
    if start + limit < len(found):
        page["paging"] = {"next": {"after": str(start + limit)}}
    return as_json(page)


def erase(call: Call) -> Answer:
    """By id, or by an address; an unknown address is no error and goes to the block list."""
    body = call.request.data()
    key = str(body.get("objectId", ""))
    if not key or body.get("idProperty") not in (None, "email"):
        return _error(400, "VALIDATION_ERROR", "objectId is required")
    known = [
        row.id
        for row in call.db.execute(contact.select())
        if (key.lower() in _addresses(row) if "idProperty" in body else str(row.id) == key)
    ]
    if not known and "idProperty" not in body:
        return NO_CONTACT
    if not known:
        call.db.execute(blocked.insert().values(email=key))
    due = (call.world.now() + DELAY).isoformat()
    call.db.execute(contact.update().where(contact.c.id.in_(known)).values(archived=1, erase_at=due))
    return NO_CONTENT


def _settle(db: Connection, now: datetime) -> None:
    db.execute(contact.delete().where(contact.c.erase_at <= now.isoformat()))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    first, _, last = person.name.partition(" ")
    row = {"id": FIRST_ID + person.user_id, "email": person.email.lower(), "firstname": first, "lastname": last}
    yield contact, row | {"hs_additional_emails": None, "archived": 0, "erase_at": None, "indexed_at": None}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url, "token": PRIVATE_APP}


VENDOR = Vendor(
    name="hubspot",
    service="HUBSPOT",
    routes=[
        route
        for prefix in PREFIXES
        for route in (
            Route(f"{prefix}/search", gate, {"POST": search}),
            Route(f"{prefix}/gdpr-delete", gate, {"POST": erase}),
            Route(f"{prefix}/{{rest}}", gate, {"GET": read}),
        )
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("HUBSPOT", "HUBSPOT", "delete_user")],
    settle=_settle,
)
