"""Mailchimp: audiences with members, permanent deletion, and the hashes that it keeps (services.md B6)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table

from retirement.sandbox.routing import Call, Manners, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import NO_CONTENT, AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

API_KEY = "0123456789abcdef-us6"
AUDIENCES = ("a1a1a1a1a1", "b2b2b2b2b2", "c3c3c3c3c3")
#: Those whose members the learners of a seed are.
JOINED = AUDIENCES[:2]
PROBLEM = "application/problem+json; charset=utf-8"

member = table_of(
    "mailchimp",
    "mailchimp_member",
    *("list_id", "subscriber_hash", "contact_id", "email_address", "full_name", "status"),
)
#: Who was deleted for good cannot be imported again; so the vendor keeps this.
forgotten = table_of("mailchimp", "mailchimp_forgotten", "list_id", "subscriber_hash")


def hash_of(email: str) -> str:
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def _problem(status: int, title: str, detail: str) -> Answer:
    body = {"type": "https://mailchimp.com/developer/errors/", "title": title, "status": status, "detail": detail}
    answer = as_json(body | {"instance": "00000000-sandbox"}, status)
    return Answer(status, answer.body, PROBLEM)


NOT_FOUND = _problem(404, "Resource Not Found", "The requested resource could not be found.")


def gate(request: Request, _world: World) -> Principal:
    """Basic with any name and the key, or Bearer."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        given = base64.b64decode(given).decode().partition(":")[2]
    if given != API_KEY:
        raise AbortError(_problem(401, "API Key Invalid", "Your API key may be invalid."))
    return NO_ACCOUNT


def _number(call: Call, name: str, default: int) -> int:
    return int(call.request.query.get(name, [str(default)])[0])


def lists(call: Call) -> Answer:
    start, count = _number(call, "offset", 0), _number(call, "count", 10)
    found = [{"id": each} for each in AUDIENCES[start : start + min(count, 1000)]]
    return as_json({"lists": found, "total_items": len(AUDIENCES)})


def _shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.subscriber_hash,
        "contact_id": row.contact_id,
        "list_id": row.list_id,
        "email_address": row.email_address,
        "full_name": row.full_name,
        "status": row.status,
    }


def _found(call: Call) -> Any:
    """The member that a path names by hash, contact id or address; None without one."""
    key = call.arguments["member"]
    named = member.c.subscriber_hash.in_([key, hash_of(key)]) | (member.c.contact_id == key)
    return call.db.execute(member.select().where((member.c.list_id == call.arguments["audience"]) & named)).first()


def show(call: Call) -> Answer:
    row = _found(call)
    return as_json(_shown(row)) if row else NOT_FOUND


def delete_permanent(call: Call) -> Answer:
    row = _found(call)
    if row is None:
        return NOT_FOUND
    call.db.execute(member.delete().where(member.c.id == row.id))
    call.db.execute(forgotten.insert().values(list_id=row.list_id, subscriber_hash=row.subscriber_hash))
    return NO_CONTENT


def search(call: Call) -> Answer:
    query = call.request.query.get("query", [""])[0].lower()
    if not query:
        return _problem(400, "Invalid Resource", "The resource submitted could not be validated.")
    rows = list(call.db.execute(member.select().where(member.c.status != "archived")))
    exact = [_shown(row) for row in rows if row.email_address.lower() == query]
    loose = [_shown(row) for row in rows if query in row.email_address.lower()]
    return as_json(
        {
            "exact_matches": {"members": exact, "total_items": len(exact)},
            "full_search": {"members": loose, "total_items": len(loose)},
        }
    )


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    for audience in JOINED:
        yield (
            member,
            {
                "list_id": audience,
                "subscriber_hash": hash_of(person.email),
                "contact_id": hashlib.md5(f"{audience}/{person.user_id}".encode(), usedforsecurity=False).hexdigest(),
                "email_address": person.email,
                "full_name": person.name,
                "status": "subscribed",
            },
        )


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": f"{url}/3.0", "api_key": API_KEY}


_MEMBER = "/3.0/lists/{audience}/members/{member}"

VENDOR = Vendor(
    name="mailchimp",
    service="MAILCHIMP",
    routes=[
        Route("/3.0/lists", gate, {"GET": lists}),
        Route("/3.0/search-members", gate, {"GET": search}),
        Route(_MEMBER, gate, {"GET": show}),
        Route(f"{_MEMBER}/actions/delete-permanent", gate, {"POST": delete_permanent}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("MAILCHIMP", "MAILCHIMP", "delete_member")],
    manners=Manners(
        not_found=NOT_FOUND,
        failed=_problem(500, "Internal Server Error", "An unexpected error occurred."),
        wrong_method=_problem(405, "Method Not Allowed", "The method is not allowed for this resource."),
        redirects=False,
    ),
)
