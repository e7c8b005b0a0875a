"""When each retirement has to be complete, who is most urgent, and whether all will be in time.

Pure: the caller brings learners, the time and what the ledger measured of past runs. Times are aware
datetimes; a deadline runs from the request (GDPR, article 12(3): one month from receipt).
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from retirement.learner import Learner

#: Whoever is not done within so long counts as never done.
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


def due_at(learner: Learner, days: int) -> datetime:
    """When the retirement has to be complete, so many days after the request."""
    span = timedelta(days=days)
    # A row from the end of time is odd, and no reason to stop for everybody else.
    return min(learner.requested_at, datetime.max.replace(tzinfo=UTC) - span) + span


def by_slack(learners: Iterable[Learner], due: Mapping[int, datetime], *, now: datetime | None = None) -> list[Learner]:
    """Least slack first; equals by time of request, then by user id. `due` is by user id.

    With `now`, those who are too late already come after all who can still be in time: no other order misses
    fewer deadlines, while least slack first may let everybody behind a late one be late as well.
    """

    def urgency(learner: Learner) -> tuple[bool, datetime, datetime, int]:
        deadline = due[learner.user_id]
        return now is not None and deadline < now, deadline, learner.requested_at, learner.user_id

    return sorted(learners, key=urgency)


def measured(runs: Iterable[QueueRun]) -> Pace | None:
    """The pace of past runs; None where fewer than two of them say nothing yet.

    Runs within one day count as one day's: somebody who repeats a run does not make the site faster for good.
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
    in_time_first: bool = False,
) -> Forecast:
    """Who will be late if runs come as they did, the next one a whole interval from now.

    Each run takes `per_run` of those past their cool-off, most urgent first, and retires the share `success` of
    them; the others wait for the next. `in_time_first` is the order that `by_slack` has when it is told the time.
    """
    ends = _ends(waiting, now, cool_off, per_run, Pace(runs_per_day, success), in_time_first)
    never = datetime.max.replace(tzinfo=now.tzinfo)
    breaches = [
        Breach(each.user_id, end, each.due_at)
        for each in waiting
        if (end := ends.get(each.user_id)) is None or end > each.due_at
    ]
    return Forecast(
        breaches=tuple(sorted(breaches, key=lambda each: (each.expected or never, each.due, each.user_id))),
        at_risk=sum(timedelta() <= each.due_at - ends[each.user_id] < RISK for each in waiting if each.user_id in ends),
        clears_on=max(ends.values(), default=now) if len(ends) == len(waiting) else None,
    )


def _ends(
    waiting: Sequence[Waiting], now: datetime, cool_off: timedelta, per_run: int, pace: Pace, in_time_first: bool
) -> dict[int, datetime]:
    """By user id, the run that retires each; those whom none does within the horizon are left out."""
    ends: dict[int, datetime] = {}
    if per_run < 1 or pace.runs_per_day <= 0 or pace.success <= 0:
        return ends
    interval = max(timedelta(days=1 / pace.runs_per_day), SHORTEST_INTERVAL)
    coming = sorted(waiting, key=lambda each: each.requested_at, reverse=True)
    line = _Line(in_time_first)
    run, done = now, 0.0
    while (coming or line) and run - now < HORIZON:
        run += interval
        while coming and coming[-1].requested_at + cool_off <= run:
            line.join(coming.pop())
        # What is retired comes in whole learners; the rest of a share counts for the next run.
        taken = min(per_run, len(line))
        done = min(done + taken * min(1.0, pace.success), float(taken))
        for _ in range(int(done + 1e-9)):
            ends[line.next(run)] = run
            done -= 1
    return ends


class _Line:
    """Those past their cool-off, most urgent first."""

    def __init__(self, in_time_first: bool) -> None:
        self._in_time_first = in_time_first
        self._heap: list[tuple[datetime, datetime, int]] = []
        self._late: list[tuple[datetime, datetime, int]] = []

    def __len__(self) -> int:
        return len(self._heap) + len(self._late)

    def join(self, each: Waiting) -> None:
        heapq.heappush(self._heap, (each.due_at, each.requested_at, each.user_id))

    def next(self, run: datetime) -> int:
        """Takes the most urgent one out at the time of a run."""
        while self._in_time_first and self._heap and self._heap[0][0] < run:
            heapq.heappush(self._late, heapq.heappop(self._heap))
        if self._heap:
            return heapq.heappop(self._heap)[2]
        return heapq.heappop(self._late)[2]
