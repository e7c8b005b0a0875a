"""Many learners at services that have only so much power, in virtual time: with a fixed number at a time, or `auto`."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from retirement.errors import RateLimited, Transient
from retirement.queue.lanes import FIRST, Lanes
from retirement.wire.api import Retry
from retirement.wire.limits import Gate, Limits
from retirement.wire.pace import Paces
from tests.simulation.virtual import VirtualLoop

#: What a learner asks of each service, one request after the other.
REQUESTS = ("PATCH /status", "POST /retire", "PATCH /status")


@dataclass
class Service:
    """Answers after `seconds`, longer once more than `power` requests are under way; the clock decides the rest."""

    name: str
    seconds: float = 0.1
    power: int = 1_000
    #: More requests than that at a time are answered with 429.
    refuses_above: int = 1_000
    #: Requests in a second; more of them are answered with 429 and the pause until there is room.
    rate: int | None = None
    #: How many times as slow it is at a moment, and whether it answers with errors then.
    slower: Callable[[float], float] = lambda _now: 1.0
    broken: Callable[[float], bool] = lambda _now: False
    limits: Limits = field(default_factory=Limits)
    under_way: int = 0
    most: int = 0
    refused: int = 0
    #: When it answered 429.
    refusals: list[float] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(13))  # noqa: S311 - no secret
    recent: deque[float] = field(default_factory=deque)

    async def answer(self, request: str) -> None:
        """One request; raises what the wire makes of its answer."""
        now = asyncio.get_running_loop().time()
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self._work(request, now)
        finally:
            self.under_way -= 1

    async def _work(self, request: str, now: float) -> None:
        if self.broken(now):
            await asyncio.sleep(0.001)
            raise Transient(self.name, request, 500)
        if self.under_way > self.refuses_above:
            self.refusals.append(now)
            await asyncio.sleep(0.005)
            raise RateLimited(self.name, request, 429)
        if self.rate is not None:
            while self.recent and self.recent[0] <= now - 1:
                self.recent.popleft()
            if len(self.recent) >= self.rate:
                self.refusals.append(now)
                await asyncio.sleep(0.005)
                raise RateLimited(self.name, request, 429, retry_after=1)
            self.recent.append(now)
        load = max(1.0, self.under_way / self.power)
        await asyncio.sleep(self.seconds * load * self.slower(now) * self.chance.uniform(0.8, 1.25))


@dataclass
class Night:
    """What came of a queue run."""

    seconds: float = 0.0
    parked: int = 0
    widest: int = 0
    #: The most requests at a time of each service, each time that it changed, with the moment.
    numbers: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    #: When each learner was through, counted from the beginning.
    ends: list[float] = field(default_factory=list)

    def turns(self, service: str, after: float = 0.0) -> int:
        """How often the number of a service went down after it had gone up."""
        numbers = [number for at, number in self.numbers[service] if at >= after]
        steps = [after - before for before, after in pairwise(numbers)]
        return sum(one > 0 > other for one, other in pairwise(steps))


def night(services: Sequence[Service], learners: int, at_once: int | None, most: int = 32) -> Night:
    """Retires so many learners; `at_once` None finds the number out, up to `most`."""
    loop = VirtualLoop()
    found = Night()
    paces = Paces(most, clock=loop.time) if at_once is None else None
    gates = {
        each.name: Gate(each.limits, clock=loop.time, pace=paces.of(each.name) if paces else None) for each in services
    }
    random.seed(13)  # of the waits between tries

    async def retire(user_id: int) -> bool:
        try:
            for service in services:
                for request in REQUESTS:
                    async for attempt in Retry(clock=loop.time)():
                        with attempt:
                            async with gates[service.name].passing(request):
                                await service.answer(request)
                    note()
        except Transient:
            found.parked += 1
        found.ends.append(loop.time())
        return True

    def note() -> None:
        for service in services if paces else ():
            numbers = found.numbers.setdefault(service.name, [])
            if not numbers or numbers[-1][1] != paces.of(service.name).limit:
                numbers.append((loop.time(), paces.of(service.name).limit))

    lanes = Lanes(FIRST, most, lambda: paces.waiting) if paces else Lanes(at_once or 1, at_once or 1)
    try:
        loop.run_until_complete(lanes.take(range(learners), retire))
    finally:
        loop.close()
    found.seconds, found.widest = max(found.ends), lanes.widest
    return found
