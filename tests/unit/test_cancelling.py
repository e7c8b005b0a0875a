"""Cancelling a run of Prefect by its id: which runs, and what is told before."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient

from retirement.errors import ConfigError, EngineLost, StateConflict
from retirement.flows.kit.cancelling import cancel_run

pytestmark = pytest.mark.anyio

RUN, FLOW, ABOVE = (UUID(int=number, version=4) for number in (1, 2, 3))
BECOMES = {
    "RUNNING": ("ACCEPT", "CANCELLING"),
    "SCHEDULED": ("REJECT", "CANCELLED"),
    "PENDING": ("REJECT", "COMPLETED"),
}


class Server:
    """Prefect's API, with one run in this state."""

    def __init__(self, state: str, above: UUID | None = None) -> None:
        self.state, self.above = state, above
        self.moved: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.state == "away":
            raise httpx.ConnectError("refused")
        if request.url.path == f"/api/flow_runs/{RUN}/set_state":
            self.moved.append(json.loads(request.content)["state"]["type"])
            status, state = BECOMES[self.state]
            details = {"type": {"ACCEPT": "accept_details", "REJECT": "reject_details"}[status], "reason": "so it is"}
            return httpx.Response(201, json={"state": {"type": state}, "status": status, "details": details})
        if request.url.path == f"/api/flow_runs/{RUN}":
            above = self.above and str(self.above)
            run = {"id": str(RUN), "flow_id": str(FLOW), "state": {"type": self.state}, "parent_task_run_id": above}
            return httpx.Response(200, json=run)
        if request.url.path == f"/api/flows/{FLOW}":
            return httpx.Response(200, json={"id": str(FLOW), "name": "retire-queue"})
        return httpx.Response(404, json={})

    def client(self) -> AbstractAsyncContextManager[PrefectClient]:
        return PrefectClient("http://127.0.0.1:1/api", httpx_settings={"transport": httpx.MockTransport(self)})


@pytest.fixture
def told() -> list[str]:
    """What was told before a run was cancelled."""
    return []


@pytest.fixture
def tell(told: list[str]) -> Callable[[str], Any]:
    async def before(flow: str) -> None:
        told.append(flow)

    return before


@pytest.mark.parametrize("state", ["RUNNING", "SCHEDULED"])
async def test_a_run_is_cancelled_whether_it_has_begun_or_not(
    state: str, told: list[str], tell: Callable[[str], Any]
) -> None:
    """Prefect makes the one Cancelling, and the other Cancelled at once, which it calls a refusal."""
    server = Server(state)
    assert await cancel_run(RUN, tell, server.client)
    assert (told, server.moved) == (["retire-queue"], ["CANCELLING"])


@pytest.mark.parametrize(
    ("server", "error", "entered"),
    [
        (Server("COMPLETED"), StateConflict, 0),
        (Server("RUNNING", ABOVE), StateConflict, 0),
        (Server("PENDING"), StateConflict, 1),
        (Server("away"), EngineLost, 0),
    ],
    ids=["ended", "a part of another run", "ended meanwhile", "the server is away"],
)
async def test_a_run_that_cannot_be_cancelled_is_said_so(
    server: Server, error: type[Exception], entered: int, told: list[str], tell: Callable[[str], Any]
) -> None:
    """By its state before, and by what Prefect makes of it."""
    with pytest.raises(error):
        await cancel_run(RUN, tell, server.client)
    assert (len(told), len(server.moved)) == (entered, entered)


async def test_no_run_is_cancelled_that_is_unknown_or_refused_before() -> None:
    """What is raised before keeps the run as it is."""
    server = Server("RUNNING")

    async def refuse(_: str) -> None:
        raise ConfigError("not this one")

    with pytest.raises(ConfigError):
        await cancel_run(RUN, refuse, server.client)
    assert not await cancel_run(ABOVE, refuse, server.client)
    assert server.moved == []
