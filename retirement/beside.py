"""Work beside the main thread, so that a signal is a cancellation of that work and nothing else.

Signals can be had in the main thread only, and whoever runs an event loop there is broken off wherever it is.
The command line and the flows of deployments both run their work so.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any

#: What ends a process on purpose: Ctrl-C, and everybody else.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class Beside:
    """A body that runs in a thread and an event loop of its own, with the context of whoever starts it."""

    def __init__(
        self,
        body: Callable[[], Coroutine[Any, Any, Any]],
        *,
        loop_factory: LoopFactory | None = None,
        once: bool = True,
    ) -> None:
        """`once`: only the first signal counts, for one stop comes from several sides at a time."""
        self.told = False
        self.told_by_signal = False
        self._once = once
        self._body = body
        self._loop_factory = loop_factory
        self._ended: Future[Any] = Future()
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def start(self) -> "Future[Any]":
        """Starts the body; its result or exception is the future's."""
        context = copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="beside", daemon=True).start()
        return self._ended

    def tell(self) -> None:
        """Cancels the body."""
        if self.told and self._once:
            return
        self.told = True
        if self._task:
            loop, task = self._task
            with suppress(RuntimeError):  # the loop has closed by itself meanwhile
                loop.call_soon_threadsafe(task.cancel)

    @contextmanager
    def told_by_signals(self) -> Iterator[None]:
        """Takes the signals until the block ends; then they are again whose they were."""

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
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                self._ended.set_result(runner.run(self._main()))
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
            self._ended.set_exception(error)

    async def _main(self) -> Any:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an event loop runs tasks")
        self._task = (asyncio.get_running_loop(), task)
        if self.told:  # before there was anything to cancel
            raise asyncio.CancelledError
        return await self._body()
