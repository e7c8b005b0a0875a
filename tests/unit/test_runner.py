"""What is made of a run whose process `serve` has told to end, by what the server says of it."""

from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from prefect import State
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Paused, Running

from retirement.flows.kit.runner import Proposer


class _Server:
    """Has one run, or no answer to what is asked; keeps each state that it is given."""

    def __init__(self, run: FlowRun | Exception) -> None:
        self._run = run
        self.given = list[Any]()

    async def read_flow_run(self, _flow_run: UUID) -> FlowRun:
        if isinstance(self._run, Exception):
            raise self._run
        return self._run

    async def set_flow_run_state(self, _flow_run: UUID, state: State[Any], *, force: bool) -> None:
        self.given.append((state.type.value, state.name, force))


def _run(state: State[Any]) -> FlowRun:
    return FlowRun(flow_id=UUID(int=1), state=state)


@pytest.mark.anyio
@pytest.mark.parametrize("state", [Completed(), Failed(), Crashed(), Cancelled(name="Stopped")], ids=str)
async def test_a_run_that_is_over_keeps_its_state(state: State[Any]) -> None:
    """The runner has read it as Running before."""
    server = _Server(_run(state))

    assert not await Proposer(client=cast("PrefectClient", server)).propose_cancelled(
        _run(Running()), {"message": "end"}
    )
    assert not server.given


@pytest.mark.anyio
@pytest.mark.parametrize(
    "found",
    [
        *(_run(state) for state in (Running(), Cancelling(), Paused())),
        ObjectNotFound(httpx.RequestError("gone")),
        httpx.ConnectError("no server"),
    ],
    ids=lambda found: str(getattr(found, "state", type(found).__name__)),
)
async def test_any_other_run_is_cancelled_as_prefect_does(found: FlowRun | Exception) -> None:
    """Also one that cannot be asked for: it would be Running, or Cancelling, for ever."""
    server = _Server(found)

    assert await Proposer(client=cast("PrefectClient", server)).propose_cancelled(_run(Running()), {"message": "end"})
    assert server.given == [("CANCELLED", "Cancelled", True)]
