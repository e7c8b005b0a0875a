"""A service that is down: nobody becomes ERRORED, nobody knocks in vain, and one probe finds it back."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from retirement.errors import Ending
from retirement.ledger import Breaker

from .batches import batch_of, retire
from .doubles import Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")
DOWN = [{"service": "credentials", "path": "", "status": 503, "times": 9999}]


async def breaker(world: World, service: str = "CREDENTIALS") -> Breaker:
    """The one of a service that was seen failing."""
    return next(each for each in await world.ledger.breakers.all() if each.service == service)


def crowd(world: World, count: int) -> list[str]:
    """So many learners, with states for either pipeline."""
    names = [f"learner-{n}" for n in range(count)]
    world.seed(*(holder(name) for name in names), states=LINE.lms_states)
    return names


async def test_the_third_learner_opens_it_and_the_others_are_parked_without_a_call(world: World) -> None:
    """They get as far as their place in the line, and wait in its last proved state."""
    names = crowd(world, 6)
    site = world.site(LINE)
    world.sandbox.arm(DOWN)

    assert set((await world.endings(site, *names[:2])).values()) == {Ending.PARKED}
    assert (await breaker(world)).state == "closed"
    assert set((await world.endings(site, names[2])).values()) == {Ending.PARKED}
    assert (await breaker(world)).state == "open"
    before = world.calls("credentials")
    assert set((await world.endings(site, *names[3:])).values()) == {Ending.PARKED}
    assert world.calls("credentials") == before
    assert {world.state(name) for name in names} == {"PARTNER_QUEUE_COMPLETE"}

    world.sandbox.arm([])
    world.calendar.pass_by(minutes=6)
    assert set((await world.endings(site, *names)).values()) == {Ending.RETIRED}
    assert (await breaker(world)).state == "closed"
    assert world.sandbox.residue() == []


async def test_other_lanes_of_a_graph_go_on(world: World) -> None:
    """What does not come after the service that is down is done, and is not done again."""
    names = crowd(world, 4)
    site = world.site(DAG)
    world.sandbox.arm(DOWN)
    await world.endings(site, *names)

    assert world.state(names[3]) == "PARTNER_QUEUE_COMPLETE"
    record = await world.ledger.learners.newest(world.user_ids[names[3]])
    assert record is not None
    assert set(DAG.working_states) - set(record.finished) == {
        "RETIRING_CREDENTIALS",
        "RETIRING_LMS_MISC",
        "RETIRING_LMS",
    }
    done = world.calls("license_manager")
    world.sandbox.arm([])
    world.calendar.pass_by(minutes=6)
    assert set((await world.endings(site, *names)).values()) == {Ending.RETIRED}
    assert world.calls("license_manager") == done


async def test_exactly_one_probes_a_service_that_was_down(world: World) -> None:
    """The others at the same time wait for what it finds; where it is still down, the wait doubles."""
    names = crowd(world, 8)
    site = world.site(LINE)
    world.sandbox.arm(DOWN)
    await world.endings(site, *names[:3])
    calls = world.calls("credentials")

    for minutes, probes in ((6, 1), (6, 0), (5, 1)):
        world.calendar.pass_by(minutes=minutes)
        seen: list[str] = []

        async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
            if request.url.host == "credentials.sandbox":
                seen.append(request.method)  # noqa: B023 - read before the next round
            return await forward(request)

        learners = [await world.learner(site, name) for name in names]
        world.around = around
        reports = await asyncio.gather(*(retire(site, learner) for learner in learners))
        world.around = None
        assert {each.ending for each in reports} == {Ending.PARKED}
        # One probe, tried again within seconds as every question is.
        assert set(seen) == ({"GET"} if probes else set())
        assert len(seen) == 4 * probes
    assert world.calls("credentials") == calls


async def test_an_operator_opens_and_closes_it(world: World) -> None:
    """Open by hand it stays, however long; closed by hand everybody calls at once."""
    names = crowd(world, 2)
    site = world.site(LINE)
    await world.ledger.breakers.open("CREDENTIALS", reason="maintenance", by="ops")

    world.calendar.pass_by(days=3)
    assert (await world.endings(site, names[0])) == {names[0]: Ending.PARKED}
    assert not [each for each in world.sandbox.requests if each["service"] == "credentials"]
    await world.ledger.breakers.close("CREDENTIALS", reason="over", by="ops")
    assert set((await world.endings(site, *names)).values()) == {Ending.RETIRED}


async def test_learners_who_are_in_each_others_way_open_nothing(world: World) -> None:
    """A forum that works and cannot take two learners at once is not down."""
    names = crowd(world, 4)
    site = world.site(LINE)
    busy = {"path": "retire_forum", "status": 500, "body": '"Duplicate entry"', "times": 9999}
    world.sandbox.arm([busy | {"headers": {"Content-Type": "application/json"}}])

    assert set((await world.endings(site, *names)).values()) == {Ending.PARKED}
    assert not [each for each in await world.ledger.breakers.all() if each.state == "open" or each.failed]


async def test_a_refusal_is_no_sign_of_a_service_that_is_down(world: World) -> None:
    """It answers, and says no to these learners."""
    names = crowd(world, 4)
    world.sandbox.arm([{"service": "credentials", "path": "", "status": 409, "times": 9999}])

    assert set((await world.endings(world.site(LINE), *names)).values()) == {Ending.ERRORED}
    assert not [each for each in await world.ledger.breakers.all() if each.state == "open"]


@pytest.mark.parametrize("trouble", [{"status": 503}, {"drop": True}], ids=["503", "no-answer"])
async def test_nobody_is_begun_while_the_lms_is_down(world: World, trouble: dict[str, object]) -> None:
    """Once its breaker is open, learners are parked without a request; one of them asks when it may be back."""
    names = crowd(world, 6)
    site = world.site(LINE)
    learners = [await world.learner(site, name) for name in names]
    world.sandbox.arm([{"path": "", "times": 9999, **trouble}])

    reports = [await retire(site, learner) for learner in learners[:3]]
    assert {each.ending for each in reports} == {Ending.PARKED}
    assert (await breaker(world, "LMS")).state == "open"
    before = len(world.sandbox.requests)
    reports = [await retire(site, learner) for learner in learners[3:]]
    assert {each.ending for each in reports} == {Ending.PARKED}
    assert len(world.sandbox.requests) == before
    assert {world.state(name) for name in names} == {"PENDING"}

    world.sandbox.arm([])
    world.calendar.pass_by(minutes=6)
    assert set((await world.endings(site, *names)).values()) == {Ending.RETIRED}
    assert (await breaker(world, "LMS")).state == "closed"


@pytest.mark.parametrize(
    "answer", [{"status": 400}, {"status": 409}, {"status": 418}], ids=lambda each: str(each["status"])
)
async def test_nobody_is_errored_for_what_a_probe_is_told(world: World, answer: dict[str, object]) -> None:
    """A service half back answers the harmless question oddly: that says nothing about the learner."""
    names = crowd(world, 4)
    site = world.site(LINE)
    world.sandbox.arm(DOWN)
    await world.endings(site, *names[:3])
    world.calendar.pass_by(minutes=6)
    odd = {"service": "credentials", "path": "", "method": "GET", "headers": {"Content-Type": "application/json"}}
    world.sandbox.arm([{**odd, "body": "{}", "times": 99, **answer}])

    ending = (await world.endings(site, names[3]))[names[3]]

    assert (ending, world.state(names[3])) == (Ending.RETIRED, "COMPLETE")
    assert (await breaker(world)).state == "closed"


async def test_a_probe_that_finds_a_wrong_configuration_stops_the_run(world: World) -> None:
    """Credentials that were taken away while the service was down: nobody is harmed."""
    names = crowd(world, 4)
    site = world.site(LINE)
    world.sandbox.arm(DOWN)
    await world.endings(site, *names[:3])
    world.calendar.pass_by(minutes=6)
    world.sandbox.arm([{"service": "credentials", "path": "", "status": 403, "times": 99}])

    assert await world.endings(site, names[3]) == {names[3]: Ending.STOPPED}
    assert bool(batch_of(site).stop)
    assert world.state(names[3]) == "PARTNER_QUEUE_COMPLETE"
