"""Virtual time: an event loop that jumps to the next timer, and processes that can be killed or frozen in it.

Whatever a process starts (tasks, timers, callbacks) carries it in its context; the loop looks there before it
runs anything. So a dead process never runs a line again, not even its `finally` blocks.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import heapq
import sys
import warnings
from asyncio import events
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

#: Where virtual time begins: in the past of any machine that runs this, so that the sandbox, whose own clock is
#: the machine's, takes every cool-off for over.
EPOCH = datetime(2024, 3, 1, 2, 0, tzinfo=UTC)


@dataclass(eq=False)
class Life:
    """One simulated operating system process."""

    name: str
    dead: bool = False
    frozen: bool = False
    #: When it was told to stop, by the machine's clock as the ledger writes it.
    told_to_stop: str | None = None
    #: Device and inode of the ledger's file when it started; None where there was no file.
    ledger: tuple[int, int] | None = None
    #: What came due while it was frozen.
    held: list[events.Handle] = field(default_factory=list)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)


#: The process that a task or timer belongs to; nothing for the platform and the simulation itself.
LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


def _may_run(handle: Any) -> bool:
    life: Life | None = handle._context.get(LIFE)
    if life is None:
        return True
    if life.frozen and not life.dead:
        life.held.append(handle)
    return not (life.frozen or life.dead)


class _Handle(events.Handle):
    def _run(self) -> None:
        if _may_run(self):
            super()._run()


class _Timer(events.TimerHandle):
    def _run(self) -> None:
        if _may_run(self):
            super()._run()


class Stuck(Exception):
    """Nothing is ready and no timer is set: everybody waits for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An asyncio loop whose time passes only when nothing is ready; no threads, no sockets, no sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._selector = self
        self.set_task_factory(_task_of_a_life)
        self.set_exception_handler(self._remember)
        self.complaints: list[str] = []

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """The selector's part: instead of waiting, time jumps to the next timer."""
        if timeout is None:
            raise Stuck("everybody waits, and nothing will happen any more")
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]  # private to asyncio
        if timeout > 0 and scheduled:
            self._now = max(self._now, scheduled[0].when())
        return []

    def call_at(  # type: ignore[override]  # typeshed's generic arguments say no more than Any here
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        timer: Any = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]  # private to asyncio
        timer._scheduled = True
        handle: events.TimerHandle = timer
        return handle

    def _call_soon(self, callback: Any, args: Any, context: Context | None) -> events.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]  # private to asyncio
        return handle

    def thaw(self, life: Life) -> None:
        """Lets a frozen process go on; what came due meanwhile runs in its order."""
        life.frozen = False
        held, life.held = life.held, []
        self._ready.extend(held)  # type: ignore[attr-defined]  # private to asyncio

    def _process_events(self, event_list: Any) -> None:
        """There are no sockets."""

    def _write_to_self(self) -> None:
        """There is nobody to wake: one thread does everything."""

    def _remember(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.complaints.append(f"{context['message']}: {type(error).__name__}")


def _task_of_a_life(
    loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None, **options: Any
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context, **options)
    life = (context or copy_context()).get(LIFE)
    if life is not None:
        life.tasks.append(task)
    return task


def spawn(loop: VirtualLoop, life: Life | None, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Starts something as a process of its own (None: as the simulation itself)."""
    context = copy_context()
    context.run(LIFE.set, life)
    return loop.create_task(work, context=context)


_graves: list[Life] = []


def bury(life: Life) -> None:
    """Keeps what a dead process left suspended, until `clear_graves`."""
    life.dead = True
    for task in life.tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own way to keep quiet
    if any(not task.done() for task in life.tasks):
        _graves.append(life)
    else:
        life.tasks.clear()


def clear_graves(more_than: int = 0) -> None:
    """Takes the suspended coroutines apart, silently: nobody hears what the cleanup of the dead says.

    Left to the garbage collector it would happen in the midst of a seed, and complain on the terminal.
    """
    if len(_graves) <= more_than:
        return
    hook, sys.unraisablehook = sys.unraisablehook, lambda _complaint: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _graves.clear()
            # What is taken apart may leave something behind in turn.
            for _ in range(5):
                if not gc.collect():
                    break
    finally:
        sys.unraisablehook = hook


atexit.register(clear_graves)


class Inline(Executor):
    """Runs what is submitted at once, in between two gates that may kill or freeze the process.

    `around` stands for the disk: it does the work, or fails as a full one does.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        life: Life,
        gate: Callable[[str, Life], None],
        around: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._loop = loop
        self._life = life
        self._gate = gate
        self._around = around

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._gate("before-the-ledger", self._life)
        if self._life.dead:
            return future  # nobody is there to hear of it
        if self._life.frozen:
            self._loop.call_soon(self._run, future, lambda: work(*args, **options))
            return future
        self._run(future, lambda: work(*args, **options))
        self._gate("after-the-ledger", self._life)
        return Future() if self._life.dead else future

    def _run(self, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            future.set_result(self._around(work))
        except Exception as error:  # noqa: BLE001 - an executor hands everything to the future
            future.set_exception(error)


@dataclass
class MachineClock:
    """The wall clock of the machine, which somebody may set."""

    loop: VirtualLoop
    step: float = 0.0

    def __call__(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time() + self.step)
