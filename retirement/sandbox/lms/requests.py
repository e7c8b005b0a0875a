"""How retirement requests come and go: self-service, in bulk, cancelled (contract lms.md 4.5, 4.13)."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.lms.rows import STATUS, NoProfileError, create_request
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import NO_CONTENT, PAGE_NOT_FOUND, AbortError, Answer, as_json
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded
from retirement.sandbox.world.states import RetirementStateError

_BY_ID = STATUS.where(schema.retirement.c.id == bindparam("row"))
_ACCOUNT = select(schema.user).where(schema.user.c.id == bindparam("user_id"))
_NAMED = select(schema.user.c.id).where(func.folded(schema.user.c.username) == bindparam("name"))


def deactivate_logout(call: Call) -> Answer:
    """The calling account asks for its own retirement; the password comes in a form, JSON is not read."""
    password = call.request.form.get("password")
    if password is None:
        return as_json("Could not verify user password: 'password'", 400)
    account = call.db.execute(_ACCOUNT, {"user_id": call.principal.user_id}).one()
    if account.password != password:
        return as_json("Email or password is incorrect.", 403)
    try:
        create_request(call.db, call.world.states, account.id)
    except (RetirementStateError, NoProfileError) as error:
        raise AbortError(as_json(str(error), 500)) from None
    return NO_CONTENT


def bulk_retire_users(call: Call) -> Answer:
    """One transaction per user; unknown names and second requests are failures inside a 200."""
    if not call.world.settings.bulk_retirement:
        return PAGE_NOT_FOUND
    done: set[str] = set()
    failed: set[str] = set()
    for name in (part.strip() for part in call.request.data()["usernames"].split(",")):
        user_id = call.db.execute(_NAMED, {"name": folded(name)}).scalar()
        try:
            if user_id is None:
                raise RetirementStateError(f"no account {name}")
            create_request(call.db, call.world.states, user_id)
        except (RetirementStateError, NoProfileError):
            failed.add(name)
        else:
            done.add(name)
    return as_json({"successful_user_retirements": sorted(done), "failed_user_retirements": sorted(failed)})


def cancel_retirement(call: Call) -> Answer:
    data = call.request.data(forms=True)
    if "retirement_id" not in data and isinstance(data, dict):
        return as_json({"message": "retirement_id must be specified."}, 400)
    number = data["retirement_id"]
    # Text that is no number is an uncaught error: HTML 500; null is an id that no row has.
    row = None if number is None else call.db.execute(_BY_ID, {"row": int(number)}).first()
    if row is None:
        return as_json({"message": "Retirement does not exist!"}, 400)
    state = call.world.states[row.current_state]
    if state.name != "PENDING":
        text = (
            "Retirement requests can only be cancelled for users in the PENDING state."
            f" Current request state for '{row.original_username}': {state.name}"
        )
        return as_json({"message": text}, 400)
    _cancel(call.db, row)
    return as_json({"success": True})


def _cancel(db: Connection, row: Row[Any]) -> None:
    """E-mail and the right to ask again come back; links, tokens and the old password do not."""
    account = {"email": row.original_email, "password": secrets.token_urlsafe(19)}
    db.execute(schema.user.update().where(schema.user.c.id == row.user_id).values(account))
    for table in (schema.retirement, schema.retirement_request):
        db.execute(table.delete().where(table.c.learner == row.user_id))


_ACCOUNTS = "/api/user/v1/accounts"
ROUTES = [
    Route(_ACCOUNTS + "/deactivate_logout/", gates.any_account, {"POST": deactivate_logout}),
    Route(_ACCOUNTS + "/cancel_retirement/", gates.can_cancel_retirement, {"POST": cancel_retirement}),
    Route("/v1/accounts/bulk_retire_users", gates.can_retire, {"POST": bulk_retire_users}),
]
