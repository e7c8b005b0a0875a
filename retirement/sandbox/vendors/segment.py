"""Segment: regulations of both APIs, which run for days, and suppression that stays (services.md B1)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, String, Table, select

from retirement.sandbox.routing import Call, Gate, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import ecommerce_user, table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

PUBLIC_TOKEN, CONFIG_TOKEN = "segment-public-token", "segment-config-token"
WORKSPACE = "sandbox"
MOST_IDS = 5_000
#: After its creation a regulation is INITIALIZED, then RUNNING, then FINISHED, and at last not shown any more.
RUNS, ENDS, SHOWN = timedelta(days=1), timedelta(days=3), timedelta(days=90)

DELETING = {"SUPPRESS_WITH_DELETE", "SUPPRESS_WITH_DELETE_INTERNAL", "DELETE_ONLY", "DELETE_INTERNAL"}
SUPPRESSING = {"SUPPRESS_ONLY", "SUPPRESS_WITH_DELETE", "SUPPRESS_WITH_DELETE_INTERNAL"}
KINDS = DELETING | SUPPRESSING | {"UNSUPPRESS"}
#: How the Config API spells them.
CONFIG_KINDS = {
    "Suppress": "SUPPRESS_ONLY",
    "Unsuppress": "UNSUPPRESS",
    "Suppress_With_Delete": "SUPPRESS_WITH_DELETE",
    "Delete": "DELETE_ONLY",
}

profile = table_of("segment", "segment_profile", "user_id", "email", "username", "name")
event = table_of("segment", "segment_event", "user_id", "event", "traits_email")
suppression = table_of("segment", "segment_suppression", "user_id")
regulation = table_of("segment", "segment_regulation", "regulate_id", "kind", "created_at")
#: The users that a regulation deletes; emptied when they are deleted.
subject = table_of("segment", "segment_regulation_subject", "regulate_id", Column("user_id", String, index=True))


def _gate(token: str) -> Gate:
    def gate(request: Request, world: World) -> Principal:
        if request.headers.get("authorization") != f"Bearer {token}":
            raise AbortError(_errors(401, "unauthorized", "The token is not valid here"))
        return NO_ACCOUNT

    return gate


def _errors(status: int, kind: str, message: str) -> Answer:
    return as_json({"errors": [{"type": kind, "message": message}]}, status)


def _config_error(status: int, message: str) -> Answer:
    return as_json({"error": message, "code": status}, status)


def _are_ids(ids: Any) -> bool:
    return isinstance(ids, list) and 0 < len(ids) <= MOST_IDS and all(isinstance(each, str) and each for each in ids)


def create(call: Call) -> Answer:
    """Unknown ids are no error; a second regulation of the same ids is another one."""
    body = call.request.data()
    fields = body if isinstance(body, dict) else {}
    if fields.get("regulationType") not in KINDS:
        return _errors(422, "validation", "regulationType is not one of the allowed values")
    if fields.get("subjectType") != "USER_ID":
        return _errors(422, "validation", "subjectType must be USER_ID for a workspace")
    if not _are_ids(fields.get("subjectIds")):
        return _errors(422, "validation", "subjectIds must be 1 to 5000 strings")
    return as_json({"data": {"regulateId": _regulate(call, fields["regulationType"], fields["subjectIds"])}})


def config_create(call: Call) -> Answer:
    _check_workspace(call)
    body = call.request.data()
    fields = body if isinstance(body, dict) else {}
    given = fields.get("attributes")
    attributes = given if isinstance(given, dict) else {}
    kind = CONFIG_KINDS.get(str(fields.get("regulation_type")))
    if kind is None or attributes.get("name") != "userId" or not _are_ids(attributes.get("values")):
        return _config_error(400, "invalid regulation")
    return as_json({"regulate_id": _regulate(call, kind, attributes["values"])})


def _regulate(call: Call, kind: str, ids: list[str]) -> str:
    """Suppression works from now on; deletion later."""
    regulate_id = f"reg{secrets.token_hex(12)}"
    created = {"regulate_id": regulate_id, "kind": kind, "created_at": call.world.now().isoformat()}
    call.db.execute(regulation.insert(), created)
    if kind == "UNSUPPRESS" or kind in SUPPRESSING:
        call.db.execute(suppression.delete().where(suppression.c.user_id.in_(ids)))
    if kind in SUPPRESSING:
        call.db.execute(suppression.insert(), [{"user_id": each, "learner": _whose(call, each)} for each in ids])
    if kind in DELETING:
        rows = [{"regulate_id": regulate_id, "user_id": each, "learner": _whose(call, each)} for each in ids]
        call.db.execute(subject.insert(), rows)
    return regulate_id


def _whose(call: Call, user_id: str) -> int | None:
    """The learner of a row that repeats an id: a mark for the sandbox' reports."""
    found: int | None = call.db.scalar(select(event.c.learner).where(event.c.user_id == user_id))
    return found


def _status(call: Call) -> tuple[Any, str, str | None]:
    """A regulation that is still shown, its status and its end. Raises 404."""
    query = regulation.select().where(regulation.c.regulate_id == call.arguments["regulation"])
    row = call.db.execute(query).first()
    if row is None or (age := call.world.now() - datetime.fromisoformat(row.created_at)) > SHOWN:
        raise AbortError(_errors(404, "not-found", "The regulation was not found"))
    ended = (datetime.fromisoformat(row.created_at) + ENDS).isoformat() if age >= ENDS else None
    return row, "FINISHED" if ended else "RUNNING" if age >= RUNS else "INITIALIZED", ended


def show(call: Call) -> Answer:
    """Never its subjects. One destination deletes as Segment itself does, another cannot."""
    row, status, ended = _status(call)
    destinations = [
        {"name": "Warehouse", "id": "dest-1", "status": status, "errString": "", "finishedAt": ended or ""},
        {"name": "Webhooks", "id": "dest-2", "status": "NOT_SUPPORTED", "errString": "", "finishedAt": ""},
    ]
    shown = {
        "id": row.regulate_id,
        "workspaceId": WORKSPACE,
        "overallStatus": status,
        "createdAt": row.created_at,
        **({"finishedAt": ended} if ended else {}),
        "streamStatus": [{"id": "stream-1", "destinationStatus": destinations}],
    }
    return as_json({"data": {"regulation": shown}})


def config_show(call: Call) -> Answer:
    """UNVERIFIED: no document describes this answer; the Public API's fields as the Config API spells names."""
    _check_workspace(call)
    row, status, ended = _status(call)
    destination = {"name": "Warehouse", "id": "dest-1", "status": status, "err_string": "", "finished_at": ended}
    streams = [{"id": "stream-1", "destination_status": [destination]}]
    return as_json({"id": row.regulate_id, "overall_status": status, "finished_at": ended, "stream_status": streams})


def list_all(call: Call) -> Answer:
    oldest = (call.world.now() - SHOWN).isoformat()
    rows = call.db.execute(regulation.select().where(regulation.c.created_at >= oldest))
    found = [{"id": row.regulate_id, "workspaceId": WORKSPACE, "createdAt": row.created_at} for row in rows]
    return as_json({"data": {"regulations": found, "pagination": {"totalEntries": len(found)}}})


def suppressions(call: Call) -> Answer:
    rows = call.db.scalars(select(suppression.c.user_id).order_by(suppression.c.id))
    return as_json({"data": {"suppressions": [{"attributeName": "USER_ID", "attributeValue": each} for each in rows]}})


def _check_workspace(call: Call) -> None:
    if call.arguments["workspace"] != WORKSPACE:
        raise AbortError(_config_error(404, "workspace not found"))


def config_workspace(call: Call) -> Answer:
    _check_workspace(call)
    return as_json({"name": f"workspaces/{WORKSPACE}", "display_name": "Sandbox"})


def _settle(db: Connection, now: datetime) -> None:
    # Ecommerce numbers its users itself, so what it sends of them gets its id when all learners are seeded.
    number = select(ecommerce_user.c.id).where(ecommerce_user.c.learner == event.c.learner).scalar_subquery()
    db.execute(event.update().where(event.c.user_id.is_(None)).values(user_id="ecommerce-" + number.cast(String)))
    ended = select(regulation.c.regulate_id).where(regulation.c.created_at <= (now - ENDS).isoformat())
    due = subject.c.regulate_id.in_(ended)
    for table in (event, profile):
        db.execute(table.delete().where(table.c.user_id.in_(select(subject.c.user_id).where(due))))
    db.execute(subject.delete().where(due))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    user_id = str(person.user_id)
    yield profile, {"user_id": user_id, "email": person.email, "username": person.username, "name": person.name}
    for each in (user_id, person.username):
        yield event, {"user_id": each, "event": "edx.course.enrollment.activated", "traits_email": person.email}
    if person.seed.get("ecommerce"):
        yield event, {"user_id": None, "event": "Order Completed", "traits_email": person.email}


def _settings(url: str, urls: Mapping[str, str]) -> dict[str, Any]:
    # Plain http, as everything that the sandbox serves: `ecommerce_url` would be refused elsewhere.
    return {"url": url, "token": PUBLIC_TOKEN, "ecommerce_url": urls["ecommerce"], "allow_insecure": True}


_PUBLIC, _CONFIG = _gate(PUBLIC_TOKEN), _gate(CONFIG_TOKEN)
_OLD = "/v1beta/workspaces/{workspace}"

VENDOR = Vendor(
    name="segment",
    service="SEGMENT",
    routes=[
        Route("/regulations", _PUBLIC, {"GET": list_all, "POST": create}),
        Route("/regulations/{regulation}", _PUBLIC, {"GET": show}),
        Route("/suppressions", _PUBLIC, {"GET": suppressions}),
        Route(_OLD, _CONFIG, {"GET": config_workspace}),
        Route(_OLD + "/regulations", _CONFIG, {"POST": config_create}),
        Route(_OLD + "/regulations/{regulation}", _CONFIG, {"GET": config_show}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("SEGMENT", "SEGMENT", "delete_and_suppress_learner")],
    settle=_settle,
    # Suppressed for good, also for a later user of the same id (B1.2).
    survivors={suppression.c.user_id: lambda row: True},
)
