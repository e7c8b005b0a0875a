"""One live run per learner: acquire, expire, fence, take over, renew."""

import asyncio
from types import SimpleNamespace

import pytest

from retirement.errors import LeaseLost, LedgerError, StateConflict
from retirement.ledger import Ledger, leases
from tests.patient import PATIENCE

from .desk import Desk, begin


def test_a_learner_has_one_run_at_a_time(desk: Desk) -> None:
    """Nor does the same process get them twice."""

    async def race() -> None:
        async with desk.open() as here, desk.open() as there:
            await begin(here)
            for ledger in (here, there):
                with pytest.raises(StateConflict, match=r"^another run has learner 17$"):
                    await begin(ledger)
            await begin(there, 18)
            assert {"learner:17": here.leases.holder, "learner:18": there.leases.holder} == {
                scope: lease.holder for scope, lease in (await here.leases.live()).items()
            }

    asyncio.run(race())


def test_the_first_of_many_wins(desk: Desk) -> None:
    """However many ask in the same moment."""

    async def race() -> None:
        async with desk.open() as here, desk.open() as there:
            asked = [ledger.leases.take("queue", what="the queue") for ledger in (here, there) * 10]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert 19 == sum(isinstance(answer, StateConflict) for answer in answers)

    asyncio.run(race())


def test_a_lease_that_ran_out_is_taken_over(desk: Desk) -> None:
    """The fence grows, the old holder stops before its next call, and can write nothing."""

    async def outlive() -> None:
        async with desk.open() as here, desk.open() as there:
            old = await begin(here)
            await old.intend("FORUM", "LMS", "retire_forum")
            desk.clock.forward(60)
            with pytest.raises(LeaseLost):
                old.check()
            new = await begin(there)
            assert (old.lease.fence + 1, True) == (new.lease.fence, new.lease.taken_over)
            assert {} == new.finished
            for write in (
                old.intend("MAIL", "BRAZE", "delete"),
                old.prove("FORUM", "erased"),
                old.fail("FORUM", "LMS", StateConflict("x")),
                old.void(["FORUM"], "x"),
                old.moved("A", "B", "x"),
            ):
                with pytest.raises(LeaseLost, match="learner 17"):
                    await write
            before = await there.events.head()
            await old.end("retired", "", "COMPLETE")
            assert before == await there.events.head()
            new.check()
            await new.prove("FORUM", "erased")
            assert (await there.verify()).ok

    asyncio.run(outlive())


def test_a_release_frees_only_what_is_ours(desk: Desk) -> None:
    """It may be said twice, and a successor keeps the lease."""

    async def release() -> None:
        async with desk.open() as here, desk.open() as there:
            first = await here.leases.take("queue", what="the queue")
            await here.leases.release(first)
            with pytest.raises(LeaseLost):
                here.leases.check(first)
            second = await there.leases.take("queue", what="the queue")
            await here.leases.release(first)
            there.leases.check(second)
            assert {"queue"} == set(await here.leases.live())
            assert (False, first.fence + 1) == (second.taken_over, second.fence)

    asyncio.run(release())


def test_renewing_keeps_leases(desk: Desk) -> None:
    """All of a process at once, and not those that were released."""

    async def renew() -> None:
        async with desk.open() as ledger:
            kept = [await ledger.leases.take(f"scope:{number}", what="it") for number in range(3)]
            gone = await ledger.leases.take("gone", what="it")
            await ledger.leases.release(gone)
            for _ in range(5):
                desk.clock.forward(40)
                await ledger.leases.renew()
            for lease in kept:
                ledger.leases.check(lease)
            assert {lease.scope for lease in kept} == set(await ledger.leases.live())

    asyncio.run(renew())


def test_renewing_finds_out_what_was_taken_over(desk: Desk) -> None:
    """And does not bring a lease back to life that ran out, for somebody may have seen it so."""

    async def overtake() -> None:
        async with desk.open() as here, desk.open() as there:
            lease = await here.leases.take("queue", what="the queue")
            # This machine's clock stands still, while the one that all share goes on.
            desk.clock.forward(60)
            await there.leases.take("queue", what="the queue")
            desk.clock.forward(-60)
            here.leases.check(lease)
            await here.leases.renew()
            with pytest.raises(LeaseLost):
                here.leases.check(lease)

    asyncio.run(overtake())


def test_the_heartbeat_renews_by_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real clock, and on PostgreSQL with the server's, three times within a lease; sleeping takes no time."""
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(leases, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": nap}))

    async def beat() -> None:
        async with desk.open(clock=None, lease_seconds=float(PATIENCE)) as ledger:
            lease = await ledger.leases.take("queue", what="the queue")
            ends = [(await ledger.leases.live())["queue"].expires_at]
            while len(ends) < 5:
                await asyncio.sleep(0)
                ledger.leases.check(lease)
                if (end := (await ledger.leases.live())["queue"].expires_at) != ends[-1]:
                    ends.append(end)
            assert ends == sorted(ends)
            assert set(naps) == {PATIENCE / 3}
            assert {"queue"} == set(await ledger.leases.live())

    asyncio.run(beat())


def test_a_heartbeat_that_fails_stops_the_work_in_time(sqlite_desk: Desk) -> None:
    """The deadline stays where it was, and the next heartbeat may still succeed."""

    async def fall_silent() -> None:
        async with sqlite_desk.open() as ledger:
            lease = await ledger.leases.take("queue", what="the queue")
            sqlite_desk.clock.forward(30)
            await _without_its_table(ledger, "lease")
            ledger.leases.check(lease)
            sqlite_desk.clock.forward(29)
            ledger.leases.check(lease)
            sqlite_desk.clock.forward(1)
            with pytest.raises(LeaseLost):
                ledger.leases.check(lease)

    asyncio.run(fall_silent())


async def _without_its_table(ledger: Ledger, table: str) -> None:
    """A renewal while the database is not what it should be."""
    await ledger.access.write(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO away"))
    with pytest.raises(LedgerError):
        await ledger.leases.renew()
    await ledger.access.write(lambda tx: tx.connection.exec_driver_sql(f"ALTER TABLE away RENAME TO {table}"))
