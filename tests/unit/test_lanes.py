"""`queue.at_once: auto` finds out how many learners at a time services keep up with, and is no worse than a number."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retirement.errors import RateLimited
from retirement.queue.lanes import Lanes
from retirement.wire.limits import Gate, Limits, Rate
from retirement.wire.pace import FIRST, Pace

from .crowds import Night, Service, night
from .doubles import Clock

#: The number at a time that `auto` is compared with: the default.
FIXED = 20
LEARNERS = 200
#: Trouble in the first seconds finds a run that has only begun; this many make that a small part of it.
MORE_LEARNERS = 400


def slower_by_steps(now: float) -> float:
    """Three times as slow after one second, and nine times after three."""
    return 1.0 if now < 1 else 3.0 if now < 3 else 9.0


def by_chance(share: float) -> Callable[[float], bool]:
    """Whether a request fails, of which this share does."""
    chance = random.Random(3)  # noqa: S311 - no secret
    return lambda _now: chance.random() < share


def nights(*services: Callable[[], Service], learners: int = LEARNERS) -> tuple[Night, Night, list[Service]]:
    """What comes of a fixed number and of `auto`, and the services of the second."""
    fixed = night([each() for each in services], learners, FIXED)
    asked = [each() for each in services]
    return fixed, night(asked, learners, None), asked


#: Services with and without trouble, and how often at most the number of one of them may turn back.
CASES = {
    "plain": ([lambda: Service("LMS"), lambda: Service("B")], 0),
    "slow": ([lambda: Service("LMS", seconds=1.0)], 0),
    "weak": ([lambda: Service("LMS", power=10)], 1),
    "weaker beside another": ([lambda: Service("LMS", power=3), lambda: Service("B")], 1),
    "slower by steps": ([lambda: Service("LMS", slower=slower_by_steps)], 2),
    "weak and slower by steps": ([lambda: Service("LMS", power=8, slower=slower_by_steps)], 3),
    "slow for a while": ([lambda: Service("LMS", slower=lambda now: 5.0 if 2 < now < 4 else 1.0)], 2),
    "slow now and then": ([lambda: Service("LMS", slower=lambda now: 4.0 if int(now) % 4 >= 2 else 1.0)], 3),
    "429 above 15 at a time": ([lambda: Service("LMS", refuses_above=15)], 3),
    "away for a while": ([lambda: Service("LMS", broken=lambda now: 2 < now < 4)], 2),
    "one of ten fails": ([lambda: Service("LMS", broken=by_chance(0.1))], 2),
    "limits of the contract": ([lambda: Service("LMS"), lambda: Service("B", limits=Limits(at_once=3))], 0),
    "rates of the contract": ([lambda: Service("LMS", limits=Limits(rates={"": Rate(10, 1)}))], 0),
}


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES)
def test_no_learner_is_worse_off_than_with_a_number_and_nothing_swings(case: str) -> None:
    """As many are retired, in at most a seventh more time; a number that went down and up again stays."""
    services, turns = CASES[case]
    fixed, auto, asked = nights(*services, learners=MORE_LEARNERS if "steps" in case else LEARNERS)

    assert auto.parked <= fixed.parked
    assert auto.seconds <= fixed.seconds * 8 / 7 + 1
    assert all(auto.turns(each.name) <= turns for each in asked)
    assert all(each.most <= (each.limits.at_once or 32) for each in asked)


@pytest.mark.parametrize(("limit", "most"), [({"refuses_above": 6}, 10), ({"rate": 20}, 15), ({"rate": 5}, 300)])
def test_a_service_that_limits_by_429_is_asked_so_much_that_no_learner_is_parked(
    limit: dict[str, int], most: int
) -> None:
    """A fixed number parks some of them, since each finds the limit out by itself."""
    fixed, auto, (service,) = nights(lambda: Service("LMS", **limit))  # type: ignore[arg-type]

    assert fixed.parked > 0 == auto.parked
    assert len(service.refusals) <= most
    assert auto.turns("LMS") <= 6


def test_fast_errors_are_no_reason_to_ask_more() -> None:
    """A service that is down is asked by fewer, and by more than the default number once it is there again."""
    down = Service("LMS", broken=lambda now: now > 3)
    found = night([down], LEARNERS, None)
    before = max(number for at, number in found.numbers["LMS"] if at <= 3)
    assert all(number <= before for at, number in found.numbers["LMS"] if at > 3)

    again = night([Service("LMS", broken=lambda now: 3 < now < 6)], LEARNERS, None).numbers["LMS"]
    assert max(number for at, number in again if at > 6) > FIXED


def test_a_fast_service_gets_more_than_the_default_number() -> None:
    """Lanes are added as long as no request waits, up to `queue.at_once_most`."""
    found = night([Service("LMS")], 400, None, most=40)

    assert found.widest == 40
    assert found.numbers["LMS"][-1][1] > FIXED


@given(
    seconds=st.floats(0.001, 2.0),
    power=st.integers(1, 40),
    refuses_above=st.integers(1, 40),
    at_once=st.none() | st.integers(1, 40),
    failing=st.floats(0.0, 1.0),
    most=st.integers(1, 40),
)
@settings(max_examples=15)
def test_limits_are_kept_whatever_a_service_does(
    seconds: float, power: int, refuses_above: int, at_once: int | None, failing: float, most: int
) -> None:
    """Those of the contract, that of the configuration, and each learner comes to an end."""
    service = Service(
        "LMS",
        seconds=seconds,
        power=power,
        refuses_above=refuses_above,
        broken=by_chance(failing),
        limits=Limits(at_once=at_once),
    )
    found = night([service], 40, None, most)

    assert service.most <= min(at_once or most, most)
    assert found.widest <= most
    assert len(found.ends) == 40
    assert all(1 <= number <= most for _, number in found.numbers.get("LMS", []))


@pytest.mark.anyio
async def test_a_request_that_is_cancelled_gives_its_place_back() -> None:
    """While it waits, and while it is under way; and it says nothing of the service."""
    pace = Pace(1)
    gate = Gate(Limits(), pace=pace)

    async def request() -> None:
        async with gate.passing("GET /x"):
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(request()) for _ in range(3)]
    await asyncio.sleep(0)
    assert pace.waiting == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with gate.passing("GET /x"):
        assert pace.waiting == 0


@pytest.mark.anyio
async def test_one_at_a_time_that_is_too_much_is_a_pause_for_all() -> None:
    """The service said when, and all of its requests wait until then, a quarter of a minute at most."""
    clock, slept = Clock(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    gate = Gate(Limits(), pace=Pace(1, clock=clock, sleep=sleep))

    async def refused(seconds: float) -> None:
        async with gate.passing("GET /x"):
            raise RateLimited("LMS", "GET /x", 429, retry_after=seconds)

    for seconds in (5.0, 90.0):
        await asyncio.gather(refused(seconds), return_exceptions=True)
    async with gate.passing("GET /x"):
        pass

    assert slept == [5.0, 15.0]


@pytest.mark.anyio
async def test_an_answer_to_what_was_asked_before_the_number_changed_does_not_count() -> None:
    """Else one moment of trouble would bring it down to one."""
    pace = Pace(32)
    gate, ask = Gate(Limits(), pace=pace), asyncio.Event()

    async def refused() -> None:
        async with gate.passing("GET /x"):
            await ask.wait()
            raise RateLimited("LMS", "GET /x", 429)

    tasks = [asyncio.create_task(refused()) for _ in range(FIRST)]
    await asyncio.sleep(0)
    ask.set()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert pace.limit == int(FIRST * 0.7)


@pytest.mark.anyio
async def test_a_lane_that_is_told_to_end_leaves_the_rest_of_the_queue() -> None:
    """So does each other one; what is under way comes to its end."""
    begun, ended = list[int](), list[int]()

    async def work(user_id: int) -> bool:
        begun.append(user_id)
        await asyncio.sleep(0)
        if user_id < 6:
            ended.append(user_id)
        return user_id < 6

    await Lanes(3, 3).take(range(100), work)

    assert ended == [0, 1, 2, 3, 4, 5]
    assert len(begun) <= 9
