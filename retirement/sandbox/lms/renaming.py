"""Username replacement in the LMS: accounts and forum (contract lms.md 4.14, 4.17)."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.services.replacement import replaced
from retirement.sandbox.wire import Answer, as_json
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded
from retirement.sandbox.world.settings import FORUM_OFF

_NAMED = select(schema.user.c.id).where(func.folded(schema.user.c.username) == bindparam("name"))
_RENAMED_COLUMNS = (
    schema.user.c.username,
    schema.consent.c.username,
    schema.credit_eligibility.c.username,
    schema.credit_request.c.username,
    schema.credit_requirement_status.c.username,
    schema.retirement.c.original_username,
    schema.partner_report.c.original_username,
)


def _rename_account(db: Connection, old: str, new: str) -> str:
    """A name that is taken gets a suffix, and the answer shows the name really used."""
    if db.execute(_NAMED, {"name": folded(old)}).first() is None:
        return new
    while db.execute(_NAMED, {"name": folded(new)}).first():
        new = f"{new}-{secrets.token_hex(2)}"
    for column in _RENAMED_COLUMNS:
        matching = func.folded(column) == folded(old)
        db.execute(column.table.update().where(matching).values({column: new}))
    return new


def _rename_in_forum(db: Connection, old: str, new: str) -> str:
    """Looks the account up by its new name, so it must come after the rename in the LMS."""
    user_id = db.execute(_NAMED, {"name": folded(new)}).scalar()
    if user_id is not None:
        for column in (schema.forum_user.c.username, schema.forum_content.c.author_username):
            matching = column.table.c.learner == user_id
            db.execute(column.table.update().where(matching).values({column: new}))
    return new


def _refused_by_forum(db: Connection, old: str, new: str) -> str | None:
    """The forum is switched off: every account is a failure, a name without an account is still a success."""
    return new if db.execute(_NAMED, {"name": folded(new)}).first() is None else None


def replace_usernames(call: Call) -> Answer:
    return replaced(call, as_json(["Request data does not match schema"], 400), _rename_account)


def replace_forum_username(call: Call) -> Answer:
    refusal = as_json({"detail": "Request data does not match schema"}, 400)
    return replaced(call, refusal, _refused_by_forum if call.world.settings.forum == FORUM_OFF else _rename_in_forum)


ROUTES = [
    Route("/api/user/v1/accounts/replace_usernames/", gates.can_replace_username, {"POST": replace_usernames}),
    Route(
        "/api/discussion/v1/accounts/replace_username",
        gates.can_replace_username,
        {"POST": replace_forum_username},
    ),
]
