"""Ecommerce: a look-up and username replacement; `user/retire/` never existed (contract services.md A1)."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.services import health
from retirement.sandbox.services.replacement import replaced
from retirement.sandbox.wire import Answer, as_json, empty
from retirement.sandbox.world.schema import ecommerce_user, sdn_failure

_NAMED = select(ecommerce_user).where(ecommerce_user.c.username == bindparam("name"))


def tracking_id(call: Call) -> Answer:
    """The second identity under which Segment may know a learner."""
    row = call.db.execute(_NAMED, {"name": call.arguments["username"]}).first()
    if row is None:
        return as_json({"message": "Invalid user."}, 404)
    return as_json({"id": row.id, "ecommerce_tracking_id": f"ecommerce-{row.id}", "lms_user_id": row.lms_user_id})


def _rename(db: Connection, old: str, new: str) -> str | None:
    """Names only: e-mail, full name, and the name and place of an export check are not cleared."""
    try:
        with db.begin_nested():
            db.execute(ecommerce_user.update().where(ecommerce_user.c.username == old).values(username=new))
    except IntegrityError:
        return None
    db.execute(sdn_failure.update().where(sdn_failure.c.username == old).values(username=new))
    return new


def replace_usernames(call: Call) -> Answer:
    return replaced(call, empty(400), _rename)


ROUTES = [
    # The contract wants staff of this service: here that is the worker.
    Route("/api/v2/retirement/tracking_id/{username}/", gates.service_worker, {"GET": tracking_id}),
    Route("/api/v2/user_management/replace_usernames/", gates.service_worker, {"POST": replace_usernames}),
    health.ROUTE,
]
