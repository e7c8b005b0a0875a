"""Ledgers that cannot be used say why in one sentence, before anybody is called."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

import retirement.ledger
from retirement.errors import ConfigError, LedgerError
from retirement.ledger import LearnerLease, Ledger, LedgerLocation, migrate, tables
from retirement.ledger.location import engine_of
from tests.patient import PATIENCE

from .desk import KEY, Desk, begin


@pytest.fixture
def begins_empty() -> bool:
    """Here ledgers are made."""
    return True


async def note(desk: Desk, times: int = 1) -> None:
    """Opens the ledger and writes into it."""
    async with desk.open() as ledger:
        for _ in range(times):
            await ledger.events.note("noted", {"text": "x" * 2000})


def test_a_new_ledger_is_for_its_owner_only(sqlite_desk: Desk) -> None:
    """So is the folder that is made for it, and the key."""
    folder = sqlite_desk.folder / "new"
    desk = replace(sqlite_desk, place=LedgerLocation(f"sqlite:///{folder}/ledger.db"))
    asyncio.run(note(desk))

    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {each.stat().st_mode & 0o777 for each in folder.iterdir()}
    assert {"ledger.db", "ledger.db.key"} == {each.name for each in folder.iterdir()}


def test_a_ledger_of_an_earlier_release_keeps_the_size_of_its_pages(sqlite_desk: Desk) -> None:
    """A new one has pages of 8 kB."""

    def size() -> int:
        with closing(sqlite3.connect(sqlite_desk.folder / "ledger.db")) as connection:
            found: int = connection.execute("PRAGMA page_size").fetchone()[0]
            return found

    asyncio.run(note(sqlite_desk))
    assert size() == 8192
    with closing(sqlite3.connect(sqlite_desk.folder / "ledger.db")) as connection:
        for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA page_size=4096", "VACUUM"):
            connection.execute(statement)
    asyncio.run(note(sqlite_desk))
    assert size() == 4096


def test_a_file_that_is_no_database(sqlite_desk: Desk) -> None:
    """It is left as it is."""
    (sqlite_desk.folder / "ledger.db").write_bytes(b"precious " * 1000)

    with pytest.raises(LedgerError, match=r"not a ledger, or its beginning is damaged$"):
        asyncio.run(note(sqlite_desk))
    assert (sqlite_desk.folder / "ledger.db").read_bytes() == b"precious " * 1000


def test_a_database_of_somebody_else(desk: Desk) -> None:
    """It gets no tables of ours."""
    engine = engine_of(desk.place)
    if desk.place.file:
        desk.place.file.touch()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE precious (x INTEGER)")
    engine.dispose()

    with pytest.raises(ConfigError, match=r"not a ledger's$"):
        asyncio.run(note(desk))


@pytest.mark.parametrize(("version", "says"), [("9999", "newer release"), ("", "newer release")])
def test_another_schema(desk: Desk, version: str, says: str) -> None:
    """Opening and migrating both refuse a ledger of a newer release."""
    asyncio.run(note(desk))
    engine = engine_of(desk.place)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")  # noqa: S608 - ours
    engine.dispose()

    with pytest.raises(ConfigError, match=says):
        asyncio.run(note(desk))


def test_migrating_makes_and_keeps(desk: Desk) -> None:
    """A new ledger, then nothing to do; what is in it stays."""
    assert ("", tables.SCHEMA) == migrate(desk.place)
    asyncio.run(note(desk))
    assert (tables.SCHEMA, tables.SCHEMA) == migrate(desk.place)
    assert 1 == retirement.ledger.verify(desk.place).entries


def test_migrations_lead_to_the_tables(desk: Desk) -> None:
    """Column for column, and the newest revision is the one that the code names."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    migrate(desk.place)
    engine = engine_of(desk.place)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    engine.dispose()
    config = Config()
    config.set_main_option("script_location", str(Path(retirement.ledger.__file__).parent / "migrations"))

    assert [] == found
    assert [tables.SCHEMA] == ScriptDirectory.from_config(config).get_heads()


@pytest.mark.parametrize(
    "url", ["mysql://x:hunter2@h/d", "sqlite://", "sqlite:///:memory:", "no url hunter2", "sqlite:///"]
)
def test_bad_addresses(url: str) -> None:
    """None is quoted: it may hold a password."""
    with pytest.raises(ConfigError, match="ledger's url") as raised:
        LedgerLocation(url, key=KEY)
    assert "hunter2" not in str(raised.value)


def test_a_ledger_in_postgresql_needs_a_key_file() -> None:
    """There is no file to put it beside; and no password is shown."""
    with pytest.raises(ConfigError, match="needs the path") as raised:
        LedgerLocation("postgresql+asyncpg://u:hunter2@h/d")
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(LedgerLocation("postgresql://u:hunter2@h/d", key=KEY))


async def fill_with_notes(ledger: Ledger) -> None:
    """Writes far more than there is room for."""
    for _ in range(100):
        await ledger.events.note("noted", {"text": "x" * 2000})


async def fill_with_intents(lease: LearnerLease) -> None:
    """The same, with what fits into the last bytes."""
    for number in range(1000):
        await lease.intend(f"STEP{number}", "LMS", "x")


def test_a_full_disk_stops_the_work(sqlite_desk: Desk) -> None:
    """What was written before stays good, and work goes on when there is room again."""

    async def fill() -> int:
        async with sqlite_desk.open() as ledger:
            lease = await begin(ledger)
            pages = await ledger.access.write(
                lambda tx: tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            )
            await ledger.access.write(
                lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()
            )
            with pytest.raises(LedgerError, match=r"the disk is full$"):
                await fill_with_notes(ledger)
            with pytest.raises(LedgerError, match=r"the disk is full$"):
                await fill_with_intents(lease)
            await ledger.access.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA max_page_count=100000").close())
            await ledger.events.note("noted", {})
            return (await ledger.events.head()).seq

    entries = asyncio.run(fill())
    verdict = retirement.ledger.verify(sqlite_desk.place)
    assert (True, entries) == (verdict.ok, verdict.entries)


#: Becomes another account where it is told to, which may see neither the interpreter nor our code: whatever is
#: imported late is imported before, by the same work with a ledger that may be written.
READ_ONLY = """
import asyncio, os, sys, tempfile
from retirement.errors import RetirementError
from retirement.ledger import LedgerLocation, opened, verify

def place(url):
    return LedgerLocation(url, key=bytes(32))

async def main(place):
    async with opened(place) as ledger:
        await ledger.events.note("noted", {})

with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(place(f"sqlite:///{folder}/ledger.db")))
    assert verify(place(f"sqlite:///{folder}/ledger.db")).ok
if sys.argv[2:]:
    os.setgroups([])
    os.setgid(int(sys.argv[3]))
    os.setuid(int(sys.argv[2]))
print(verify(place(sys.argv[1])).ok)
try:
    asyncio.run(main(place(sys.argv[1])))
except RetirementError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.processes
def test_a_file_that_is_read_only(stranger: tuple[int, int]) -> None:
    """It can be verified, and not opened to work with."""
    folder = Path(tempfile.mkdtemp(prefix="ledger-readonly-"))
    try:
        place = LedgerLocation(f"sqlite:///{folder}/ledger.db", key=KEY)
        migrate(place)
        (folder / "ledger.db").chmod(0o444)
        folder.chmod(0o555)
        account = map(str, stranger) if os.geteuid() == 0 else ()
        command = [sys.executable, "-c", READ_ONLY, place.url, *account]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)

    good, said = ran.stdout.splitlines()
    assert "True" == good
    assert said.startswith("LedgerError ")
    assert ("read-only" in said) or ("cannot be opened" in said)


def test_a_locked_file(sqlite_desk: Desk) -> None:
    """Somebody else's transaction that never ends; the wait is cut short for the test."""
    migrate(sqlite_desk.place)
    other = sqlite3.connect(sqlite_desk.folder / "ledger.db", isolation_level=None)

    async def wait() -> None:
        async with sqlite_desk.open() as ledger:
            await ledger.access.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA busy_timeout=10").close())
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError, match="another process kept it locked"):
                await ledger.events.note("noted", {})
            other.execute("ROLLBACK")
            await ledger.events.note("noted", {})

    asyncio.run(wait())
    other.close()
