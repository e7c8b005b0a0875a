"""How fast and how many at a time a service may be asked, for all who share a process.

A rate is spread over its period with a burst of the whole allowance, as vendors count it. Who shares an engine
with other processes puts a gate of its own in front (`retirement.flows.kit.rates`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field

from retirement.wire.pace import Pace


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in so many seconds."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class Limits:
    """What a service allows. `rates` are by the beginning of a request, as `POST /users/export`; "" is every one."""

    at_once: int | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)

    def on(self, request: str) -> list[str]:
        """The rates that a request counts towards."""
        return [beginning for beginning in self.rates if request.startswith(beginning)]


class Allowance:
    """What is left of a rate. `now` is in seconds of one clock."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        #: When it would be whole again.
        self.full_at = 0.0

    def wait(self, now: float) -> float:
        """Seconds until there is room for one more call; 0 or less: there is."""
        return max(self.full_at, now) + self._rate.seconds / self._rate.calls - self._rate.seconds - now

    def take(self, now: float) -> float:
        """Counts a call, and returns the seconds that it has to wait."""
        wait = self.wait(now)
        self.full_at = wait + self._rate.seconds + now
        return wait


class Gate:
    """Holds requests up until the limits of one service let them pass."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        pace: Pace | None = None,
    ) -> None:
        """`pace` finds out how many requests at a time the service takes, where the limits allow more."""
        self.limits = limits
        self._pace = pace
        self._clock, self._sleep = clock, sleep
        self._places = asyncio.Semaphore(limits.at_once) if limits.at_once else None
        self._allowances = {beginning: Allowance(rate) for beginning, rate in limits.rates.items()}

    def passing(self, request: str) -> AbstractAsyncContextManager[None]:
        """Waits for a turn; the request, as method and path template, counts until the block ends."""
        return self._limited(request) if self._pace is None else self._paced(request, self._pace)

    @asynccontextmanager
    async def _paced(self, request: str, pace: Pace) -> AsyncIterator[None]:
        async with pace.place(), AsyncExitStack() as stack:
            with pace.waits():
                await stack.enter_async_context(self._limited(request))
            with pace.answered(request):
                yield

    @asynccontextmanager
    async def _limited(self, request: str) -> AsyncIterator[None]:
        # The place first: those who wait for one would all go at once, having had their turns.
        async with self._places or nullcontext():
            for beginning in self.limits.on(request):
                await self._turn(beginning)
            yield

    async def _turn(self, beginning: str) -> None:
        # Nothing between here and the sleep gives way to another request, so turns are given out one by one.
        if (wait := self._allowances[beginning].take(self._clock())) > 0:
            await self._sleep(wait)


#: Waits for a turn that several processes share: told the service, its limits and the request.
Turn = Callable[[str, Limits, str], AbstractAsyncContextManager[None]]

_turn: ContextVar[Turn | None] = ContextVar("turn", default=None)


@contextmanager
def shared_turns(turn: Turn | None) -> Iterator[None]:
    """For the requests of this block, which wait for `turn` first; None: for what they would wait for without it."""
    before = _turn.set(turn or _turn.get())
    try:
        yield
    finally:
        _turn.reset(before)


class SharedGate(Gate):
    """The gate of one service; where processes share an engine, it waits for their turn first."""

    def __init__(self, service: str, limits: Limits, pace: Pace | None = None) -> None:
        super().__init__(limits, pace=pace)
        self._service = service

    @asynccontextmanager
    async def _limited(self, request: str) -> AsyncIterator[None]:
        """Waits for the turn among processes, and then among the learners of this one."""
        async with AsyncExitStack() as stack:
            turn = _turn.get()
            if turn and (self.limits.at_once or self.limits.rates):
                await stack.enter_async_context(turn(self._service, self.limits, request))
            await stack.enter_async_context(super()._limited(request))
            yield
