"""A service is never asked faster than it allows, by however many learners at once."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from retirement.wire.api import Api, Retry
from retirement.wire.limits import Gate, Limits, Rate
from retirement.wire.pool import Pool

from .doubles import Clock, Naps, Script

pytestmark = pytest.mark.anyio


class Time(Clock):
    """A clock that sleeping moves on; turns are slept for one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(round(seconds, 6))
        await asyncio.sleep(0)


async def passed(gate: Gate, *requests: str) -> None:
    async def one(request: str) -> None:
        async with gate.passing(request):
            await asyncio.sleep(0)

    await asyncio.gather(*(one(request) for request in requests))


async def test_a_burst_passes_and_the_rest_is_spread() -> None:
    """Three in six seconds: three at once, then one every two seconds."""
    time = Time()
    gate = Gate(Limits(rates={"": Rate(3, 6)}), clock=time, sleep=time.sleep)
    await passed(gate, *["GET /x"] * 6)
    assert time.waits == [2, 4, 6]
    time.now += 100
    await passed(gate, *["GET /x"] * 4)

    assert time.waits == [2, 4, 6, 2]


async def test_a_rate_is_that_of_the_requests_that_begin_so() -> None:
    """A search counts towards the limit of searches and towards that of all requests."""
    time = Time()
    limits = Limits(rates={"": Rate(2, 10), "POST /search": Rate(1, 10)})
    gate = Gate(limits, clock=time, sleep=time.sleep)
    await passed(gate, "POST /search", "POST /search")
    assert time.waits == [10]
    await passed(gate, "GET /x")

    assert time.waits == [10, 5]


async def test_so_many_at_a_time_and_no_more() -> None:
    """The next one waits for the answer of one before."""
    under_way, most = 0, 0

    async def service(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        under_way -= 1
        return httpx.Response(204)

    client = Pool("https://svc.example", httpx.MockTransport(service))
    api = Api("SVC", client, retry=Retry(sleep=Naps()), gate=Gate(Limits(at_once=3)))
    await asyncio.gather(*(api.post("/x") for _ in range(12)))

    assert most == 3


async def test_each_try_counts() -> None:
    """A service counts what it receives, not what we mean."""
    time = Time()
    script = Script(httpx.Response(503), httpx.Response(503), httpx.Response(204))
    gate = Gate(Limits(rates={"": Rate(1, 5)}), clock=time, sleep=time.sleep)
    await script.api(gate=gate).post("/x")

    assert time.waits == [5, 10]
