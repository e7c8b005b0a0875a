"""Lists of enrollments: the one for staff, and the one for all accounts.

Not in the contract; read in the platform's `openedx/core/djangoapps/enrollments`: `views.py`
(`CourseEnrollmentsApiListView`, `EnrollmentListView`, `EnrollmentUserThrottle`), `forms.py`, `paginators.py` and
`serializers.py` at commits 6efbafd7, 29e394f9, 2b0dd825 and 3e6db427, and in newer texts without a commit.

- The first one wants `is_staff`, else 403, before it looks at the query. `username` is a list with commas, of at
  most 100 names that registration would take (ASCII letters, digits, `-`, `_`); one other name is a 400. Ended
  enrollments are in it. Pages of 100 with a cursor; since ADR 0032 (2026) by number, and with counts. Either
  way `next` is the whole URL of the next page, and null on the last one.
- The second one takes any name as `user`, and answers an array of active enrollments, without pages. Those of
  others it shows to staff only (and to a course's own staff); other callers get an empty array, and no error.
- Both: 120 requests a minute for staff, 40 for others, then 429 with `Retry-After`. Refused ones do not count.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Row, bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import Answer, Request, as_json
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded

PAGE_SIZE = 100
MAX_USERNAMES = 100

_NAME = re.compile(r"[-a-zA-Z0-9_]+")
_INVALID = "Usernames can only contain letters (A-Z, a-z), numerals (0-9), underscores (_), and hyphens (-)."
_ENROLLMENTS = (
    select(schema.enrollment, schema.user.c.username, schema.user.c.date_joined)
    .join(schema.user, schema.user.c.id == schema.enrollment.c.learner)
    .order_by(schema.enrollment.c.id.desc())
)
_OF_SOME = _ENROLLMENTS.where(func.folded(schema.user.c.username).in_(bindparam("names", expanding=True)))


def enrollments(call: Call) -> Answer:
    """For staff: those of all accounts, or those of the accounts that `username` names."""
    call.world.enrollment_throttle.check(call.principal)
    query = _ENROLLMENTS
    facts: dict[str, Any] = {}
    if given := call.request.query.get("username", [""])[-1]:
        names = given.split(",")
        if len(names) > MAX_USERNAMES:
            text = f"Too many usernames in a single request - {len(names)}. A maximum of {MAX_USERNAMES} is allowed"
            return as_json({"username": [text]}, 400)
        if not all(_NAME.fullmatch(name) for name in names):
            return as_json({"username": [_INVALID]}, 400)
        query, facts = _OF_SOME, {"names": [folded(name) for name in names]}
    offset = _offset(call.request)
    if offset is None:
        return as_json({"detail": "Invalid cursor"}, 404)
    rows = call.db.execute(query.offset(offset).limit(PAGE_SIZE + 1), facts).all()
    shown = [{**_enrollment(row), "course_id": row.course_id} for row in rows[:PAGE_SIZE]]
    following = _link(call.request, offset + PAGE_SIZE) if len(rows) > PAGE_SIZE else None
    previous = _link(call.request, max(0, offset - PAGE_SIZE)) if offset else None
    return as_json({"next": following, "previous": previous, "results": shown})


def _offset(request: Request) -> int | None:
    """Where the page of a cursor begins; None for a cursor that no page gave."""
    cursor = request.query.get("cursor", [""])[-1]
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("o=") or 0)
    except (ValueError, binascii.Error):
        return None


def _link(request: Request, offset: int) -> str:
    rest = [(name, value) for name, values in request.query.items() if name != "cursor" for value in values]
    query = urlencode([("cursor", base64.b64encode(f"o={offset}".encode()).decode()), *rest])
    return f"http://{request.headers.get('host', 'lms.sandbox')}{request.path}?{query}"


def _enrollment(row: Row[Any]) -> dict[str, Any]:
    return {"created": row.date_joined, "mode": row.mode, "is_active": row.is_active, "user": row.username}


def enrollments_of(call: Call) -> Answer:
    """Of the account that `user` names, else the caller's own."""
    call.world.enrollment_throttle.check(call.principal)
    name = call.request.query.get("user", [call.principal.username])[-1]
    if not (call.principal.is_staff or name == call.principal.username):
        return as_json([])
    rows = call.db.execute(_OF_SOME.where(schema.enrollment.c.is_active.is_(True)), {"names": [folded(name)]})
    return as_json([{**_enrollment(row), "course_details": {"course_id": row.course_id}} for row in rows])


_LIST = "/api/enrollment/v1/enrollments"
ROUTES = [
    Route(_LIST, gates.staff, {"GET": enrollments}),
    Route(_LIST + "/", gates.staff, {"GET": enrollments}),
    Route("/api/enrollment/v1/enrollment", gates.any_account, {"GET": enrollments_of}),
]
