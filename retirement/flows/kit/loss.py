"""The loss of Prefect's server or of its database in the middle of a run: a patience of our own, then an error.

Prefect itself tries each request again for minutes. A run does not need it to end the learners that it has begun, so
the wait for Prefect is broken off once they are through.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

from prefect.settings import get_current_settings

from retirement import process
from retirement.errors import EngineLost, RetirementError
from retirement.flows.kit.health import is_alive, is_failure
from retirement.process import waiting
from retirement.site import Stop
from retirement.site.stopping import survive

Result = TypeVar("Result")
Ask = Callable[[], Awaitable[bool]]

#: Blocks of this process that go on without Prefect's server.
_without: list[object] = []

#: Seconds without an answer after which the server counts as lost, and seconds between two looks.
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 5.0


async def _is_alive() -> bool:
    url = get_current_settings().api.url
    # Without an address Prefect runs a server within this process, as in tests of flows.
    return await is_alive(str(url)) if url else True


async def unless_lost(work: Awaitable[Result], stop: Stop, ended: Callable[[], bool], ask: Ask = _is_alive) -> Result:
    """Waits for work that Prefect records, as if it were awaited here: a cancellation goes to the work.

    Where the server is lost, `stop` is set, and once `ended` says that no learner is under way the work is left
    alone. Raises `EngineLost` then, and for an error of Prefect's client while the server is away.
    """
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_lost(ask))
    try:
        async with loss_told(ask, process.left_alone.set):
            if await until_first(task, watch):
                return task.result()
            what = f"Prefect's server has not answered for {PATIENCE_SECONDS:.0f} s; its records are incomplete"
            stop.set(lost := EngineLost(what))
            await _until(lambda: ended() or task.done())
            process.left_alone.set()
            task.cancel()
            raise lost
    finally:
        watch.cancel()


@asynccontextmanager
async def loss_told(ask: Ask = _is_alive, lost: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Raises `EngineLost` for an error of Prefect's client within the block, where the server fails or is away.

    A server that was away may be back when it is asked, so its own failure counts whatever it says then. `lost` is
    called first; errors of ours go through.
    """
    try:
        yield
    except RetirementError:
        raise
    except Exception as error:  # whatever Prefect's client raises; what is no loss goes on
        if not is_failure(error) and await ask():
            raise
        lost()
        what = "Prefect's server, or its database, fails or does not answer; its records are incomplete"
        raise EngineLost(what) from None


async def _until(ended: Callable[[], bool]) -> None:
    while not ended():  # noqa: ASYNC110 - it is a question to others
        await asyncio.sleep(0.1)


@contextmanager
def not_needed() -> Iterator[None]:
    """For the length of the block the server may be away as long as it likes: `unless_lost` counts from its end."""
    block = object()
    _without.append(block)
    try:
        yield
    finally:
        _without.remove(block)


async def until_first(task: "asyncio.Future[Any]", other: "asyncio.Future[Any]") -> bool:
    """Waits for one of the two; whether it is the first. A cancellation goes to the first, which may survive it."""
    cancelled = 0
    while not task.done():
        try:
            await asyncio.wait([task, other], return_when=asyncio.FIRST_COMPLETED)
            break
        except asyncio.CancelledError:
            cancelled += 1
            task.cancel()
    survive(task, cancelled)
    return task.done()


async def until_it_answers(ask: Ask = _is_alive) -> bool:
    """Waits while the server is away; False where it was not. `unless_lost`, above the caller, ends the wait."""
    if await ask():
        return False
    with waiting("Prefect's server"):
        while not await ask():  # noqa: ASYNC110 - another machine sets it
            await asyncio.sleep(LOOK_SECONDS)
    return True


async def _lost(ask: Ask) -> None:
    """Returns once the server has not answered for as long as we are patient."""
    answered = time.monotonic()
    while time.monotonic() - answered < PATIENCE_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        began = time.monotonic()
        with suppress(Exception):  # no kind of failure may end the watch
            if _without or await ask():
                answered = began
