"""Being told to stop inside a flow run: what has begun is ended, and the run says so in a state of its own.

Prefect takes SIGTERM for itself while a flow runs in the main thread and breaks off wherever the event loop
is, in the middle of a request; runs below it take the signal back whoever held it. Signals can be had in the
main thread only, so the body of the outermost flow runs in another one, and there a signal is what it is
everywhere else in this project: a cancellation of the work, which `retirement.engine.carefully` survives.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from prefect.context import AsyncClientContext, FlowRunContext

from retirement.engine import carefully
from retirement.errors import Interrupted
from retirement.site import Stop

Result = TypeVar("Result")

#: What ends a process on purpose: Ctrl-C, and everybody else.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def stoppable(body: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Runs the body of a flow so that SIGTERM, SIGINT and a cancellation cancel it once, and nothing else.

    Raises `Interrupted` where the body does not survive that. Further signals are ignored, for one stop comes
    from several sides: the service manager, the runner above us, the terminal. Beside the main thread, and so
    in the command line and in runs below another run, the body is simply awaited.
    """
    if threading.current_thread() is not threading.main_thread():
        return await body()
    elsewhere = _Elsewhere(body)
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


class _Elsewhere:
    """A body that runs in a thread and an event loop of its own, with the context of the flow run."""

    def __init__(self, body: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.told = False
        self.told_by_signal = False
        self._body = body
        self._ended: Future[Any] = Future()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def start(self) -> "Future[Any]":
        context = copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="flow-run", daemon=True).start()
        return self._ended

    def tell(self) -> None:
        """Cancels the body, the first time it is called."""
        if self.told:
            return
        self.told = True
        if self._task:
            loop, task = self._task
            with suppress(RuntimeError):  # the loop has closed by itself meanwhile
                loop.call_soon_threadsafe(task.cancel)

    @contextmanager
    def told_by_signals(self) -> Iterator[None]:
        """Takes the signals until the block ends; then they are Prefect's again."""

        def on_signal(_number: int, _frame: object) -> None:
            self.told_by_signal = True
            self.tell()

        before = {number: signal.signal(number, on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _work(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._ended.set_result(runner.run(self._main()))
        except BaseException as error:  # noqa: BLE001 - raised again where the flow waits for it
            self._ended.set_exception(error)

    async def _main(self) -> Any:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an event loop runs tasks")
        self._task = (asyncio.get_running_loop(), task)
        if self.told:  # before there was anything to cancel
            raise asyncio.CancelledError
        run = FlowRunContext.get()
        # A client belongs to one event loop, so this one gets its own.
        async with AsyncClientContext.get_or_create() as ours:
            if run is None:
                return await self._body()
            with run.model_copy(update={"client": ours.client}):
                return await self._body()
