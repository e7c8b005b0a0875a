"""The life of a breaker: counts learners, opens, is probed by one, doubles its wait, closes."""

import asyncio
from datetime import timedelta

import pytest

from retirement.errors import BreakerOpen, Refused, Transient
from retirement.ledger import LearnerLease, Ledger

from .desk import START, Desk, begin

DOWN = Transient("BRAZE", "POST /delete", 503)


async def fail(ledger: Ledger, user_id: int) -> LearnerLease:
    """A learner whose call of BRAZE fails."""
    lease = await begin(ledger, user_id)
    assert not await lease.intend("MAIL", "BRAZE", "delete")
    await lease.fail("MAIL", "BRAZE", DOWN)
    return lease


def test_it_opens_when_several_learners_failed(desk: Desk) -> None:
    """One who fails three times is one; what is not transient does not count; a success starts anew."""

    async def count() -> None:
        async with desk.open() as ledger:
            lease = await fail(ledger, 1)
            for _ in range(3):
                await lease.intend("MAIL", "BRAZE", "delete")
                await lease.fail("MAIL", "BRAZE", DOWN)
            other = await begin(ledger, 2)
            await other.intend("MAIL", "BRAZE", "delete")
            await other.fail("MAIL", "BRAZE", Refused("BRAZE", "POST /delete", 400))
            assert [("closed", 1)] == [(each.state, len(each.failed)) for each in await ledger.breakers.all()]
            await other.intend("MAIL", "BRAZE", "delete")
            await other.prove("MAIL", "erased")
            for user_id in (3, 4):
                await fail(ledger, user_id)
            assert "closed" == (await ledger.breakers.all())[0].state
            await fail(ledger, 5)
            (breaker,) = await ledger.breakers.all()
            assert ("open", START + timedelta(seconds=300)) == (breaker.state, breaker.retry_at)
            before = await ledger.events.head()
            with pytest.raises(BreakerOpen, match="down since 2026-03-01 12:00 UTC; next look at 2026-03-01 12:05"):
                await lease.intend("MAIL", "BRAZE", "delete")
            assert before == await ledger.events.head()
            assert not await lease.intend("FORUM", "LMS", "retire_forum")

    asyncio.run(count())


def test_one_caller_probes(desk: Desk) -> None:
    """The others wait; a probe that fails doubles the wait up to the longest, one that succeeds closes."""

    async def probe() -> None:
        async with desk.open(lease_seconds=100000.0, breaker_longest_seconds=1000) as ledger:
            first, second, _ = [await fail(ledger, user_id) for user_id in (1, 2, 3)]
            for wait in (600, 1000, 1000):
                desk.clock.forward(1000)
                assert await first.intend("MAIL", "BRAZE", "delete")
                with pytest.raises(BreakerOpen):
                    await second.intend("MAIL", "BRAZE", "delete")
                await first.probed("BRAZE", answered=False, reason="answered 503")
                (breaker,) = await ledger.breakers.all()
                assert desk.clock() + timedelta(seconds=wait) == breaker.retry_at
            desk.clock.forward(1000)
            assert await second.intend("MAIL", "BRAZE", "delete")
            await second.probed("BRAZE", answered=True, reason="answers again")
            assert ("closed", 0) == (
                (await ledger.breakers.all())[0].state,
                len((await ledger.breakers.all())[0].failed),
            )
            assert not await first.intend("MAIL", "BRAZE", "delete")
            record = await ledger.learners.newest(1)
            assert record is not None
            assert ["Transient", *["BreakerOpen"] * 3, None] == [each.error for each in record.attempts]
            assert (await ledger.verify()).ok

    asyncio.run(probe())


def test_a_prober_that_dies_is_replaced(desk: Desk) -> None:
    """After the time of a lease."""

    async def die() -> None:
        async with desk.open(breaker_seconds=30) as ledger:
            for user_id in (1, 2, 3):
                await fail(ledger, user_id)
            desk.clock.forward(59)
            assert await (await begin(ledger, 4)).intend("MAIL", "BRAZE", "delete")
            desk.clock.forward(59)
            fifth = await begin(ledger, 5)
            with pytest.raises(BreakerOpen):
                await fifth.intend("MAIL", "BRAZE", "delete")
            desk.clock.forward(1)
            assert await fifth.intend("MAIL", "BRAZE", "delete")

    asyncio.run(die())


def test_an_operator_has_the_last_word(desk: Desk) -> None:
    """What they opened is not probed, and stays open over restarts until they close it."""

    async def decide() -> None:
        async with desk.open() as ledger:
            await ledger.breakers.open("BRAZE", reason="maintenance", by="ops")
        desk.clock.forward(10**6)
        async with desk.open() as ledger:
            lease = await begin(ledger)
            with pytest.raises(BreakerOpen, match="until an operator closes its breaker"):
                await lease.intend("MAIL", "BRAZE", "delete")
            await lease.probed("BRAZE", answered=True, reason="x")
            (breaker,) = await ledger.breakers.all()
            assert ("open", None, "maintenance", "ops") == (breaker.state, breaker.retry_at, breaker.reason, breaker.by)
            await ledger.breakers.close("BRAZE", reason="done", by="ops")
            assert not await lease.intend("MAIL", "BRAZE", "delete")

    asyncio.run(decide())


def test_a_breaker_that_a_read_closed_is_not_opened_again_by_the_same_learners(desk: Desk) -> None:
    """It answers, and fails for these three alone; other learners count, and after an operator's word all do."""

    async def night(ledger: Ledger, *user_ids: int) -> tuple[str, tuple[int, ...]]:
        desk.clock.forward(24 * 3600)
        for user_id in user_ids:
            lease = await begin(ledger, user_id)
            if await lease.intend("MAIL", "BRAZE", "delete"):
                await lease.probed("BRAZE", answered=True, reason="it answered")
            await lease.fail("MAIL", "BRAZE", DOWN)
            await lease.end("parked", "", "PENDING")
        (breaker,) = await ledger.breakers.all()
        return breaker.state, breaker.failed

    async def nights() -> None:
        async with desk.open() as ledger:
            assert await night(ledger, 1, 2, 3) == ("open", (1, 2, 3))
            assert await night(ledger, 1, 2, 3) == ("closed", ())
            assert await night(ledger, 1, 2, 3, 4, 5) == ("closed", (4, 5))
            assert await night(ledger, 6) == ("open", (4, 5, 6))
            await ledger.breakers.close("BRAZE", reason="mended", by="ops")
            assert await night(ledger, 1, 2) == ("closed", (1, 2))
            lease = await begin(ledger, 1)
            await lease.intend("MAIL", "BRAZE", "delete")
            await lease.prove("MAIL", "erased")
            assert await night(ledger, 1, 2, 3) == ("open", (1, 2, 3))
            assert (await ledger.verify()).ok

    asyncio.run(nights())
