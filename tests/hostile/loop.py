"""An event loop with real sockets whose clock does not wait: where nothing is ready, time jumps to the next timer.

All who talk to each other run in this one loop and on this machine, so what was sent is there to be read at once;
what is still not there after a moment of real time will not come before the next timer. One byte a second for ten
minutes takes some hundred milliseconds so.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

#: Seconds of real time that a socket is waited for before time jumps.
MOMENT = 0.001
#: Seconds of real time after which a loop that waits for nothing but sockets is stuck.
STUCK = 60.0


class Stuck(Exception):
    """No timer is set, and no socket has anything to say: every task waits for ever."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # it is another class on each system
    """Waits for sockets as long as there is something to read, and never for the time."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        """What is ready; `timeout` is in seconds of the loop, None where no timer is set."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            if found := super().select(STUCK):
                return found
            raise Stuck
        ready = super().select(MOMENT)
        if not ready:
            self._jump(timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """`jumped` is told the seconds of each jump, so that other clocks can follow."""

    def __init__(self, jumped: Callable[[float], None]) -> None:
        self._now = 0.0
        self._jumped = jumped
        super().__init__(_Selector(self._jump))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Seconds since the loop was made; nothing that is done takes any."""
        return self._now

    def run_in_executor(self, executor: Any, work: Callable[..., Any], *args: Any) -> Any:
        """Does the work at once: time would jump over the answer of a thread."""
        future = self.create_future()
        try:
            future.set_result(work(*args))
        except Exception as error:  # noqa: BLE001 - an executor hands every exception to the task that waits
            future.set_exception(error)
        return future

    def _jump(self, seconds: float) -> None:
        self._now += seconds
        self._jumped(seconds)
