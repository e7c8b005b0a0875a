"""A ledger of years: what is asked for each learner reads no whole table, and verifying takes no more memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, inspect, text

from retirement.errors import Transient
from retirement.ledger import Given, Ledger, LedgerLocation, opened, verify
from retirement.ledger.digests import Digests
from retirement.ledger.location import engine_of
from retirement.ledger.tables import Attempt, LearnerRecord, metadata
from retirement.ledger.transaction import Changed, New, Piece, opened_transaction
from tests.ledgers import place_file

from .desk import KEY, START, Clock, Desk, begin

#: Tables that grow with the learners.
LONG = ("attempt", "event", "learner", "receipt")
STEPS = 9


def fill(place: LedgerLocation, learners: int) -> int:
    """Writes the entries of so many learners, some hundred in a transaction; how many entries those are."""
    engine, clock, head = engine_of(place), Clock(), 0
    with engine.connect() as connection:
        for first in range(0, learners, 50):
            with connection.begin():
                transaction = opened_transaction(connection, clock, writable=True)
                for user_id in range(first + 1, min(first + 50, learners) + 1):
                    _live(transaction, user_id)
                head = transaction.append().seq
    engine.dispose()
    return head


def _live(tx: Any, user_id: int) -> None:
    record = LearnerRecord(
        user_id=user_id,
        retirement_id=user_id + 1000,
        requested_at=START,
        due_at=START,
        pipeline="p1",
        email_digest=f"{user_id:064x}",
        username_digest=f"{user_id + 1:064x}",
        domain_digest=None,
        key_id=Digests(KEY).key_id,
        first_seen_at=START,
        fence=1,
        began_at=START,
    )
    tx.enter("run.began", New(record), user_id=user_id, facts={"fence": 1})
    for step in range(STEPS):
        attempt = Attempt(
            id=tx.next_id,
            user_id=user_id,
            retirement_id=user_id + 1000,
            step=f"STEP_{step}",
            service="LMS",
            operation="retire",
            fence=1,
            began_at=START,
        )
        tx.enter("step.intended", New(attempt), user_id=user_id, facts={"fence": 1})
        tx.enter("step.proved", Changed(replace(attempt, outcome="erased")), user_id=user_id, facts={"fence": 1})
    tx.enter("run.ended", Changed(replace(record, ending="retired")), user_id=user_id, facts={"fence": 1})


@pytest.mark.nightly  # a hundred thousand entries take a minute
def test_verifying_takes_as_much_memory_for_many_entries_as_for_few(tmp_path: Path) -> None:
    """Entries and rows come in pieces, and what is known of the rows is outside of memory."""
    peaks = {}
    for learners in (500, 5_000):
        place = LedgerLocation(f"sqlite:///{place_file(tmp_path / f'{learners}.db')}", key=KEY)
        entries = fill(place, learners)
        tracemalloc.start()
        verdict = verify(place)
        peaks[learners] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert (verdict.ok, verdict.entries) == (True, entries == learners * 20 and entries)

    assert peaks[5_000] < peaks[500] * 1.2


@pytest.mark.nightly  # twenty thousand entries
def test_looking_at_every_retirement_takes_as_much_memory_for_many_as_for_few(tmp_path: Path) -> None:
    """At the end of a queue run the page of the day looks at all of a month, with every step."""
    peaks = {}
    for learners in (200, 1_000):
        place = LedgerLocation(f"sqlite:///{place_file(tmp_path / f'{learners}.db')}", key=KEY)
        fill(place, learners)
        tracemalloc.start()
        assert asyncio.run(_looked_at(place)) == (learners, learners * STEPS)
        peaks[learners] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peaks[1_000] < peaks[200] * 1.2


async def _looked_at(place: LedgerLocation) -> tuple[int, int]:
    """How many retirements there are, and how many attempts they have."""
    retirements = attempts = 0
    async with opened(place) as ledger:
        async for each in ledger.learners.each(at_once=50):
            retirements, attempts = retirements + 1, attempts + len(each.attempts)
    return retirements, attempts


def test_more_learners_are_asked_about_than_a_statement_takes_values(sqlite_desk: Desk) -> None:
    """SQLite takes 32,766, and a list of the LMS may be longer."""

    async def ask() -> list[int]:
        async with sqlite_desk.open() as ledger:
            await begin(ledger, 17)
            return [each.user_id for each in await ledger.learners.retirements(range(40_000))]

    assert asyncio.run(ask()) == [17]


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is sent in the block, with what is put into it."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        found.append((statement, values[0] if many else values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def plan(connection: Connection, statement: str, values: Any) -> list[str]:
    """The lines in which the database says how it would go about a statement."""
    word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return [str(row[-1]) for row in connection.exec_driver_sql(f"{word} {statement}", values)]


async def of_one_learner(ledger: Ledger, clock: Clock) -> None:
    """Everything that a run asks of the ledger for each of its learners, and a person for one."""
    lease = await begin(ledger, 17)
    await lease.intend("FORUM", "LMS", "retire_forum")
    await lease.prove("FORUM", "accepted", Given("job-1", timedelta(hours=1)))
    await lease.intend("MAIL", "BRAZE", "delete")
    await lease.fail("MAIL", "BRAZE", Transient("BRAZE", "DELETE /x", 503, "down"))
    await lease.moved("COMPLETE", "PENDING", "given back")
    await lease.void(["FORUM"], "it came back")
    await lease.end("parked", "BRAZE is down", "PENDING")
    clock.forward(100)
    await (await begin(ledger, 17)).end("retired", "", "COMPLETE")
    record = await ledger.learners.newest(17)
    assert record
    await ledger.learners.rows_before(record)
    await ledger.learners.retirements([17])
    await ledger.learners.by_email("CanaryMail17@canary.example")
    await ledger.learners.by_username("CanaryUser17")
    await ledger.setbacks.last([17])
    for receipt in await ledger.receipts.find(user_id=17):
        await ledger.receipts.checked(receipt.id, result="confirmed")


async def of_what_is_open(ledger: Ledger, clock: Clock) -> None:
    """What is asked about all learners for what has not ended, or has ended lately."""
    await begin(ledger, 17)
    await ledger.unended.retirements()
    await ledger.unended.replaced()
    await ledger.learners.open_runs()
    await ledger.learners.find(endings=["held", "parked"])
    await ledger.learners.history(clock() - timedelta(days=28))
    await ledger.receipts.find(open_only=True)
    await ledger.receipts.asked(Piece(10), user_id=None, open_only=True)


Asked = Callable[[Ledger, Clock], Awaitable[None]]


@pytest.mark.parametrize(("asked", "least"), [(of_one_learner, 20), (of_what_is_open, 10)])
def test_what_is_asked_often_reads_no_whole_table(desk: Desk, asked: Asked, least: int) -> None:
    """Each statement finds its rows of the tables that grow by a key or an index."""

    async def live() -> list[tuple[str, Any]]:
        async with desk.open() as ledger:
            with statements() as found:
                await asked(ledger, desk.clock)
            return found

    found = asyncio.run(live())
    whole = []
    engine = engine_of(desk.place)
    with engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            # Of a small table every database reads the whole, unless it may not.
            connection.execute(text("SET enable_seqscan = off"))
        for statement, values in found:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE") and any(name in statement for name in LONG):
                # The last entry is found from the end of the chain.
                is_last = "LIMIT" in statement and "FROM event" in statement
                lines = [] if is_last else plan(connection, statement, values)
                whole += [(statement, line) for line in lines if _reads_all(line)]
    engine.dispose()

    assert len(found) > least
    assert whole == []


def test_a_ledger_has_the_indexes_that_its_tables_declare(desk: Desk) -> None:
    """Tables are made by the migrations, and statements are written by what the classes say."""

    async def make() -> None:
        async with desk.open():
            pass

    asyncio.run(make())
    declared = {each.name for table in metadata.sorted_tables for each in table.indexes}
    engine = engine_of(desk.place)
    there = {each["name"] for name in LONG for each in inspect(engine).get_indexes(name)}
    engine.dispose()

    assert there == declared


def _reads_all(line: str) -> bool:
    """SQLite says "SCAN attempt", and PostgreSQL "Seq Scan on attempt"; what goes along an index says so."""
    words = line.replace('"', "").split()
    is_scan = "INDEX" not in words and ("SCAN" in words or "Seq" in words)
    return is_scan and any(name in words for name in LONG)
