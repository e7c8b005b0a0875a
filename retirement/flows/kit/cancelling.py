"""Cancelling a run on the server that `serve` works with, as the button of Prefect's UI does it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from retirement.errors import StateConflict
from retirement.flows.kit.health import lost_as

if TYPE_CHECKING:
    from prefect import State
    from prefect.client.orchestration import PrefectClient

#: Is told the name of the flow of a run before the run is cancelled; what it raises keeps the run as it is.
Before = Callable[[str], Awaitable[object]]
Client = Callable[[], "AbstractAsyncContextManager[PrefectClient]"]


async def cancel_run(run: UUID, before: Before, client: Client | None = None) -> bool:
    """Has Prefect cancel a run, which ends what it has begun and gives its learners back; False where none is known.

    Raises `StateConflict` for one that has ended or is a part of another one, `EngineLost` where the server does not
    answer, and what `before` raises.
    """
    # Prefect reads its settings at import, and `serve` makes them when its server is up.
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with lost_as("Prefect's server did not cancel the run"):
            async with (client or get_client)() as server:
                return await _cancelled(server, run, before)
    except ObjectNotFound:
        return False


async def _cancelled(server: "PrefectClient", run: UUID, before: Before) -> bool:
    from prefect.states import Cancelling

    found = await server.read_flow_run(run)
    if found.parent_task_run_id:
        # It is looked at by the run above it only, and a state of its own would stop nothing.
        raise StateConflict("the run is a part of another run: cancel that one")
    if found.state is None or found.state.is_final():
        raise StateConflict("the run has ended")
    await before((await server.read_flow(found.flow_id)).name)
    wanted: State[Any] = Cancelling(message="cancel: asked at the door")
    told = (await server.set_flow_run_state(run, wanted)).state
    # One that has not begun is Cancelled at once, and not Cancelling.
    if told is None or not (told.is_cancelling() or told.is_cancelled()):
        raise StateConflict("the run has ended")
    return True
