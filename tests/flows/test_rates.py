"""Limits of services across processes: what one process has used up, the other waits for."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from retirement.flows.kit import rates
from retirement.wire.limits import Limits, Rate, SharedGate, shared_turns
from tests import locks, patient
from tests.patient import PATIENCE

pytestmark = pytest.mark.dear(seconds=30)

#: Passes the gate of a service so many times and prints when; `hold` is how long each request takes.
PASS = """
import asyncio, json, sys, time
from retirement.flows.kit import rates
from retirement.wire.limits import Limits, Rate, SharedGate, shared_turns

service, request, times, hold, limits = json.loads(sys.argv[1])
gate = SharedGate(service, Limits(limits["at_once"], {k: Rate(*v) for k, v in limits["rates"].items()}))

async def main():
    seen = []
    for _ in range(times):
        async with gate.passing(request):
            began = time.time()
            await asyncio.sleep(hold)
            seen.append([began, time.time()])
    print(json.dumps(seen))

with shared_turns(rates.turn):
    asyncio.run(main())
"""

Passages = list[tuple[float, float]]


@pytest.fixture
def processes(engine: str, environment: dict[str, str]) -> Callable[..., list[Passages]]:
    """Runs two processes that pass the gate of one service; when each of their requests began and ended."""

    def run(request: str, times: int, hold: float, **limits: Any) -> list[Passages]:
        service = f"TEST-{uuid4()}"
        given = json.dumps([service, request, times, hold, {"at_once": None, "rates": {}} | limits])
        command = [sys.executable, "-c", PASS, given]
        settings = {**environment, **locks.variables(engine)}
        with ExitStack() as stack:
            started = [
                stack.enter_context(subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True))
                for _ in range(2)
            ]
            answers = [process.communicate(timeout=PATIENCE)[0] for process in started]
        return [[(began, ended) for began, ended in json.loads(answer)] for answer in answers]

    return run


def test_two_processes_share_one_rate(processes: Callable[..., list[Passages]]) -> None:
    """Together they are no faster than one: two calls at once, and one more every second."""
    first, second = processes("POST /users/delete/now", 4, 0.0, rates={"POST /users/delete": [2, 2.0]})

    began = sorted(moment for moment, _ in first + second)
    assert len(began) == 8
    # Six of the eight have to wait for a slot, and slots come back at one a second.
    assert began[-1] - began[0] >= 5.0


def test_two_processes_share_the_places(processes: Callable[..., list[Passages]]) -> None:
    """A service that takes one request at a time is never sent two."""
    first, second = processes("GET /", 3, 0.3, at_once=1)

    requests = sorted(first + second)
    assert len(requests) == 6
    assert all(earlier[1] <= later[0] + 0.05 for earlier, later in pairwise(requests))


def test_limits_have_names_that_operators_find(engine: str) -> None:
    """And the numbers of the connector, brought up to date where those have changed."""
    service = f"TEST-{uuid4()}"
    name = rates.name_of(service, "POST /users/delete")

    async def pass_once(calls: int) -> None:
        async with rates.turn(service, Limits(rates={"POST /users/delete": Rate(calls, 60)}), "POST /users/delete"):
            pass

    def passed(calls: int) -> dict[str, Any]:
        rates._made.clear()
        asyncio.run(pass_once(calls))
        found: dict[str, Any] = patient.get(f"{engine}/v2/concurrency_limits/{name}").raise_for_status().json()
        return found

    assert name == f"retirement:{service}:POST users.delete"
    assert rates.name_of("AMPLITUDE") == "retirement:AMPLITUDE"
    with locks.client(engine):
        made = passed(120)
        changed = passed(240)
    assert (made["limit"], made["slot_decay_per_second"]) == (120, 2.0)
    assert (changed["limit"], changed["slot_decay_per_second"]) == (240, 4.0)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/api", None])
def test_an_engine_that_refuses_or_is_not_there_makes_nothing_fail(address: str | None) -> None:
    """The process keeps the limits for itself, as it does without an engine."""
    gate = SharedGate("TEST", Limits(at_once=1, rates={"": Rate(2, 0.4)}))

    async def passages() -> float:
        began = time.monotonic()
        for _ in range(4):
            async with gate.passing("GET /"):
                pass
        return time.monotonic() - began

    with temporary_settings({PREFECT_API_URL: address}), shared_turns(rates.turn):
        assert asyncio.run(passages()) >= 0.3
    assert rates._made.get(("http://127.0.0.1:9/api", "retirement:TEST"), False) is False


def test_a_service_without_limits_asks_no_engine() -> None:
    """Most have none, and a request more for each of theirs would be felt."""
    asked: list[str] = []

    async def passage() -> None:
        async with SharedGate("LMS", Limits()).passing("GET /"):
            pass

    with shared_turns(lambda _service, _limits, request: asked.append(request)):  # type: ignore[arg-type,func-returns-value]  # it must not be called
        asyncio.run(passage())
    assert asked == []
