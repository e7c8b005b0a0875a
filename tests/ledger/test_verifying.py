"""Whatever is changed in the ledger behind its back is found, and the entry is named."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, column, create_engine, select, table

from retirement.errors import LedgerError
from retirement.ledger import Ledger, LedgerLocation, Verdict, tables, verify
from retirement.ledger.location import engine_of
from retirement.ledger.verification import verify_connection

from .desk import KEY, AtOnce, Clock, Desk, begin, live_through


def test_a_ledger_that_was_left_alone_is_good(desk: Desk) -> None:
    """With a row in every table of evidence, through an open ledger and without one."""
    desk = replace(desk, place=replace(desk.place, site="https://lms.example.com"))

    async def live() -> Verdict:
        async with desk.open() as ledger:
            await live_through(ledger)
            return await ledger.verify()

    inside, outside = asyncio.run(live()), verify(desk.place)

    assert outside == inside
    assert inside.ok
    assert inside.entries == inside.head.seq > 10
    engine = engine_of(desk.place)
    with engine.connect() as connection:
        empty = {name for name, each in tables.EVIDENCE.items() if not connection.execute(select(each)).all()}
    engine.dispose()
    assert set() == empty


def test_a_new_ledger_is_good(desk: Desk) -> None:
    """It has no entry yet."""

    async def live() -> Verdict:
        async with desk.open() as ledger:
            return await ledger.verify()

    assert (True, 0) == (asyncio.run(live()).ok, verify(desk.place).entries)


Cell = tuple[str, dict[str, Any], str, Any]


class Book:
    """A small ledger in a file, of which one value at a time is spoiled and mended."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ledger.db"
        self.place = LedgerLocation(f"sqlite:///{self.file}", key=KEY)
        desk = Desk(self.place, Clock(), folder)
        asyncio.run(self._live(desk))
        with sqlite3.connect(self.file) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        self.engine = create_engine(self.place.address)
        self.cells = list(self._cells())
        self.wrote = {(name, str(key)): seq for seq, name, key in self._writers()}

    async def _live(self, desk: Desk) -> None:
        async with desk.open(executor=AtOnce()) as ledger:
            await live_through(ledger)

    def _cells(self) -> Any:
        with self.engine.connect() as connection:
            for each in (tables.event, *tables.EVIDENCE.values()):
                for row in connection.execute(select(each)).mappings():
                    key = {one.name: row[one.name] for one in each.primary_key}
                    yield from ((each.name, key, name, value) for name, value in row.items())

    def _writers(self) -> Any:
        import json

        with self.engine.connect() as connection:
            for row in connection.execute(select(tables.event).order_by(tables.event.c.seq)):
                for name, key, _ in json.loads(row.body)["rows"]:
                    yield row.seq, name, key

    def spoil(self, cell: Cell, value: Any) -> Verdict:
        """What verifying says while that value is another one."""
        name, key, which, before = cell
        where = table(name, *(column(each) for each in {*key, which}))
        with self.engine.connect() as connection, connection.begin() as transaction:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            change = where.update().values({which: value})
            for each, held in key.items():
                change = change.where(where.c[each] == held)
            assert 1 == connection.execute(change).rowcount, before
            verdict = verify_connection(connection, self.place, None)
            transaction.rollback()
        return verdict

    def entry_of(self, cell: Cell) -> int:
        """The entry that a verdict has to name."""
        name, key, _, _ = cell
        return int(key["seq"]) if name == "event" else self.wrote[name, str(list(key.values()))]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """One small ledger for every way of spoiling it."""
    return Book(tmp_path_factory.mktemp("book"))


def _spoiled(value: Any, byte: int, bit: int) -> Any:
    """The value with one bit of one byte turned; of no value, something."""
    if value is None:
        return "x"
    if isinstance(value, int):
        return value ^ (1 << (bit + 8))
    if isinstance(value, float):
        return value + 2.0**bit
    raw = bytearray(value.encode() if isinstance(value, str) else value) or bytearray(1)
    raw[byte % len(raw)] ^= 1 << bit
    return bytes(raw).decode("latin-1") if isinstance(value, str) else bytes(raw)


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(data=st.data())
def test_a_byte_that_was_turned_is_found(book: Book, data: st.DataObject) -> None:
    """In any column of any entry and of any row of evidence; the verdict names the entry."""
    cell = data.draw(st.sampled_from(book.cells))
    value = _spoiled(cell[3], data.draw(st.integers(0, 2000)), data.draw(st.integers(0, 6)))

    verdict = book.spoil(cell, value)

    assert verdict.problem
    assert book.entry_of(cell) == verdict.problem.seq, verdict.problem.sentence


def test_every_value_counts(book: Book, every_nth: int, turn: int) -> None:
    """Each single cell, replaced by nothing where it may be nothing, and by bytes."""
    optional = {
        (each.name, one.name) for each in (tables.event, *tables.EVIDENCE.values()) for one in each.c if one.nullable
    }
    for cell in book.cells[turn % every_nth :: every_nth]:
        others: list[Any] = (
            [b"\x00\xff"]
            if cell[2] not in ("seq", "id", "user_id", "retirement_id", "depth", "at_most", "fence", "claim")
            else [7777]
        )
        if (cell[0], cell[2]) in optional and cell[3] is not None:
            others.append(None)
        for other in others:
            verdict = book.spoil(cell, other)
            assert verdict.problem, (cell, other)
            assert book.entry_of(cell) == verdict.problem.seq, (cell, other, verdict.problem.sentence)


def test_every_byte_of_the_file_counts(tmp_path: Path, every_nth: int, turn: int) -> None:
    """Turned one after the other: the verdict has a problem, or everything reads as before."""
    file = Spoiled(_small_file(tmp_path))
    before, unnoticed = file.dump(), []
    for offset in range(turn % every_nth, len(file.raw), every_nth):
        file.raw[offset] ^= 1 << (offset % 8)
        # Verifying is dear, and the other half of the promise is seen without it.
        if file.dump() != before and file.sound():
            unnoticed.append(offset)
        file.raw[offset] ^= 1 << (offset % 8)

    file.engine.dispose()
    assert file.sound()
    assert [] == unnoticed


def _small_file(folder: Path) -> bytes:
    """A ledger with pages as small as SQLite has them, since most bytes of large ones are empty."""
    file = folder / "ledger.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA page_size=512")
        connection.execute("VACUUM")
    connection.close()

    async def live() -> None:
        async with Desk(LedgerLocation(f"sqlite:///{file}", key=KEY), Clock(), folder).open() as ledger:
            lease = await begin(ledger)
            await lease.intend("FORUM", "LMS", "retire_forum")
            await lease.prove("FORUM", "erased")
            await lease.end("retired", "", "COMPLETE")

    asyncio.run(live())
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    return file.read_bytes()


class Spoiled:
    """A file in memory, read by SQLite as it is at the moment."""

    def __init__(self, raw: bytes) -> None:
        self.raw = bytearray(raw)
        self.place = LedgerLocation("sqlite:///spoiled.db", key=KEY)
        # One engine for all: SQLAlchemy keeps what it compiled with it.
        self.engine = engine_of(self.place, creator=self.connect)

    def connect(self) -> sqlite3.Connection:
        """A connection to the bytes as they are now."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.deserialize(bytes(self.raw))
        return connection

    def sound(self) -> bool:
        """Whether verifying finds nothing, in a file that can be read at all."""
        try:
            with self.engine.connect().execution_options(reading=True) as connection:
                verdict = verify_connection(connection, self.place, None)
                connection.invalidate()
        except Exception:  # noqa: BLE001 - `verify` makes a verdict of it, as the next test shows
            self.engine.dispose()
            return False
        return verdict.ok

    def dump(self) -> list[Any] | None:
        """Every entry and every row of evidence, None where they cannot be read."""
        connection = self.connect()
        try:
            return [
                connection.execute(f"SELECT {', '.join(each.c.keys())} FROM {each.name} ORDER BY 1").fetchall()  # noqa: S608 - ours
                for each in (tables.event, *tables.EVIDENCE.values())
            ]
        except (sqlite3.Error, UnicodeDecodeError):
            return None
        finally:
            connection.close()


@pytest.mark.parametrize("offset", [0, 16, 100, 4096, 8192, 16384])
def test_a_damaged_file_is_a_verdict(sqlite_desk: Desk, offset: int) -> None:
    """And not an exception."""
    asyncio.run(_lived(sqlite_desk))
    file = sqlite_desk.folder / "ledger.db"
    raw = bytearray(file.read_bytes())
    raw[offset : offset + 90] = b"\xa5" * 90
    file.write_bytes(raw)

    assert not verify(sqlite_desk.place).ok


async def _lived(desk: Desk) -> None:
    async with desk.open() as ledger:
        await live_through(ledger)


@pytest.mark.parametrize("begins_empty", [True])
@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + b"\0" * 5000])
def test_what_is_no_ledger_is_a_verdict(sqlite_desk: Desk, content: bytes) -> None:
    """Nor is a file that is missing."""
    assert "there is no ledger" in str(verify(sqlite_desk.place).problem)
    (sqlite_desk.folder / "ledger.db").write_bytes(content)

    assert not verify(sqlite_desk.place).ok


def test_rows_that_nobody_wrote_are_found(desk: Desk) -> None:
    """Put in, or put back after they were gone; and rows that were deleted."""

    async def tamper(statement: str) -> Verdict:
        async with desk.open() as ledger:
            if not (await ledger.events.head()).seq:
                await live_through(ledger)
            await _run(ledger, statement)
            return await ledger.verify()

    put_in = asyncio.run(
        tamper("INSERT INTO queue_run (run_id, began_at, depth, batch) VALUES ('run-9', '2026', 1, 1)")
    )
    assert put_in.problem
    assert (None, True) == (put_in.problem.seq, "no entry tells of" in put_in.problem.sentence)
    asyncio.run(tamper("DELETE FROM queue_run WHERE run_id = 'run-9'"))
    deleted = asyncio.run(tamper("DELETE FROM hold"))
    assert deleted.problem
    assert "missing" in deleted.problem.sentence
    assert verify(desk.place) == deleted


async def _run(ledger: Ledger, statement: str) -> None:
    def run(tx: Any) -> None:
        connection: Connection = tx.connection
        connection.exec_driver_sql(statement)

    await ledger.access.write(run)


def test_postgresql_that_does_not_answer_is_an_error(postgresql_desk: Desk) -> None:
    """Nobody knows then whether the ledger is good; the sentence has no password."""
    url = postgresql_desk.place.address.set(port=1, host="127.0.0.1", password="hunter2", query={})
    place = LedgerLocation(url.render_as_string(hide_password=False), key=KEY)

    with pytest.raises(LedgerError, match="cannot be reached") as raised:
        verify(place)

    assert "hunter2" not in str(raised.value)
