"""Stopping between two calls and never within one: a request that is broken off is in doubt."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from retirement.errors import Interrupted, RetirementError
from retirement.privacy.spool import Spool

Result = TypeVar("Result")


class Stop:
    """Tells every learner of a run to stop before the next call; keeps the first reason."""

    def __init__(self) -> None:
        self.reason: RetirementError | None = None

    def __bool__(self) -> bool:
        return self.reason is not None

    def set(self, reason: RetirementError) -> None:
        self.reason = self.reason or reason

    def ensure_unset(self) -> None:
        """Raises `Interrupted` once the run stops, with the reason in its text."""
        if isinstance(self.reason, Interrupted):
            raise self.reason
        if self.reason is not None:
            raise Interrupted(f"the run stopped: {self.reason}")


async def finish_or_stop(work: Awaitable[Result], stop: Stop) -> Result:
    """Waits for work and returns its result. A cancellation sets `stop`, and the work ends what it has begun.

    The cancellation is over once the work has ended by itself, so that a run can say what it had done. A second
    cancellation is not waited for: it cancels the work, and goes on.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set(Interrupted("the run was told to stop"))
        try:
            return await task
        finally:
            survive(task, 1)


def survive(work: "asyncio.Future[Any]", cancellations: int) -> None:
    """Ends so many cancellations of the current task, where the work that they were for has ended by itself."""
    own = asyncio.current_task()
    if own and work.done() and not work.cancelled():
        for _ in range(cancellations):
            own.uncancel()


async def collect(found: list[Result] | Spool[Result], source: AsyncGenerator[Result, None], stop: Stop) -> None:
    """Appends what comes to `found`; raises what `stop` was set for before it asks for more."""
    async with aclosing(source):
        async for each in source:
            found.append(each)
            if stop.reason:
                raise stop.reason
