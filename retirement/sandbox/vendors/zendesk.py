"""Zendesk: a search that lags, deletion in two stages, and what is written in comments (services.md B7)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table

from retirement.sandbox.routing import Call, Manners, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

ADMIN, API_TOKEN = "admin@helpdesk.example", "zendesk-sandbox-token"
#: How long the search is behind, and how long the products take to erase a user.
LAG, DELAY = timedelta(minutes=2), timedelta(hours=2)
ERASED_NAME = "Permanently Deleted User"
FIRST_ID = 900_000
MOST_PER_PAGE = 100
NOT_FOUND = as_json({"error": "RecordNotFound", "description": "Not found"}, 404)

user = table_of(
    "zendesk",
    "zendesk_user",
    *("name", "email", "phone", "role"),
    Column("active", Integer, default=1),
    #: Deleted for good; erased by the products at `scrub_at`.
    Column("erased", Integer, default=0),
    Column("scrub_at", String),
    #: The search still shows a deleted user until then.
    Column("found_until", String),
)
identity = table_of("zendesk", "zendesk_identity", Column("user_id", Integer), "value")
ticket = table_of("zendesk", "zendesk_ticket", Column("requester_id", Integer), "status")
comment = table_of("zendesk", "zendesk_comment", Column("author_id", Integer), "author_name", "body")


def gate(request: Request, _world: World) -> Principal:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind != "Basic" or base64.b64decode(given).decode() != f"{ADMIN}/token:{API_TOKEN}":
        raise AbortError(as_json({"error": "Couldn't authenticate you"}, 401))
    return NO_ACCOUNT


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "email": row.email,
        "phone": row.phone,
        "role": row.role,
        "active": bool(row.active),
    }


def _words(text: str | None) -> set[str]:
    return set(re.findall(r"\w+", (text or "").lower()))


def search(call: Call) -> Answer:
    """`email:"…"` compares words, of all addresses of a user; any other query finds no user."""
    query = re.fullmatch(r'email:"([^"]+)"', call.request.query.get("query", [""])[0])
    wanted = _words(query[1]) if query else set()
    now = call.world.now().isoformat()
    besides: dict[int, list[str]] = {}
    for row in call.db.execute(identity.select()):
        besides.setdefault(row.user_id, []).append(row.value)
    found = []
    for row in call.db.execute(user.select().where((user.c.active == 1) | (user.c.found_until > now))):
        addresses = [row.email, *besides.get(row.id, [])]
        if wanted and any(wanted <= _words(address) for address in addresses):
            found.append({**_shown(row), "active": True})
    page = found[:MOST_PER_PAGE]
    more = "https://sandbox.zendesk.com/api/v2/users/search.json?page=2" if len(found) > len(page) else None
    return as_json({"users": page, "count": len(found), "next_page": more, "previous_page": None})


def _named(call: Call) -> Any:
    number = call.arguments["user"]
    return call.db.execute(user.select().where(user.c.id == (int(number) if number.isdecimal() else -1))).first()


def show(call: Call) -> Answer:
    row = _named(call)
    return as_json({"user": _shown(row)}) if row else NOT_FOUND


def identities(call: Call) -> Answer:
    row = _named(call)
    if row is None or not row.active:
        return NOT_FOUND
    others = call.db.execute(identity.select().where(identity.c.user_id == row.id))
    values = [row.email, *(each.value for each in others)]
    found = [{"id": n, "user_id": row.id, "type": "email", "value": each} for n, each in enumerate(values, 1)]
    return as_json({"identities": found, "count": len(found), "next_page": None})


def delete_softly(call: Call) -> Answer:
    row = _named(call)
    if row is None or not row.active:
        return NOT_FOUND
    open_ones = (ticket.c.requester_id == row.id) & (ticket.c.status != "closed")
    if call.db.execute(ticket.select().where(open_ones)).first():
        details = {"base": [{"description": "User could not be deleted: is requester of open tickets"}]}
        return as_json({"error": "RecordInvalid", "description": "Record validation errors", "details": details}, 422)
    until = (call.world.now() + LAG).isoformat()
    call.db.execute(user.update().where(user.c.id == row.id).values(active=0, found_until=until))
    call.db.execute(identity.delete().where(identity.c.user_id == row.id))
    return as_json({"user": {**_shown(row), "active": False}})


def deleted_users(call: Call) -> Answer:
    """All deleted users, those deleted for good included, by cursor."""
    size = min(int(call.request.query.get("page[size]", ["100"])[0]), MOST_PER_PAGE)
    after = int(call.request.query.get("page[after]", ["0"])[0])
    rows = list(call.db.execute(user.select().where((user.c.active == 0) & (user.c.id > after)).order_by(user.c.id)))
    page = rows[:size]
    meta = {"has_more": len(rows) > size, "after_cursor": str(page[-1].id) if page else None}
    return as_json({"deleted_users": [_shown(row) for row in page], "meta": meta})


def show_deleted(call: Call) -> Answer:
    """Only users that can still be restored."""
    row = _named(call)
    return NOT_FOUND if row is None or row.active or row.erased else as_json({"deleted_user": _shown(row)})


def delete_for_good(call: Call) -> Answer:
    row = _named(call)
    if row is None or row.active or row.erased:
        return NOT_FOUND
    due = (call.world.now() + DELAY).isoformat()
    call.db.execute(user.update().where(user.c.id == row.id).values(erased=1, scrub_at=due))
    return as_json({"deleted_user": {**_shown(row), "email": None, "phone": None}})


def _settle(db: Connection, now: datetime) -> None:
    """An erased user stays as the nameless author of tickets and comments."""
    due = user.c.scrub_at <= now.isoformat()
    for row in list(db.execute(user.select().where(due))):
        db.execute(comment.update().where(comment.c.author_id == row.id).values(author_name=ERASED_NAME))
    db.execute(user.update().where(due).values(name=ERASED_NAME, email=None, phone=None, scrub_at=None))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    number = FIRST_ID + person.user_id
    row = {"id": number, "name": person.name, "email": person.email, "phone": "+34600000000", "role": "end-user"}
    yield user, row | {"active": 1, "erased": 0, "scrub_at": None, "found_until": None}
    yield ticket, {"requester_id": number, "status": "closed"}
    body = f"I cannot sign in as {person.username}. {person.name}"
    yield comment, {"author_id": number, "author_name": person.name, "body": body}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url, "email": ADMIN, "api_token": API_TOKEN}


VENDOR = Vendor(
    name="zendesk",
    service="ZENDESK",
    routes=[
        Route("/api/v2/users/search.json", gate, {"GET": search}),
        Route("/api/v2/users/{user}", gate, {"GET": show, "DELETE": delete_softly}),
        Route("/api/v2/users/{user}/identities", gate, {"GET": identities}),
        Route("/api/v2/deleted_users", gate, {"GET": deleted_users}),
        Route("/api/v2/deleted_users/{user}", gate, {"GET": show_deleted, "DELETE": delete_for_good}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("ZENDESK", "ZENDESK", "delete_user")],
    manners=Manners(
        not_found=as_json({"error": "InvalidEndpoint", "description": "Not found"}, 404),
        failed=as_json({"error": "InternalError", "description": "Internal error"}, 500),
        wrong_method=as_json({"error": "MethodNotAllowed", "description": "Not allowed"}, 405),
        redirects=False,
    ),
    settle=_settle,
    # Text in comments belongs to no field of the user; only redaction removes it (B7).
    survivors={comment.c.body: lambda _row: True},
)
