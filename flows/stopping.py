"""Being told to stop inside a flow run: what has begun is ended, and the run says so in a state of its own.

Prefect takes SIGTERM for itself while a flow runs in the main thread and breaks off wherever the event loop
is, in the middle of a request; runs below it take the signal back whoever held it. Signals can be had in the
main thread only, so the body of the outermost flow runs in another one, and there a signal is what it is
everywhere else in this project: a cancellation of the work, which `retirement.engine.carefully` survives.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from prefect.context import AsyncClientContext, FlowRunContext

from retirement.beside import Beside
from retirement.engine import carefully
from retirement.errors import Interrupted
from retirement.site import Stop

Result = TypeVar("Result")


async def stoppable(body: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Runs the body of a flow so that SIGTERM, SIGINT and a cancellation cancel it once, and nothing else.

    Raises `Interrupted` where the body does not survive that. Further signals are ignored, for one stop comes
    from several sides: the service manager, the runner above us, the terminal. Beside the main thread, and so
    in the command line and in runs below another run, the body is simply awaited.
    """
    if threading.current_thread() is not threading.main_thread():
        return await body()
    elsewhere = Beside(lambda: _with_a_client(body))
    with elsewhere.told_by_signals():
        ended = asyncio.wrap_future(elsewhere.start())
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not ended.done():
                elsewhere.tell()
                # Interrupted or not: the cancellation from above goes on once the work is put away.
                with suppress(asyncio.CancelledError):
                    await ended
            if elsewhere.told_by_signal:
                raise Interrupted("the run was told to stop") from None
            raise


async def put_away(work: Awaitable[Result], stop: Stop) -> Result:
    """Waits for work as `carefully` does; a cancellation that the work survived is over, and the run goes on.

    For runs that have something to say after they were stopped: who was given back, and where.
    """
    task = asyncio.ensure_future(work)
    try:
        return await carefully(task, stop)
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if own is None or not task.done() or task.cancelled():
            raise
        own.uncancel()
        return task.result()


async def _with_a_client(body: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The body in the context of its flow run, with a client of this event loop."""
    run = FlowRunContext.get()
    async with AsyncClientContext.get_or_create() as ours:
        if run is None:
            return await body()
        with run.model_copy(update={"client": ours.client}):
            return await body()
