"""One learner's status, its moves, and the cleanup of finished ones (contract lms.md 4.3, 4.4, 4.12)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.lms.rows import NoRowError, by_original, by_user, shown
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import NO_CONTENT, Answer, ApiError, as_json, empty
from retirement.sandbox.world import schema
from retirement.sandbox.world.database import folded, timestamp
from retirement.sandbox.world.states import RetirementStateError

NOT_SPECIFIED = as_json({"message": "The user was not specified."}, 404)
_MOVE = (
    schema.retirement.update()
    .where(schema.retirement.c.id == bindparam("row"))
    .values(
        current_state=bindparam("new"),
        last_state=bindparam("old"),
        modified=bindparam("now"),
        responses=schema.retirement.c.responses + bindparam("text"),
    )
)
_IN_STATE = select(schema.retirement.c.id).where(
    func.folded(schema.retirement.c.original_username).in_(bindparam("names", expanding=True)),
    schema.retirement.c.current_state == bindparam("state"),
)


def retirement_status(call: Call) -> Answer:
    try:
        return as_json(shown(by_user(call.db, call.arguments["username"]), call.world.states))
    except NoRowError:
        return empty(404)


def update_retirement_status(call: Call) -> Answer:
    update = call.request.data()
    if not update.get("username"):
        return NOT_SPECIFIED
    try:
        _move(call, update)
    except NoRowError:
        return empty(404)
    except RetirementStateError as error:
        return as_json(str(error), 400)
    except LookupError as error:
        return as_json(str(error), 500)
    return NO_CONTENT


def _move(call: Call, update: dict[str, Any]) -> None:
    states = call.world.states
    row = by_original(call.db, update["username"])
    old = states[row.current_state]
    new = states.next_state(old, update)
    text = f"\n Moved from {old} to {new}:\n{update['response']}\n"
    call.db.execute(_MOVE, {"row": row.id, "new": new.id, "old": old.id, "now": timestamp(), "text": text})


def retirement_cleanup(call: Call) -> Answer:
    """Wraps even the errors of the body itself: they are 500 with a text, not 400 or 415 (1.1)."""
    try:
        return _cleanup(call, call.request.data()["usernames"])
    except TypeError as error:
        return as_json(str(error), 400)
    except KeyError as error:
        return as_json(str(error), 500)
    except ApiError as error:
        return as_json(error.detail, 500)


def _cleanup(call: Call, names: object) -> Answer:
    """All or nothing. Only the rows are counted, in any case: no exact-case check here (1.6)."""
    if not isinstance(names, list):
        raise TypeError("Usernames should be an array.")
    complete = call.world.states.found("COMPLETE")
    facts = {"names": [folded(str(name)) for name in names], "state": complete.id if complete else None}
    rows = call.db.execute(_IN_STATE, facts).scalars().all()
    if len(rows) != len(names):
        return as_json("Not all usernames exist in the COMPLETE state.", 400)
    call.db.execute(schema.retirement.delete().where(schema.retirement.c.id.in_(rows)))
    return NO_CONTENT


_ACCOUNTS = "/api/user/v1/accounts"
ROUTES = [
    Route(_ACCOUNTS + "/{username}/retirement_status/", gates.can_retire, {"GET": retirement_status}),
    Route(_ACCOUNTS + "/update_retirement_status/", gates.can_retire, {"PATCH": update_retirement_status}),
    Route(_ACCOUNTS + "/retirement_cleanup/", gates.can_retire, {"POST": retirement_cleanup}),
]
