"""License manager: retires a learner's licences and user, with a gap (contract services.md A4).

Licences that were assigned by e-mail and never activated carry no LMS id, so the call does not find them.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.services import health
from retirement.sandbox.wire import NO_CONTENT, Answer, ApiError, empty
from retirement.sandbox.world.schema import license_, license_history, license_source, license_user

_OF_LEARNER = select(license_.c.id, license_.c.status).where(license_.c.lms_user_id == bindparam("user_id"))
_UNASSIGNED = {
    "status": "unassigned",
    "user_email": None,
    "lms_user_id": None,
    "activation_key": None,
    "assigned_date": None,
    "activation_date": None,
}


def retire_user(call: Call) -> Answer:
    """Licences first, then the user; 404 says only that no user of this name is left."""
    data = call.request.data(forms=True)
    for name in ("lms_user_id", "original_username"):
        if not data.get(name):
            raise ApiError(400, f'Required field "{name}" missing or missing value in retirement request"')
    # An id that is no number is an error in the licence part: HTML 500.
    _scrub_licenses(call, int(data["lms_user_id"]))
    user = license_user.delete().where(license_user.c.username == data["original_username"])
    return NO_CONTENT if call.db.execute(user).rowcount else empty(404)


def _scrub_licenses(call: Call, user_id: int) -> None:
    """Revoked licences lose the e-mail, the others go back to the pool; histories and sources follow."""
    for row in call.db.execute(_OF_LEARNER, {"user_id": user_id}).all():
        values = {"user_email": None} if row.status == "revoked" else _UNASSIGNED
        call.db.execute(license_.update().where(license_.c.id == row.id).values(values))
        history = license_history.c.license_id == row.id
        call.db.execute(license_history.update().where(history).values(user_email=None))
        call.db.execute(license_source.delete().where(license_source.c.license_id == row.id))


def staff_lookup_licenses(call: Call) -> Answer:
    """For admins of this service; no client of the sandbox is one, so the gate refuses every request."""
    return empty(404)


ROUTES = [
    # The real routes are unanchored regular expressions: anything may follow.
    Route("/api/v1/retire_user{rest}", gates.service_worker, {"POST": retire_user}),
    Route("/api/v1/staff_lookup_licenses{rest}", gates.never, {"POST": staff_lookup_licenses}),
    health.ROUTE,
]
