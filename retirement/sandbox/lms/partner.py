"""The partner report queue: put in, take out once, clean up (contract lms.md 2.11, 4.9 to 4.11)."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.lms.rows import NoRowError, ready
from retirement.sandbox.lms.status import NOT_SPECIFIED
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import NO_CONTENT, Answer, as_json, empty
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded, timestamp

#: Enrollments that the LMS does not report: no organisation, or a mark of a data migration.
UNREPORTED_ORGS = ("", "outdated_entry")
_REPORT = schema.partner_report
_ORGS = (
    select(schema.enrollment.c.org)
    .distinct()
    .where(schema.enrollment.c.learner == bindparam("user_id"), schema.enrollment.c.org.not_in(UNREPORTED_ORGS))
)
_QUEUED = select(_REPORT.c.id).where(_REPORT.c.learner == bindparam("user_id"))
_WAITING = select(_REPORT).where(_REPORT.c.is_being_processed.is_(False)).order_by(_REPORT.c.id)
_TAKE = _REPORT.update().where(_REPORT.c.is_being_processed.is_(False)).values(is_being_processed=True)
_TAKEN = (
    select(_REPORT.c.id, _REPORT.c.original_username)
    .where(_REPORT.c.is_being_processed.is_(True))
    .order_by(_REPORT.c.id)
)


def _orgs(db: Connection, user_id: int) -> list[str]:
    """Computed anew each time from the enrollments; the queue does not store it."""
    return list(db.execute(_ORGS, {"user_id": user_id}).scalars())


def put(call: Call) -> Answer:
    """A wrong state is not caught here: HTML 500 (2.7). Without an organisation nothing is queued."""
    username = call.request.data().get("username")
    if not username:
        return NOT_SPECIFIED
    try:
        row = ready(call.db, call.world.states, username)
    except NoRowError:
        return empty(404)
    user = {"user_id": row.user_id}
    if _orgs(call.db, row.user_id) and not call.db.execute(_QUEUED, user).first():
        copied = {name: getattr(row, name) for name in ("original_username", "original_email", "original_name")}
        values = {"learner": row.user_id, "is_being_processed": False, "created": timestamp(), **copied}
        call.db.execute(_REPORT.insert(), values)
    return NO_CONTENT


def take(call: Call) -> Answer:
    """Destructive: a row is handed out once. The body is not read."""
    handed_out = [
        {
            "user_id": row.learner,
            "original_username": row.original_username,
            "original_email": row.original_email,
            "original_name": row.original_name,
            "orgs": _orgs(call.db, row.learner),
            "created": row.created,
        }
        for row in call.db.execute(_WAITING).all()
    ]
    call.db.execute(_TAKE)
    return as_json(handed_out)


def cleanup(call: Call) -> Answer:
    """All or nothing, counted by exact names; the delete itself goes by the collation (1.6)."""
    given = [entry["original_username"] for entry in call.request.data()]
    if not given:
        return as_json("No original_usernames given.", 400)
    taken, named = call.db.execute(_TAKEN).all(), frozenset(given)
    found = [row.original_username for row in taken if row.original_username in named]
    if len(found) != len(given):
        text = (
            f"{len(given)} original_usernames given, {len(found)} found!\n"
            f"Given usernames:\n{given}\n"
            f"Found UserRetirementReportingStatuses:\n{', '.join(found)}"
        )
        return as_json(text, 400)
    call.db.execute(
        _REPORT.delete().where(
            _REPORT.c.is_being_processed.is_(True),
            func.folded(_REPORT.c.original_username).in_([folded(name) for name in given]),
        )
    )
    return NO_CONTENT


_REPORTS = "/api/user/v1/accounts/retirement_partner_report"
ROUTES = [
    Route(_REPORTS + "/", gates.can_retire, {"PUT": put, "POST": take}),
    Route(_REPORTS + "_cleanup/", gates.can_retire, {"POST": cleanup}),
]
