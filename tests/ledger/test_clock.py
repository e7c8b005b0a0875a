"""A clock that was wrong locks nothing: what it wrote into a SQLite ledger ends further ahead than it can."""

import asyncio
from datetime import timedelta

import pytest

from retirement.errors import BreakerOpen, StateConflict, Transient

from .desk import Desk, begin

#: Days that the clock is ahead: a wrong month, 400 days as faketime had it, a machine without a battery.
AHEAD = (31, 400, 9000)


@pytest.mark.parametrize("days", AHEAD)
def test_leases_of_a_wrong_clock_are_not_believed(sqlite_desk: Desk, days: int) -> None:
    """A run dies while the clock is ahead; once it is right, the learner and the queue are free."""

    async def die_and_go_on() -> None:
        sqlite_desk.clock.forward(days * 86400)
        async with sqlite_desk.open() as dead:
            lost = await begin(dead)
            await dead.leases.take("queue", what="the queue")
        sqlite_desk.clock.forward(-days * 86400)
        async with sqlite_desk.open() as ledger:
            assert {} == await ledger.leases.live()
            await ledger.leases.take("queue", what="the queue")
            assert (await begin(ledger)).lease.fence == lost.lease.fence + 1

    asyncio.run(die_and_go_on())


@pytest.mark.parametrize("seconds", [0, 1, 59])
def test_a_lease_within_its_length_is_believed(sqlite_desk: Desk, seconds: int) -> None:
    """A clock that goes back a little takes no learner from a live run."""

    async def hold() -> None:
        async with sqlite_desk.open() as here, sqlite_desk.open() as there:
            await begin(here)
            sqlite_desk.clock.forward(-seconds)
            with pytest.raises(StateConflict):
                await begin(there)

    asyncio.run(hold())


@pytest.mark.parametrize("days", AHEAD)
def test_breakers_of_a_wrong_clock_are_probed(sqlite_desk: Desk, days: int) -> None:
    """The next caller probes at once, and not in a year; a probe of that time does not count either."""

    async def open_and_probe() -> None:
        sqlite_desk.clock.forward(days * 86400)
        async with sqlite_desk.open(breaker_learners=1) as ledger:
            lease = await begin(ledger)
            await lease.intend("MAIL", "BRAZE", "delete")
            await lease.fail("MAIL", "BRAZE", Transient("BRAZE", "DELETE /x", 503, "down"))
            sqlite_desk.clock.forward(301)
            assert await lease.admit("BRAZE", "GET /status")
        sqlite_desk.clock.forward(-days * 86400 - 301)
        async with sqlite_desk.open(breaker_learners=1) as ledger:
            lease = await begin(ledger)
            assert await lease.intend("MAIL", "BRAZE", "delete")

    asyncio.run(open_and_probe())


@pytest.mark.parametrize("seconds", [0, 1, 299])
def test_a_breaker_within_its_wait_stays_open(sqlite_desk: Desk, seconds: int) -> None:
    """A look that is due later, and no later than the longest wait, is waited for."""

    async def wait() -> None:
        async with sqlite_desk.open(breaker_learners=1) as ledger:
            lease = await begin(ledger)
            await lease.intend("MAIL", "BRAZE", "delete")
            await lease.fail("MAIL", "BRAZE", Transient("BRAZE", "DELETE /x", 503, "down"))
            sqlite_desk.clock.forward(seconds)
            with pytest.raises(BreakerOpen):
                await (await begin(ledger, 18)).intend("MAIL", "BRAZE", "delete")

    asyncio.run(wait())


@pytest.mark.parametrize("days", AHEAD)
def test_postgresql_is_believed(postgresql_desk: Desk, days: int) -> None:
    """Its server tells every machine the time, so a lease that ends later than one's own longest is a live one."""

    async def hold() -> None:
        async with postgresql_desk.open() as here:
            postgresql_desk.clock.time += timedelta(days=days)
            await begin(here)
            postgresql_desk.clock.time -= timedelta(days=days)
            with pytest.raises(StateConflict):
                await begin(here)

    asyncio.run(hold())
