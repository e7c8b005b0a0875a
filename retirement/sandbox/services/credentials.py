"""The credentials service: no retirement route, only username replacement (contract services.md A2)."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.services import health
from retirement.sandbox.services.replacement import replaced
from retirement.sandbox.wire import Answer, empty
from retirement.sandbox.world.schema import credentials_user, user_credential, user_grade


def _rename(db: Connection, old: str, new: str) -> str | None:
    """Renames the user and the awards and empties the names; the e-mail stays. A taken name is a failure."""
    values = {"username": new, "full_name": "", "first_name": "", "last_name": ""}
    try:
        with db.begin_nested():
            db.execute(credentials_user.update().where(credentials_user.c.username == old).values(values))
    except IntegrityError:
        return None
    for table in (user_credential, user_grade):
        db.execute(table.update().where(table.c.username == old).values(username=new))
    return new


def replace_usernames(call: Call) -> Answer:
    return replaced(call, empty(400), _rename)


ROUTES = [
    Route("/api/v2/replace_usernames/", gates.service_worker, {"POST": replace_usernames}),
    health.ROUTE,
]
