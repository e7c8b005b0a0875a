"""When each retirement has to be complete, which is most urgent, and whether all will be in time.

Pure: the caller brings learners, the time and what the ledger measured of past runs. Times are aware
datetimes; a deadline runs from the request (GDPR, article 12(3): one month from receipt).
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from retirement.learner import Learner

#: A learner who is not done within so long counts as never done.
HORIZON = timedelta(days=730)
#: Runs closer together than this are no runs of a queue, but keep a forecast busy.
SHORTEST_INTERVAL = timedelta(minutes=1)
#: Less slack than this at the expected end is a risk: one failed weekend uses it up.
RISK = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One learner who waits, in cool-off or past it."""

    user_id: int
    requested_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class QueueRun:
    """One queue run as the ledger has it: when it began, how many it took on, how many of them it retired."""

    began_at: datetime
    batch: int
    retired: int


class Pace(NamedTuple):
    """How fast retirement goes: queue runs a day, and the share of those taken on who are retired."""

    runs_per_day: float
    success: float

    def runs(self, now: datetime) -> Iterator[datetime]:
        """The times of the runs after `now` up to the horizon, the first a whole interval later.

        There are none at a pace that retires no learner.
        """
        if self.runs_per_day <= 0 or self.success <= 0:
            return
        interval = max(timedelta(days=1 / self.runs_per_day), SHORTEST_INTERVAL)
        run = now
        while run - now < HORIZON:
            run += interval
            yield run


class Breach(NamedTuple):
    """A learner whose deadline will be missed; `expected` is None where no end is in sight."""

    user_id: int
    expected: datetime | None
    due: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """What becomes of those who wait, if all goes on as it does.

    `breaches` in the order in which they end; `at_risk` end in time with less than `RISK` to spare;
    `clears_on` is the run that retires the last of them, None where no end is in sight.
    """

    breaches: tuple[Breach, ...]
    at_risk: int
    clears_on: datetime | None


def by_slack(learners: Iterable[Learner], due: Mapping[int, datetime]) -> list[Learner]:
    """Least slack first; equals by time of request, then by user id. `due` is by user id."""

    def urgency(learner: Learner) -> tuple[datetime, datetime, int]:
        return due[learner.user_id], learner.requested_at, learner.user_id

    return sorted(learners, key=urgency)


def measured(runs: Iterable[QueueRun]) -> Pace | None:
    """The pace of past runs; None where fewer than two of them say nothing yet.

    Runs within one day count as one day's: a run that is repeated does not make the site faster for good.
    """
    listed = sorted(runs, key=lambda run: run.began_at)
    if len(listed) < 2:
        return None
    days = max(1.0, (listed[-1].began_at - listed[0].began_at) / timedelta(days=1))
    taken = sum(run.batch for run in listed)
    retired = sum(min(run.retired, run.batch) for run in listed)
    return Pace((len(listed) - 1) / days, retired / taken if taken else 1.0)


def forecast(
    waiting: Sequence[Waiting],
    *,
    now: datetime,
    cool_off: timedelta,
    per_run: int,
    runs_per_day: float,
    success: float,
) -> Forecast:
    """Which learners will be late if runs come as they did, the next one a whole interval from now.

    Each run takes `per_run` of those past their cool-off, most urgent first, and retires the share `success` of
    them; the others wait for the next.
    """
    line = _Line(waiting, cool_off)
    ends: dict[int, datetime] = {}
    for run in Pace(runs_per_day, success).runs(now):
        ends |= dict.fromkeys(line.retired_by(run, per_run, success), run)
        if line.is_empty:
            break
    return Forecast(
        breaches=_breaches(waiting, ends),
        at_risk=sum(timedelta() <= each.due_at - ends[each.user_id] < RISK for each in waiting if each.user_id in ends),
        clears_on=max(ends.values(), default=now) if len(ends) == len(waiting) else None,
    )


def _breaches(waiting: Iterable[Waiting], ends: Mapping[int, datetime]) -> tuple[Breach, ...]:
    """The learners who end late or not at all."""
    found = (Breach(each.user_id, ends.get(each.user_id), each.due_at) for each in waiting)
    late = [each for each in found if each.expected is None or each.expected > each.due]
    return tuple(sorted(late, key=_by_end))


def _by_end(breach: Breach) -> tuple[bool, datetime, datetime, int]:
    """Where a breach stands among others: those without an end last, by their deadlines."""
    return breach.expected is None, breach.expected or breach.due, breach.due, breach.user_id


class _Line:
    """The learners who wait, run after run: those in cool-off, and those past it by least slack."""

    def __init__(self, waiting: Iterable[Waiting], cool_off: timedelta) -> None:
        self._cool_off = cool_off
        self._coming = sorted(waiting, key=lambda each: each.requested_at, reverse=True)
        self._ready: list[tuple[datetime, datetime, int]] = []
        #: What is retired comes in whole learners; the rest of a share counts for the next run.
        self._share = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether no learner waits any more."""
        return not self._coming and not self._ready

    def retired_by(self, run: datetime, most: int, success: float) -> list[int]:
        """The user ids that a run retires, which takes at most so many; they leave the line."""
        while self._coming and self._coming[-1].requested_at + self._cool_off <= run:
            each = self._coming.pop()
            heapq.heappush(self._ready, (each.due_at, each.requested_at, each.user_id))
        taken = max(0, min(most, len(self._ready)))
        self._share = min(self._share + taken * min(1.0, success), float(taken))
        whole = int(self._share + 1e-9)
        self._share -= whole
        return [heapq.heappop(self._ready)[2] for _ in range(whole)]
