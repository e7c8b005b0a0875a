"""Deadlines: who is most urgent, and whether the forecast says what a simulation finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import fmean

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retirement.learner import Learner
from retirement.queue.forecast import HORIZON, Breach, Forecast, Pace, QueueRun, Waiting, by_slack, forecast, measured
from retirement.site.deadlines import due_at

from .doubles import row

NOW = datetime(2026, 11, 22, 4, tzinfo=UTC)
DAY = timedelta(days=1)
COOL_OFF = timedelta(days=7)
Order = Callable[[Waiting, datetime], tuple[object, ...]]


def by_id(each: Waiting, _: datetime) -> tuple[object, ...]:
    return (each.user_id,)


def least_slack(each: Waiting, _: datetime) -> tuple[object, ...]:
    return (each.due_at, each.requested_at, each.user_id)


def in_time_first(each: Waiting, run: datetime) -> tuple[object, ...]:
    """Those who are too late already after all who can still be in time: what we have decided against."""
    return (each.due_at < run, *least_slack(each, run))


def one(user_id: int, days_ago: float, due_in: float) -> Waiting:
    return Waiting(user_id, NOW - timedelta(days=days_ago), NOW + timedelta(days=due_in))


def learner(user_id: int, requested: str) -> Learner:
    return Learner.from_row(row(user={**row()["user"], "id": user_id}, created=requested))


def simulated(
    waiting: Sequence[Waiting], order: Order, per_run: int, chance: random.Random | None = None, success: float = 1.0
) -> dict[int, datetime]:
    """One run a day, straightforwardly: list, sort, take, and each of them ends or does not."""
    left, ends, run = list(waiting), dict[int, datetime](), NOW
    while left and run < NOW + HORIZON:
        run += DAY
        ready = sorted((w for w in left if w.requested_at + COOL_OFF <= run), key=lambda w: order(w, run))
        for each in ready[:per_run]:
            if chance is None or chance.random() < success:
                ends[each.user_id] = run
                left.remove(each)
    return ends


def late(waiting: Sequence[Waiting], ends: dict[int, datetime]) -> int:
    return sum(each.user_id not in ends or ends[each.user_id] > each.due_at for each in waiting)


def foreseen(waiting: Sequence[Waiting], per_run: int, success: float = 1.0) -> Forecast:
    return forecast(waiting, now=NOW, cool_off=COOL_OFF, per_run=per_run, runs_per_day=1, success=success)


@st.composite
def backlogs(draw: st.DrawFn) -> list[Waiting]:
    """Learners of several countries, in cool-off or past it, some too late already; ids in no order of theirs."""
    ages = draw(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([15, 30, 45, 60])), min_size=1, max_size=60))
    ids = draw(st.permutations(range(1, len(ages) + 1)))
    return [one(user_id, age, days - age) for user_id, (age, days) in zip(ids, ages, strict=True)]


def test_a_deadline_runs_from_the_request() -> None:
    """Not from the end of the cool-off."""
    assert due_at(learner(17, "2026-01-31T12:00:00Z"), 30) == datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_least_slack_comes_first() -> None:
    """Equals by the time of the request, then by user id."""
    early, late_one = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"
    learners = [learner(4, late_one), learner(3, late_one), learner(2, early), learner(1, late_one)]
    due = {1: NOW, 2: NOW + DAY, 3: NOW + DAY, 4: NOW + DAY}

    assert [each.user_id for each in by_slack(learners, due)] == [1, 2, 3, 4]


def test_the_pace_is_what_the_runs_show() -> None:
    """Ten nights, three quarters of those taken on."""
    runs = [QueueRun(NOW + DAY * night, 20, 15) for night in range(10)]

    assert measured(reversed(runs)) == Pace(1.0, 0.75)


def test_repeats_within_a_day_make_nobody_faster() -> None:
    """Two tries in ten minutes are one more run on that day, and not 144."""
    assert measured([QueueRun(NOW, 10, 0), QueueRun(NOW + timedelta(minutes=10), 10, 10)]) == Pace(1.0, 0.5)


def test_too_few_runs_say_nothing() -> None:
    """Empty nights count as nights, and spoil no share."""
    assert measured([]) is None
    assert measured([QueueRun(NOW, 3, 3)]) is None
    assert measured([QueueRun(NOW, 0, 0), QueueRun(NOW + DAY * 2, 0, 0)]) == Pace(0.5, 1.0)


def test_nobody_waits() -> None:
    """It is clear now."""
    assert foreseen([], 10) == Forecast((), 0, NOW)


def test_a_learner_in_cool_off_joins_when_it_ends() -> None:
    """Asked five days ago: the run in two days takes them."""
    assert foreseen([one(1, 5, 25)], 10).clears_on == NOW + 2 * DAY


def test_a_breach_says_when_and_what_was_due() -> None:
    """Two at a time; the third ends a day after it was due."""
    waiting = [one(1, 10, 1), one(2, 10, 1), one(3, 10, 1)]

    found = foreseen(waiting, 2)

    assert found.breaches == (Breach(3, NOW + 2 * DAY, NOW + DAY),)
    assert (found.at_risk, found.clears_on) == (2, NOW + 2 * DAY)


@pytest.mark.parametrize(("per_run", "runs", "success"), [(0, 1, 1), (5, 0, 1), (5, 1, 0)])
def test_no_end_is_in_sight_where_nothing_moves(per_run: int, runs: float, success: float) -> None:
    """Nobody taken on, no runs, or none that retires anybody: everybody is a breach, without a day."""
    found = forecast([one(1, 10, 5)], now=NOW, cool_off=COOL_OFF, per_run=per_run, runs_per_day=runs, success=success)

    assert found == Forecast((Breach(1, None, NOW + 5 * DAY),), 0, None)


@given(backlogs(), st.integers(1, 6))
@settings(deadline=None)
def test_the_forecast_is_the_simulation_where_every_call_succeeds(waiting: list[Waiting], per_run: int) -> None:
    """Learner by learner."""
    ends = simulated(waiting, least_slack, per_run)
    found = foreseen(waiting, per_run)

    assert len(found.breaches) == late(waiting, ends)
    assert {each.user_id: each.expected for each in found.breaches}.items() <= ends.items()
    assert found.clears_on == max(ends.values())


@given(backlogs(), st.integers(1, 6))
@settings(deadline=None)
def test_no_order_misses_fewer_deadlines_than_in_time_first(waiting: list[Waiting], per_run: int) -> None:
    """Not by user id, not by slack alone; the backlog is larger than one run takes."""
    assume(len(waiting) > per_run)
    breaches = late(waiting, simulated(waiting, in_time_first, per_run))

    assert breaches <= late(waiting, simulated(waiting, by_id, per_run))
    assert breaches <= len(foreseen(waiting, per_run).breaches)


@given(backlogs(), st.integers(1, 6))
@settings(deadline=None)
def test_least_slack_first_is_never_later_than_by_id(waiting: list[Waiting], per_run: int) -> None:
    """The worst delay is the least that any order has; and where ids miss no deadline, slack misses none."""
    in_order, by_user_id = simulated(waiting, least_slack, per_run), simulated(waiting, by_id, per_run)

    def worst(ends: dict[int, datetime]) -> timedelta:
        return max(ends[each.user_id] - each.due_at for each in waiting)

    assert worst(in_order) <= worst(by_user_id)
    if late(waiting, by_user_id) == 0:
        assert foreseen(waiting, per_run).breaches == ()


@pytest.mark.parametrize("success", [0.6, 0.85, 0.97])
def test_the_forecast_is_within_a_tenth_of_a_simulation(success: float) -> None:
    """Six hundred learners, more than capacity, calls that fail by chance: breaches, and days until it is clear."""
    seeded = random.Random(17)  # noqa: S311  # a seed, no secret
    ages = [seeded.uniform(0, 29) for _ in range(600)]
    waiting = [one(user_id, age, seeded.choice([30, 30, 45]) - age) for user_id, age in enumerate(ages, 1)]
    chances = [random.Random(seed) for seed in range(10)]  # noqa: S311  # the same
    trials = [simulated(waiting, least_slack, 12, chance, success) for chance in chances]

    found = foreseen(waiting, 12, success)

    assert found.clears_on is not None
    days = fmean((max(ends.values()) - NOW) / DAY for ends in trials)
    assert (found.clears_on - NOW) / DAY == pytest.approx(days, rel=0.1)
    assert len(found.breaches) == pytest.approx(fmean(late(waiting, ends) for ends in trials), rel=0.1)
    assert len(found.breaches) > 100


def test_ten_thousand_learners_are_forecast_in_no_time() -> None:
    """However many runs a day somebody measured."""
    waiting = [one(user_id, user_id % 30, 30 - user_id % 30) for user_id in range(10_000)]

    found = forecast(waiting, now=NOW, cool_off=COOL_OFF, per_run=200, runs_per_day=1e9, success=0.5)

    assert found.clears_on is not None
