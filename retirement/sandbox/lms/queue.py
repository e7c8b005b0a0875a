"""Lists of retirements: the queue, and those of one state in a span of days (contract lms.md 4.1, 4.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam
from sqlalchemy.exc import NoResultFound

from retirement.sandbox import gates
from retirement.sandbox.lms.rows import ORDERED, shown
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import Answer, Request, as_json
from retirement.sandbox.world import schema
from retirement.sandbox.world.states import RetirementStateError, States

_DAY = "%Y-%m-%d"
_MOMENT = "%Y-%m-%dT%H:%M:%S.%fZ"
_QUEUE = ORDERED.where(
    schema.retirement.c.current_state.in_(bindparam("states", expanding=True)),
    schema.retirement.c.created < bindparam("before"),
)
_QUEUE_LIMITED = _QUEUE.limit(bindparam("limit"))
_BY_DATE = ORDERED.where(
    schema.retirement.c.current_state == bindparam("state"),
    schema.retirement.c.created >= bindparam("start"),
    schema.retirement.c.created < bindparam("end"),
)


def _last(request: Request, name: str) -> str:
    """As in Django, the last value of a repeated parameter counts, and a missing one is a KeyError."""
    return request.query[name][-1]


def _listed(db: Connection, states: States, query: Select[Any], facts: dict[str, object]) -> Answer:
    return as_json([shown(row, states) for row in db.execute(query, facts)])


def retirement_queue(call: Call) -> Answer:
    try:
        return _queue(call)
    except RetirementStateError as error:
        return as_json(str(error), 400)
    except KeyError as error:
        return as_json(f"Missing required parameter: {error}", 400)
    except ValueError:
        # A negative limit ends here too: Django refuses the slice with a ValueError.
        return as_json("Invalid cool_off_days, should be integer.", 400)


def _queue(call: Call) -> Answer:
    request, states = call.request, call.world.states
    cool_off_days = int(_last(request, "cool_off_days"))
    if cool_off_days < 0:
        raise RetirementStateError("Invalid argument for cool_off_days, must be greater than 0.")
    wanted = request.query.get("states")
    if not wanted:
        raise RetirementStateError('Param "states" required with at least one state.')
    found = states.found_all(wanted)
    if len(found) != len(wanted):
        names = [state.name for state in found]
        raise RetirementStateError(f"Unknown state. Requested: {wanted} Found: {names}")
    limit = request.query.get("limit", [""])[-1]
    facts: dict[str, object] = {"states": [state.id for state in found]}
    if limit:
        try:
            facts["limit"] = int(limit)
        except ValueError:
            text = f"Limit could not be parsed: {limit}, please ensure this is an integer"
            return as_json(text, 400)
    # An age that reaches before year 1 is an OverflowError, which the view does not catch: HTML 500.
    facts["before"] = (datetime.now(UTC) - timedelta(days=cool_off_days)).strftime(_MOMENT)
    if limit and int(limit) < 0:
        raise ValueError("Negative indexing is not supported.")
    return _listed(call.db, states, _QUEUE_LIMITED if limit else _QUEUE, facts)


def retirements_by_status_and_date(call: Call) -> Answer:
    try:
        return _by_date(call)
    except RetirementStateError as error:
        return as_json(str(error), 400)
    except KeyError as error:
        return as_json(f"Missing required parameter: {error}", 400)
    except ValueError as error:
        return as_json(f"Invalid start or end date: {error}", 400)
    except NoResultFound:
        return as_json("Unknown retirement state.", 400)


def _by_date(call: Call) -> Answer:
    request, states = call.request, call.world.states
    start = datetime.strptime(_last(request, "start_date"), _DAY).replace(tzinfo=UTC)
    end = datetime.strptime(_last(request, "end_date"), _DAY).replace(tzinfo=UTC)
    now = datetime.now(UTC)
    if start > now or end > now or start > end:
        raise RetirementStateError("Dates must be today or earlier, and start must be earlier than end.")
    state = states.found(_last(request, "state"))
    if state is None:
        raise NoResultFound
    facts: dict[str, object] = {
        "state": state.id,
        "start": start.strftime(_MOMENT),
        "end": (end + timedelta(days=1)).strftime(_MOMENT),
    }
    return _listed(call.db, states, _BY_DATE, facts)


ROUTES = [
    Route("/api/user/v1/accounts/retirement_queue/", gates.can_retire, {"GET": retirement_queue}),
    Route(
        "/api/user/v1/accounts/retirements_by_status_and_date/",
        gates.can_retire,
        {"GET": retirements_by_status_and_date},
    ),
]
