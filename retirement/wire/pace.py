"""How many requests a service takes at the same time, found out by how it answers (`queue.at_once: auto`).

The number grows by one with each window of answers that came as soon as usual, and falls by a third with one that was
slow or full of errors. What usual means, and why nothing swings, is in docs/decisions/0029.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from statistics import median

from retirement.errors import RateLimited, ServiceError, Transient

#: Requests at a time to begin with.
FIRST = 4
#: Answers that are judged together; more where more requests are under way.
WINDOW = 16
#: What is left of the number after a bad window.
LESS = 0.7
#: So many times as long as usual is slow; below the second there is room for more.
SLOW, CALM = 2.0, 1.25
#: Seconds that an answer may always take longer than usual: what our own process needs meanwhile.
SLACK = 0.02
#: Share of failed answers in a window from which on the service counts as in trouble.
FAILING = 0.2
#: Share of failures from which on it is down, and nothing can be learnt of the number.
OUTAGE = 0.9
#: Windows until a number that went wrong is tried again; doubled each time.
PATIENCE, LONGEST_PATIENCE = 16, 256
#: Longest pause in seconds that all requests of a service make because it asked one of them for a pause.
LONGEST_PAUSE = 15.0


class _Window:
    """The answers since the number changed."""

    def __init__(self) -> None:
        self.answers = 0
        self.failed = 0
        self.refused = False  #: it asked for a pause
        self.pressed = False  #: more requests would have been made
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @property
    def share(self) -> float:
        """How many of the answers were failures."""
        return self.failed / self.answers


class Pace:
    """The requests of one service that are under way, at most `limit` at a time and never more than `most`."""

    def __init__(
        self,
        most: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.most = most
        self.limit = min(FIRST, most)
        #: Requests that wait for their turn, for whatever reason.
        self.waiting = 0
        self._clock, self._sleep = clock, sleep
        self._places = asyncio.Semaphore(self.limit)
        self._owed = 0  #: places to take away once they are free
        self._pause_until = 0.0
        self._window = _Window()
        #: Seconds that an answer usually takes, by request.
        self._usual: dict[str, float] = {}
        #: The last ratio of seconds to the usual ones, by which a request is judged that is new.
        self._ratio = 1.0
        #: The number before it fell because the service was slow, and how slow it was.
        self._tried: tuple[int, float] | None = None
        #: The largest number that went well since a larger one was refused, and windows until that is tried again.
        self._ceiling, self._patience, self._windows_left = most, PATIENCE, 0
        self._begins = True  #: nothing has stood in the way of a larger number yet
        self._refused = False  #: since the last window that went well
        self._down = 0  #: the number when the service went down
        #: The share of failures that the service has whatever the number is.
        self._usual_failures = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits for one of the places, and for the end of a pause, and keeps the place until the block ends."""
        with self.waits():
            await self._places.acquire()
        try:
            with self.waits():
                while (pause := self._pause_until - self._clock()) > 0:
                    await self._sleep(pause)
            yield
        finally:
            if self._owed:
                self._owed -= 1
            else:
                self._places.release()

    @contextmanager
    def waits(self) -> Iterator[None]:
        """For a block that waits for a turn."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextmanager
    def answered(self, request: str) -> Iterator[None]:
        """Counts the answer to a request, method and path template, which is sent and judged in the block."""
        window, began = self._window, self._clock()
        try:
            yield
        except Transient as error:
            self._failed(window, error)
            raise
        except ServiceError:
            # An answer, and often a quick one: how long others take is not seen by it.
            self._count(window)
            raise
        if window is self._window:
            window.seconds[request].append(self._clock() - began)
            self._count(window)

    def _failed(self, window: _Window, error: Transient) -> None:
        if isinstance(error, RateLimited):
            window.refused = True
            if self.limit == 1:
                # One at a time are too many: all of them wait until the moment that it gave.
                pause = min(error.retry_after, LONGEST_PAUSE)
                self._pause_until = max(self._pause_until, self._clock() + pause)
        window.failed += 1
        self._count(window)

    def _count(self, window: _Window) -> None:
        if window is not self._window:
            # It was asked before the number changed and says nothing of the new one.
            return
        window.answers += 1
        # The place of this request is taken still.
        window.pressed = window.pressed or self._places.locked()
        if window.refused or window.answers >= self._due(window):
            self._judge(window)
            self._window = _Window()

    def _due(self, window: _Window) -> int:
        """The answers of a whole window: few of few requests at a time, many where some of them failed."""
        due = max(min(WINDOW, self.limit * 2), self.limit)
        return due * 4 if self._usual_failures + FAILING < window.share < OUTAGE else due

    def _judge(self, window: _Window) -> None:
        """Sets the number by a window that is whole."""
        if window.refused:
            self._too_many()
        elif window.share >= OUTAGE:
            self._down = max(self._down, self.limit)
            self._set(max(1, int(self.limit * LESS)))
        elif window.share > self._usual_failures + FAILING:
            self._failing(window.share)
        elif (ratio := self._compared(window)) >= SLOW:
            self._slow(ratio)
        else:
            self._well(window, ratio)

    def _too_many(self) -> None:
        if not self._refused:
            # What follows at once is the same trouble.
            self._refused = True
            self._ceiling, self._windows_left = max(1, self.limit - 1), self._patience
            self._patience = min(self._patience * 2, LONGEST_PATIENCE)
        self._tried = None
        self._set(max(1, int(self.limit * LESS)))

    def _failing(self, share: float) -> None:
        number = self._fewer(share)
        if number is not None:
            self._usual_failures = share
            self._set(number)

    def _slow(self, ratio: float) -> None:
        number = self._fewer(ratio)
        if number is not None:
            self._usual = {request: seconds * ratio for request, seconds in self._usual.items()}
            self._ratio = 1.0
            self._set(number)

    def _fewer(self, trouble: float) -> int | None:
        """Takes fewer at a time; the number before where that has been tried and made the trouble no smaller."""
        before, self._tried = self._tried, (self.limit, trouble)
        if self.limit > 1 and (before is None or trouble <= before[1] * (1 + LESS) / 2):
            self._set(max(1, int(self.limit * LESS)))
            return None
        # It was not the number, so nothing stands in its way.
        self._tried, self._begins = None, True
        return before[0] if before else self.limit

    def _well(self, window: _Window, ratio: float) -> None:
        self._learn(window, ratio)
        self._tried, self._refused = None, False
        if self._down:
            # It is there again; it was not for their number that it was away.
            self._set(max(self.limit, int(self._down * LESS)))
            self._down = 0
            return
        self._ceiling = max(self._ceiling, self.limit)
        self._windows_left = max(0, self._windows_left - 1)
        may_grow = self.limit < self._ceiling or not self._windows_left
        if ratio < CALM and window.pressed and self.limit < self.most and may_grow:
            if self.limit == self._ceiling:
                self._windows_left = self._patience
            bound = self.most if self.limit >= self._ceiling else self._ceiling
            self._set(min(bound, self.limit + max(1, self.limit // 2)) if self._begins else self.limit + 1)
        self._begins = self._begins and ratio < CALM

    def _compared(self, window: _Window) -> float:
        """How many times as long as usual the answers of a window took: of all of them the middle one."""
        ratios: list[float] = []
        for request, each in window.seconds.items():
            usual = self._usual.setdefault(request, median(each) / max(1.0, self._ratio))
            ratios += [seconds / usual if seconds - usual > SLACK else min(seconds / usual, 1.0) for seconds in each]
        self._ratio = median(ratios) if ratios else 1.0
        return self._ratio

    def _learn(self, window: _Window, ratio: float) -> None:
        """What is usual falls with answers that come sooner, and rises only while the number stays as it is."""
        self._usual_failures = min(self._usual_failures, (self._usual_failures + window.share) / 2)
        for request, each in window.seconds.items():
            seen, usual = median(each), self._usual[request]
            if seen < usual:
                self._usual[request] += (seen - usual) * 0.3
            elif ratio < CALM and (self.limit == self.most or not window.pressed):
                self._usual[request] += (seen - usual) * 0.1

    def _set(self, limit: int) -> None:
        self._begins = self._begins and limit >= self.limit
        self._owed += max(0, self.limit - limit)
        for _ in range(limit - self.limit):
            if self._owed:
                self._owed -= 1
            else:
                self._places.release()
        self.limit = limit


class Paces:
    """The paces of all services of a process; each finds out its own."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`most` is the largest number of requests at a time for any of them."""
        self._most, self._clock = most, clock
        self._of: dict[str, Pace] = {}

    def of(self, service: str) -> Pace:
        """That of a service, the same one for all that talk to it."""
        return self._of.setdefault(service, Pace(self._most, clock=self._clock))

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn, of all services."""
        return sum(pace.waiting for pace in self._of.values())

    def __str__(self) -> str:
        return ", ".join(f"{service} {pace.limit}" for service, pace in sorted(self._of.items()))
