"""Amplitude: deletion jobs, one a day and project, which run later and are done when backups are (services.md B3).

The organisation has two projects: courses, which the keys are for, and the shop of sites with ecommerce.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Integer, Row, Table

from retirement.sandbox.routing import Call, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

API_KEY, SECRET_KEY = "amplitude-sandbox-key", "amplitude-sandbox-secret"
MOST_IDS = 100
LONGEST_RANGE = timedelta(days=184)
COURSES, SHOP = "project-courses", "project-shop"
#: From the first request of a job to its day, from when it cannot be changed, and how long backups are kept.
AHEAD, CLOSED, BACKUPS = timedelta(days=12), timedelta(days=3), timedelta(days=5)
RUN = timedelta(days=1)

user = table_of(
    "amplitude",
    "amplitude_user",
    Column("amplitude_id", Integer),
    *("project", "user_id", "email", "username", "name"),
)
deletion = table_of(
    "amplitude",
    "amplitude_deletion",
    *("day", "project", "user_id", "requester", "requested_on_day"),
    Column("amplitude_id", Integer),
)


def gate(request: Request, world: World) -> Principal:
    known = base64.b64encode(f"{API_KEY}:{SECRET_KEY}".encode()).decode()
    if request.headers.get("authorization") != f"Basic {known}":
        raise AbortError(as_json({"error": "Invalid API key or secret key"}, 401))
    return NO_ACCOUNT


def _refusal(message: str) -> AbortError:
    return AbortError(as_json({"error": message}, 400))


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _body(call: Call) -> tuple[dict[str, Any], list[str]]:
    """The fields, and the user ids as texts; a number is taken for one."""
    fields = call.request.data()
    ids = fields.get("user_ids") if isinstance(fields, dict) else None
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str | int) for each in ids):
        raise _refusal("user_ids must be a list of user ids")
    if len(ids) > MOST_IDS:
        raise _refusal("at most 100 users can be deleted in one request")
    return fields, [str(each) for each in ids]


def create(call: Call) -> Answer:
    """One unknown id fails all, unless they are to be ignored; each project has a job of its own."""
    fields, ids = _body(call)
    org_wide = _is_true(fields.get("delete_from_org"))
    found = _found(call, ids, org_wide=org_wide)
    ignores = org_wide or _is_true(fields.get("ignore_invalid_id")) or _is_true(fields.get("ignore_invalid_ids"))
    if not ignores and (unknown := _unknown(ids, found)):
        raise _refusal(f"{len(unknown)} of the users were not found")
    jobs = []
    for project in sorted({row.project for row in found}) or [COURSES]:
        here = [row for row in found if row.project == project]
        named = {"invalid_ids": _unknown(ids, here)} | ({"app": project} if org_wide else {})
        jobs += [job | named for job in _jobs(call, project, here, fields)]
    return as_json(jobs if org_wide or len(jobs) > 1 else jobs[0])


def _found(call: Call, ids: list[str], *, org_wide: bool) -> list[Row[Any]]:
    found = call.db.execute(user.select().where(user.c.user_id.in_(ids)).order_by(user.c.amplitude_id))
    return [row for row in found if org_wide or row.project == COURSES]


def _unknown(ids: list[str], found: Iterable[Row[Any]]) -> list[str]:
    return sorted(set(ids) - {row.user_id for row in found})


def _jobs(call: Call, project: str, users: list[Row[Any]], fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The jobs of a project that the users are put into, which are several where some of them waited already."""
    days = {_queue(call, row, str(fields.get("requester", ""))) for row in users}
    named = _is_true(fields.get("include_mapped_user_ids"))
    ids = {row.amplitude_id for row in users}
    return [_shown(call, day, project, ids, named=named) for day in sorted(days) or [_open_day(call, project)]]


def _open_day(call: Call, project: str) -> str:
    """The day of the job that still takes requests."""
    today = call.world.now().date()
    staged = deletion.select().where(deletion.c.project == project).where(deletion.c.day > (today + CLOSED).isoformat())
    first = call.db.execute(staged.order_by(deletion.c.day)).first()
    return first.day if first else (today + AHEAD).isoformat()


def _queue(call: Call, row: Row[Any], requester: str) -> str:
    """The day of the user's job: that which they already wait for, else the open one."""
    theirs = deletion.select().where(deletion.c.amplitude_id == row.amplitude_id)
    today = call.world.now().date().isoformat()
    if waiting := call.db.execute(theirs.where(deletion.c.day >= today)).first():
        return str(waiting.day)
    day = _open_day(call, row.project)
    values = {"day": day, "project": row.project, "user_id": row.user_id, "amplitude_id": row.amplitude_id}
    call.db.execute(deletion.insert(), values | {"requester": requester, "requested_on_day": today})
    return day


def _shown(call: Call, day: str, project: str, ids: set[int] | None = None, *, named: bool = False) -> dict[str, Any]:
    """A job as Amplitude shows it, of `ids` only where they are given."""
    rows = call.db.execute(deletion.select().where(deletion.c.day == day, deletion.c.project == project))
    entries = [
        {
            "amplitude_id": row.amplitude_id,
            "requested_on_day": row.requested_on_day,
            "requester": row.requester,
            **({"user_id": row.user_id} if named else {}),
        }
        for row in rows
        if ids is None or row.amplitude_id in ids
    ]
    status, scrubbed = _progress(day, call.world.now())
    return {"day": day, "status": status, "amplitude_ids": entries, **scrubbed}


def _progress(day: str, now: datetime) -> tuple[str, dict[str, str]]:
    """A job's status; the data is gone a day after the job has begun, and it is done when the backups are gone."""
    begins = date.fromisoformat(day)
    if now.date() < begins - CLOSED:
        return "staging", {}
    if now.date() < begins + RUN:
        return "submitted", {}
    done = now.date() >= begins + RUN + BACKUPS
    return "done" if done else "submitted", {"active_scrub_done_date": (begins + RUN).isoformat()}


def listed(call: Call) -> Answer:
    """The jobs whose day is within a range, which is half a year at most."""
    query = call.request.query
    try:
        first, last = (date.fromisoformat(query[name][0]) for name in ("start_day", "end_day"))
    except (KeyError, ValueError):
        raise _refusal("start_day and end_day must be YYYY-MM-DD") from None
    if not timedelta() <= last - first <= LONGEST_RANGE:
        raise _refusal("the range may cover six months at most")
    within = deletion.c.day.between(first.isoformat(), last.isoformat())
    jobs = call.db.execute(deletion.select().where(within).order_by(deletion.c.day, deletion.c.project))
    return as_json([_shown(call, *job) for job in dict.fromkeys((row.day, row.project) for row in jobs)])


def revoke(call: Call) -> Answer:
    """Takes a user out of a job, until three days before it."""
    theirs = deletion.c.amplitude_id == int(call.arguments["amplitude_id"])
    of_the_day = deletion.c.day == call.arguments["day"]
    row = call.db.execute(deletion.select().where(theirs, of_the_day)).first()
    if row is None or _progress(row.day, call.world.now())[0] != "staging":
        raise _refusal("no such deletion that can be revoked")
    call.db.execute(deletion.delete().where(theirs, of_the_day))
    shown = {"amplitude_id": row.amplitude_id, "requested_on_day": row.requested_on_day, "requester": row.requester}
    return as_json(shown)


def _settle(db: Connection, now: datetime) -> None:
    run = deletion.select().where(deletion.c.day <= (now.date() - RUN).isoformat())
    ids = [row.amplitude_id for row in db.execute(run)]
    if ids:
        db.execute(user.delete().where(user.c.amplitude_id.in_(ids)))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    """Two devices in the courses, and one in the shop."""
    identity = {"user_id": str(person.user_id), "email": person.email, "username": person.username, "name": person.name}
    for device in (1, 2):
        yield user, identity | {"project": COURSES, "amplitude_id": 356_800_000_000 + person.user_id * 10 + device}
    if person.seed.get("ecommerce"):
        yield user, identity | {"project": SHOP, "amplitude_id": 356_900_000_000 + person.user_id * 10}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url, "api_key": API_KEY, "secret_key": SECRET_KEY, "org_wide": True}


_DELETIONS = "/api/2/deletions/users"

VENDOR = Vendor(
    name="amplitude",
    service="AMPLITUDE",
    routes=[
        Route(_DELETIONS, gate, {"GET": listed, "POST": create}),
        Route(_DELETIONS + "/{amplitude_id}/{day}", gate, {"DELETE": revoke}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("AMPLITUDE", "AMPLITUDE", "delete_user")],
    settle=_settle,
)
