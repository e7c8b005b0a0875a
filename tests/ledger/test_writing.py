"""Group commit, several processes on one chain, and processes that die in the midst of it."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from types import NoneType
from typing import Any

import pytest
from sqlalchemy import text

from retirement.errors import BreakerOpen, Kept, LedgerError, StateConflict
from retirement.ledger import Ledger, Transaction, opened, verify
from retirement.ledger.holds import active_holds
from retirement.ledger.tables import Hold
from retirement.ledger.transaction import New
from tests.patient import PATIENCE

from .desk import START, AtOnce, Desk, begin, live_through

WRITER = """
import asyncio, sys
from retirement.errors import StateConflict
from retirement.ledger import LedgerLocation, opened

async def main():
    async with opened(LedgerLocation(sys.argv[1], key=bytes(range(32)))) as ledger:
        async def write(name):
            for number in range(int(sys.argv[2])):
                seq = await ledger.events.note("noted", {"name": name, "number": number})
                print(seq, flush=True)
        try:
            await ledger.leases.take("queue", what="the queue")
            print("leased", flush=True)
        except StateConflict:
            print("refused", flush=True)
        await asyncio.gather(*(write(name) for name in range(4)))

asyncio.run(main())
"""


def _writer(desk: Desk, times: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, desk.place.url, str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_one_that_raises_is_rolled_back_alone(desk: Desk) -> None:
    """The others of the same transaction are written, and the chain has no gap."""

    def enter_and_raise(tx: Transaction) -> None:
        tx.enter("wrong", facts={})
        raise StateConflict("no")

    def break_sql(tx: Transaction) -> None:
        tx.enter("wrong", facts={})
        tx.connection.execute(text("INSERT INTO event (seq) VALUES (1)"))

    async def mix(ledger: Ledger) -> None:
        pieces = [
            ledger.events.note("right", {"number": 1}),
            ledger.access.write(enter_and_raise),
            ledger.events.note("right", {"number": 2}),
            ledger.access.write(break_sql),
            ledger.events.head(),
            ledger.events.note("right", {"number": 3}),
        ]
        answers = await asyncio.gather(*pieces, return_exceptions=True)
        assert [1, StateConflict, 2, LedgerError, 3] == [
            answer if isinstance(answer, int) else type(answer) for answer in (*answers[:4], answers[5])
        ]
        for alone in (enter_and_raise, break_sql):
            with pytest.raises((StateConflict, LedgerError)):
                await ledger.access.write(alone)
        assert ["right"] * 3 == [event.kind for event in await ledger.events.find()]
        assert (await ledger.verify()).ok

    async def both() -> None:
        async with desk.open() as ledger:
            await mix(ledger)

    asyncio.run(both())


def test_a_piece_sees_what_one_before_it_in_the_same_transaction_has_changed(desk: Desk) -> None:
    """A hold that was placed, a breaker that was opened and closed; and nothing of what was rolled back."""
    until = START.date() + timedelta(days=9)

    def undone(tx: Transaction) -> None:
        hold = Hold(id=tx.next_id, user_id=17, org=None, service=None, basis="b", until=until, by="o", placed_at=tx.now)
        tx.enter("hold.added", New(hold), user_id=17, facts={})
        assert [each.user_id for each in active_holds(tx)] == [17]
        raise StateConflict("no")

    async def see() -> None:
        async with desk.open() as ledger:
            lease, other = await begin(ledger, 17), await begin(ledger, 18)
            answers = await asyncio.gather(
                lease.intend("MAIL", "BRAZE", "delete"),
                ledger.access.write(undone),
                lease.intend("FORUM", "LMS", "retire_forum"),
                ledger.breakers.open("NOTES", reason="r", by="o"),
                lease.intend("NOTES", "NOTES", "retire"),
                ledger.breakers.close("NOTES", reason="r", by="o"),
                lease.intend("NOTES", "NOTES", "retire"),
                ledger.holds.add(user_id=17, org=None, service="SEGMENT", basis="b", until=until, by="o"),
                lease.intend("SEGMENT", "SEGMENT", "delete"),
                other.intend("SEGMENT", "SEGMENT", "delete"),
                return_exceptions=True,
            )
            kinds = [type(each) for each in answers]
            assert kinds == [bool, StateConflict, bool, NoneType, BreakerOpen, NoneType, bool, int, Kept, bool]
            assert (await ledger.verify()).ok

    asyncio.run(see())


def test_it_works_without_a_thread(sqlite_desk: Desk) -> None:
    """With an executor that runs at once, as the simulation has it."""

    async def live() -> None:
        async with sqlite_desk.open(executor=AtOnce(), holder="me") as ledger:
            await live_through(ledger)
            assert (await ledger.verify()).ok

    asyncio.run(live())


def test_whoever_is_cancelled_harms_nobody(desk: Desk) -> None:
    """Their piece may be written or not; everybody else's is."""

    async def cancel() -> None:
        async with desk.open() as ledger:
            first = asyncio.create_task(ledger.events.note("first", {}))
            second = asyncio.create_task(ledger.events.note("second", {}))
            await asyncio.sleep(0)
            first.cancel()
            assert await second in (1, 2)
            assert (await ledger.verify()).ok

    asyncio.run(cancel())


@pytest.mark.processes
def test_processes_append_to_one_chain(desk: Desk) -> None:
    """Without a gap, and one of them has the lease."""
    writers = [_writer(desk, 25) for _ in range(2)]
    said = [line for writer in writers for line in writer.communicate(timeout=PATIENCE)[0].split()]

    assert [0, 0] == [writer.returncode for writer in writers]
    assert list(range(1, 201)) == sorted(int(line) for line in said if line.isdecimal())
    assert 1 == said.count("leased") or 0 == said.count("refused")
    verdict = verify(desk.place)
    assert (True, 200) == (verdict.ok, verdict.entries)


@pytest.mark.processes
def test_what_was_acknowledged_survives_a_kill(desk: Desk) -> None:
    """At any moment, several times over."""
    anchored = replace(desk, place=replace(desk.place, anchor=None))
    acknowledged = 0
    for lines in (1, 20, 57):
        with _writer(anchored, 100000) as writer:
            assert writer.stdout
            read = [writer.stdout.readline() for _ in range(lines + 1)]
            os.kill(writer.pid, signal.SIGKILL)
            read += writer.stdout.readlines()
        acknowledged = max([acknowledged, *(int(line) for line in read if line.strip().isdecimal())])
        verdict = verify(anchored.place)
        assert verdict.ok, verdict.problem
        assert acknowledged <= verdict.entries


def test_a_lost_connection_is_made_again(postgresql_desk: Desk) -> None:
    """The server was restarted meanwhile, say."""

    async def lose() -> None:
        async with postgresql_desk.open() as ledger, opened(postgresql_desk.place) as other:
            await ledger.events.note("before", {})
            kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            kill += " AND datname = current_database()"
            await other.access.write(lambda tx: tx.connection.exec_driver_sql(kill).close())
            assert 2 == await ledger.events.note("after", {})
            assert (await ledger.verify()).ok

    asyncio.run(lose())


def test_a_commit_whose_fate_is_unknown_is_an_error(postgresql_desk: Desk) -> None:
    """The connection dies between the work and its commit."""

    async def lose() -> None:
        async with postgresql_desk.open() as ledger, opened(postgresql_desk.place) as other:
            del other
            with pytest.raises(LedgerError):
                await ledger.access.write(_cut_own_connection)
            await ledger.events.note("after", {})

    asyncio.run(lose())


def _cut_own_connection(tx: Transaction) -> None:
    tx.enter("doubtful", facts={})
    tx.connection.connection.driver_connection.close()  # type: ignore[union-attr] # it is connected


def test_a_refused_intent_leaves_nothing(desk: Desk) -> None:
    """Among others in one transaction."""

    async def refuse() -> None:
        async with desk.open() as ledger:
            await ledger.breakers.open("BRAZE", reason="x", by="ops")
            one, two = await begin(ledger, 1), await begin(ledger, 2)
            answers = await asyncio.gather(
                one.intend("MAIL", "BRAZE", "x"), two.intend("FORUM", "LMS", "x"), return_exceptions=True
            )
            assert [BreakerOpen, bool] == [type(answer) for answer in answers]
            record = await ledger.learners.newest(1)
            assert record is not None
            assert () == record.attempts

    asyncio.run(refuse())


def test_nobody_waits_for_a_thread_that_is_gone(sqlite_desk: Desk) -> None:
    """Whoever asks is told, also who was queued behind, and nothing is left for the loop to complain about."""
    executor = Leaving()
    complaints: list[object] = []

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with sqlite_desk.open(executor=executor) as ledger:
            executor.is_gone = True
            pieces = (ledger.events.note("lost", {"number": number}) for number in range(3))
            answers = await asyncio.gather(*pieces, return_exceptions=True)
            assert [LedgerError] * 3 == [type(answer) for answer in answers]
            executor.is_gone = False
            assert 1 == await ledger.events.note("right", {})
        gc.collect()

    asyncio.run(ask())
    assert complaints == []


class Leaving(AtOnce):
    """An executor that takes nothing once it is gone."""

    is_gone = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if self.is_gone:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return super().submit(fn, *args, **kwargs)
