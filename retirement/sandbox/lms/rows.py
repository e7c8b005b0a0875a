"""Retirement status rows: how they are found, guarded, shown and created (contract lms.md 2.4 to 2.7)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.exc import IntegrityError

from retirement.sandbox.lms.erasure import AT_REQUEST, erase
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded, timestamp
from retirement.sandbox.world.identity import PREFIX, retired_email, retired_username, retired_usernames
from retirement.sandbox.world.states import RetirementStateError, States

#: Account, profile and status row of one person; the status columns are null without a request.
STATUS = (
    select(
        schema.user.c.id.label("user_id"),
        schema.user.c.username,
        schema.user.c.email,
        schema.profile.c.id.label("profile_id"),
        schema.profile.c.name,
        *(c for c in schema.retirement.c if c.name not in ("learner", "responses")),
    )
    .outerjoin(schema.retirement, schema.retirement.c.learner == schema.user.c.id)
    .outerjoin(schema.profile, schema.profile.c.learner == schema.user.c.id)
)
_BY_ORIGINAL = STATUS.where(schema.retirement.c.original_username == bindparam("name"))
_BY_USER = STATUS.where(
    func.folded(schema.user.c.username).in_([bindparam("name"), bindparam("first"), bindparam("last")])
)
ORDERED = STATUS.where(schema.retirement.c.id.is_not(None)).order_by(schema.retirement.c.id)


class NoRowError(LookupError):
    """No status row with exactly this original username."""


class NoProfileError(Exception):
    """The account has no profile row, and a view asked for it; the text is Django's (lms.md, appendix)."""

    def __init__(self) -> None:
        super().__init__("User has no profile.")


def by_original(db: Connection, username: object) -> Row[Any]:
    """The row that carries exactly this `original_username`, case included (1.6)."""
    row = db.execute(_BY_ORIGINAL, {"name": username}).first() if isinstance(username, str) else None
    if row is None:
        raise NoRowError(username)
    return row


def by_user(db: Connection, username: str) -> Row[Any]:
    """The row of the account that has this name in any case, or has one of its retired names (4.3)."""
    first, last = retired_usernames(username)
    found = db.execute(_BY_USER, {"name": folded(username), "first": first, "last": last}).all()
    if len(found) > 2:
        raise RuntimeError("more than two accounts match")
    if len(found) == 2:
        # A name may have been taken again, with other capitals, after its first owner was retired.
        retired, active = sorted(found, key=lambda row: not row.username.startswith(PREFIX))
        found = [active if active.username == username else retired]
    if not found or found[0].id is None:
        raise NoRowError(username)
    return found[0]


def ready(db: Connection, states: States, username: object) -> Row[Any]:
    """The working-state guard (2.7): the row, if the learner is in a working state."""
    row = by_original(db, username)
    state = states[row.current_state]
    if not state.working:
        updated = row.modified.replace("T", " ").replace("Z", "+00:00")
        raise RetirementStateError(
            f"User: {row.user_id} State: {state} Last Updated: {updated} is in {state.name},"
            " not a valid state to perform retirement actions on."
        )
    return row


def check_profile(row: Row[Any]) -> None:
    """Raises `NoProfileError` for an account without a profile."""
    if row.profile_id is None:
        raise NoProfileError


def shown(row: Row[Any], states: States) -> dict[str, Any]:
    """The status object of 4.3; `responses` is never shown."""
    return {
        "id": row.id,
        "user": {
            "id": row.user_id,
            "username": row.username,
            "email": row.email,
            "profile": None if row.profile_id is None else {"id": row.profile_id, "name": row.name},
        },
        "current_state": _shown_state(row.current_state, states),
        "last_state": _shown_state(row.last_state, states),
        "created": row.created,
        "modified": row.modified,
        "original_username": row.original_username,
        "original_email": row.original_email,
        "original_name": row.original_name,
        "retired_username": row.retired_username,
        "retired_email": row.retired_email,
    }


def _shown_state(state_id: int, states: States) -> dict[str, Any]:
    state = states[state_id]
    return {"id": state.id, "state_name": state.name, "state_execution_order": state.order}


def create_request(db: Connection, states: States, user_id: int) -> None:
    """What a learner's request does: both rows, and the effects on the account (2.6, 4.5)."""
    account = db.execute(STATUS.where(schema.user.c.id == user_id)).one()
    asked = select(schema.retirement_request.c.id).where(schema.retirement_request.c.learner == user_id)
    if account.id is not None or db.execute(asked).first():
        raise RetirementStateError(f"Retirement already requested for user {user_id}")
    # The row copies the profile's name.
    check_profile(account)
    now, first = timestamp(), states.all[0]
    values = {
        "learner": user_id,
        "original_username": account.username,
        "original_email": account.email,
        "original_name": account.name or "",
        "retired_username": retired_username(account.username),
        "retired_email": retired_email(account.email),
        "current_state": first.id,
        "last_state": first.id,
        "responses": created_text(states),
        "created": now,
        "modified": now,
    }
    db.execute(schema.retirement.insert(), values)
    db.execute(schema.retirement_request.insert(), {"learner": user_id, "created": now})
    erase(db, AT_REQUEST, by_original(db, account.username))


def created_text(states: States) -> str:
    return f"Created in state {states.all[0]} by create_retirement"


def duplicate_entry(error: IntegrityError, **wanted: str) -> str:
    """MySQL's text for a broken unique index, as `str(exception)` shows it (1.6)."""
    column = next(name for name in wanted if name in str(error.orig))
    return f"(1062, \"Duplicate entry '{wanted[column]}' for key 'auth_user.{column}'\")"
