"""The state of a run that was broken off, without the text of what broke it off, which may name a learner."""

import asyncio
from typing import Any

from prefect import State
from prefect.exceptions import TerminationSignal
from prefect.states import Crashed, exception_to_crashed_state

from retirement.errors import Defect

#: Of these Prefect says in words of its own that the run was to end.
_ENDS = (asyncio.CancelledError, KeyboardInterrupt, TerminationSignal)


async def crashed(error: BaseException) -> State[Any]:
    """The state after an exception that is none of a run's own endings."""
    if isinstance(error, _ENDS):
        return await exception_to_crashed_state(error)
    return Crashed(message=str(Defect.at(error)))
