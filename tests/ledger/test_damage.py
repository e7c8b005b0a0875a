"""A damaged file: verifying says where, as far as SQLite tells, and what helps; it never sends back to itself."""

import asyncio
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retirement.ledger import LedgerLocation, verify
from retirement.ledger.damage import REMEDY

from .desk import KEY, Desk, live_through

PAGE = 8192


@pytest.fixture
def file(sqlite_desk: Desk) -> Path:
    """A ledger of some fifty pages, closed."""

    async def live() -> None:
        async with sqlite_desk.open() as ledger:
            await live_through(ledger)
            for _ in range(100):
                await ledger.events.note("noted", {"text": "x" * 800})

    asyncio.run(live())
    return sqlite_desk.folder / "ledger.db"


def said(file: Path) -> str:
    """The sentence of the verdict, whose advice is always one that helps."""
    verdict = verify(LedgerLocation(f"sqlite:///{file}", key=KEY))
    assert verdict.problem
    assert "ledger verify" not in verdict.problem.sentence
    assert str(file) in verdict.problem.sentence
    assert REMEDY in verdict.problem.sentence
    return verdict.problem.sentence


def entries(file: Path) -> int:
    """How many entries the ledger has."""
    return verify(LedgerLocation(f"sqlite:///{file}", key=KEY)).entries


def root_of(file: Path, name: str) -> int:
    """The first page of a table or an index."""
    with closing(sqlite3.connect(file)) as connection:
        found: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
        return found


def overwrite(file: Path, page: int) -> None:
    """Puts noise in the place of a page; pages are counted from 1."""
    raw = bytearray(file.read_bytes())
    raw[PAGE * (page - 1) : PAGE * page] = b"\xa5" * PAGE
    file.write_bytes(raw)


@pytest.mark.parametrize("keeps", [0.9, 0.5, 0.1])
def test_a_file_that_was_cut_off(file: Path, keeps: float) -> None:
    """By its own header it is longer."""
    raw = file.read_bytes()
    left = int(len(raw) * keeps)
    file.write_bytes(raw[:left])

    assert f"it ends after page {left // PAGE} of {len(raw) // PAGE}, so it was cut off" in said(file)


@pytest.mark.parametrize("table", ["attempt", "hold", "partner_claim", "lease", "bound_key", "learner"])
def test_a_page_of_a_table(file: Path, table: str) -> None:
    """The table is named, and the entries are all there."""
    whole = entries(file)
    overwrite(file, root_of(file, table))

    found = said(file)

    assert f"damaged tables: {table}" in found
    assert f"all entries can be read, up to {whole};" in found


def test_a_page_of_the_chain(file: Path) -> None:
    """Entries can be read up to it."""
    whole = entries(file)
    overwrite(file, len(file.read_bytes()) // PAGE - 10)

    found = said(file)

    assert "damaged tables: event" in found
    assert (read := re.search(r"entries can be read up to (\d+)", found))
    assert 14 < int(read[1]) < whole


def test_an_index(file: Path) -> None:
    """Which has the rows of a table in another order, and is named by its table."""
    overwrite(file, root_of(file, "ix_event_user_id"))

    found = said(file)

    assert "damaged tables: event" in found
    assert "all entries can be read" in found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no database, and no key of one\n" * 200, "the file begins otherwise than a SQLite database"),
        (b"\0" * 3 * PAGE, "the file begins otherwise than a SQLite database"),
        (b"SQLite", "the file begins otherwise than a SQLite database"),
        (b"", "holds no tables; if it was a ledger, put its log back (ledger.db-wal)"),
    ],
)
def test_a_file_that_is_something_else(file: Path, content: bytes, words: str) -> None:
    """Text, zeroes, a beginning, nothing."""
    file.write_bytes(content)

    assert words in said(file)


def _copied(sqlite_desk: Desk, to: Path) -> Path:
    """The file of a ledger that is in use, without the log beside it."""

    async def live() -> None:
        async with sqlite_desk.open() as ledger:
            await live_through(ledger)
            shutil.copy(sqlite_desk.folder / "ledger.db", to)

    asyncio.run(live())
    return to


@pytest.mark.parametrize("begins_empty", [True])
def test_a_log_that_is_gone(sqlite_desk: Desk) -> None:
    """With it went every table."""
    copy = _copied(sqlite_desk, sqlite_desk.folder / "copy.db")

    assert "put its log back (copy.db-wal)" in said(copy)


def test_a_log_that_is_gone_is_a_lost_tail(sqlite_desk: Desk) -> None:
    """Where the tables are in the file already, the anchor tells."""
    place = LedgerLocation(sqlite_desk.place.url, anchor=sqlite_desk.folder / "anchor", key=KEY)
    copy = _copied(Desk(place, sqlite_desk.clock, sqlite_desk.folder), sqlite_desk.folder / "copy.db")

    problem = verify(LedgerLocation(f"sqlite:///{copy}", anchor=place.anchor, key=KEY)).problem

    assert problem
    assert re.search(r"^\d+ entries are missing from the tail", problem.sentence)
