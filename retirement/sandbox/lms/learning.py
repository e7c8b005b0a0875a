"""Unenrolment from all courses (contract lms.md 4.18)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.lms.erasure import UNENROLL, erase
from retirement.sandbox.lms.rows import NoProfileError, NoRowError, check_profile, ready
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import NO_CONTENT, Answer, ApiError, as_json
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded
from retirement.sandbox.world.states import RetirementStateError

#: By the name in the request: after a rename no account is found, and the learner stays enrolled (4.8, 4.16).
_ENROLLMENTS = (
    select(schema.enrollment.c.org, schema.enrollment.c.is_active)
    .join(schema.user, schema.user.c.id == schema.enrollment.c.learner)
    .where(func.folded(schema.user.c.username) == bindparam("name"))
    .order_by(schema.enrollment.c.id)
)


def unenroll(call: Call) -> Answer:
    """Every error of the body or the state is a 500 with a text, as if it were a passing one."""
    try:
        username = call.request.data(forms=True)["username"]
        row = ready(call.db, call.world.states, username)
    except NoRowError:
        return as_json("No retirement request status for username.", 404)
    except KeyError:
        return as_json("Username not specified.", 404)
    except (RetirementStateError, TypeError) as error:
        return as_json(str(error), 500)
    except ApiError as error:
        return as_json(error.detail, 500)
    orgs = _orgs_if_enrolled(call.db, username)
    if orgs is None:
        return NO_CONTENT
    try:
        # The event that each unenrolment sends carries the profile's name; without one all are rolled back.
        check_profile(row)
    except NoProfileError as error:
        return as_json(str(error), 500)
    erase(call.db, UNENROLL, row)
    return as_json(orgs)


def _orgs_if_enrolled(db: Connection, username: str) -> list[Any] | None:
    """All organisations, those of inactive enrollments included, if at least one is active."""
    enrollments = db.execute(_ENROLLMENTS, {"name": folded(username)}).all()
    if not any(row.is_active for row in enrollments):
        return None
    return list(dict.fromkeys(row.org for row in enrollments))


ROUTES = [
    Route("/api/enrollment/v1/unenroll/", gates.can_retire, {"POST": unenroll}),
    Route("/api/enrollment/v2/enrollment/unenroll/", gates.can_retire, {"POST": unenroll}),
]
