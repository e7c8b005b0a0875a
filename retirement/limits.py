"""How fast and how many at a time a service may be asked, for all who share a process.

A rate is spread over its period with a burst of the whole allowance, as vendors count it. Who shares an engine
with other processes puts a gate of its own in front (`flows.rates`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field


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


class Gate:
    """Holds requests up until the limits of one service let them pass."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limits = limits
        self._clock, self._sleep = clock, sleep
        self._places = asyncio.Semaphore(limits.at_once) if limits.at_once else None
        #: When the allowance of a rate would be whole again.
        self._full_at = dict.fromkeys(limits.rates, 0.0)

    @asynccontextmanager
    async def passing(self, request: str) -> AsyncIterator[None]:
        """Waits for a turn; the request, as method and path template, counts until the block ends."""
        # The place first: those who wait for one would all go at once, having had their turns.
        async with self._places or nullcontext():
            for beginning in self.limits.on(request):
                await self._turn(beginning)
            yield

    async def _turn(self, beginning: str) -> None:
        rate = self.limits.rates[beginning]
        now = self._clock()
        each = rate.seconds / rate.calls
        # Nothing between here and the sleep gives way to another request, so turns are given out one by one.
        full_at = max(self._full_at[beginning], now) + each
        self._full_at[beginning] = full_at
        if (wait := full_at - rate.seconds - now) > 0:
            await self._sleep(wait)
