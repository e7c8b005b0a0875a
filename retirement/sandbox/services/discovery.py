"""Course discovery: username replacement only; e-mail and full name stay (contract services.md A3)."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.services import health
from retirement.sandbox.services.replacement import replaced
from retirement.sandbox.wire import Answer, empty
from retirement.sandbox.world.schema import discovery_user


def _rename(db: Connection, old: str, new: str) -> str | None:
    try:
        with db.begin_nested():
            db.execute(discovery_user.update().where(discovery_user.c.username == old).values(username=new))
    except IntegrityError:
        return None
    return new


def replace_usernames(call: Call) -> Answer:
    return replaced(call, empty(400), _rename)


ROUTES = [
    Route("/api/v1/replace_usernames/", gates.service_worker, {"POST": replace_usernames}),
    health.ROUTE,
]
