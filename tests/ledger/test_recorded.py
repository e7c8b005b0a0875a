"""What is hashed stays the same by the byte: earlier ledgers verify, and the same life writes the same chain."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from retirement.ledger import LedgerLocation, chain, migrate, opened, tables, verify

from .desk import KEY, Clock, Desk, claims_of
from .life import live

RECORDED = Path(__file__).parent / "recorded"
#: Entries of the recorded life before anything is sealed: what is sealed is other bytes each time.
BEFORE_SEALING = 69
#: Tables whose rows are other bytes each time.
SEALED = ("partner_claim", "parcel_key")


def restored(folder: Path) -> Path:
    """The ledger that the code before typed rows wrote."""
    file = folder / "recorded.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((RECORDED / "ledger-0001.sql").read_text(encoding="utf-8"))
    return file


def entries(file: Path, upto: int) -> list[tuple[object, ...]]:
    """Entries as they are stored."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT * FROM event WHERE seq <= ? ORDER BY seq", (upto,)).fetchall()


def in_clear(file: Path) -> list[tuple[object, ...]]:
    """Entries without hashes and the facts that came later, and with their texts as they are read."""
    found = [(*entry[:4], chain.read_body(str(entry[4]))) for entry in entries(file, BEFORE_SEALING)]
    for *_, body in found:
        for later in ("row_changed_at", "observed"):
            body["facts"].pop(later, None)
    return found


def rows(file: Path, table: str, columns: str = "*") -> list[tuple[object, ...]]:
    """Rows of a table as they are stored."""
    statement = f"SELECT {columns} FROM {table}"  # noqa: S608 - our own names
    with closing(sqlite3.connect(file)) as connection:
        return sorted(connection.execute(statement).fetchall(), key=repr)


def test_a_ledger_of_earlier_code_verifies(tmp_path: Path) -> None:
    """Every entry and every row, of every kind."""
    file = restored(tmp_path)

    verdict = verify(LedgerLocation(f"sqlite:///{file}", key=KEY))

    assert (verdict.problem, verdict.entries) == (None, 75)
    assert verdict.head.hash == "901eebb9097cc732dbd7a7a0a08207e79fc3142b11fcd8b8ba9dd9128dc19159"


def test_the_same_life_writes_the_same_bytes(sqlite_desk: Desk) -> None:
    """Entries and rows, compared with what earlier code stored; free texts have salts since, so hashes are others."""

    async def again() -> None:
        async with sqlite_desk.open(holder="holder-1", breaker_learners=2) as ledger:
            await live(ledger, sqlite_desk.clock)

    asyncio.run(again())
    old, new = restored(sqlite_desk.folder), sqlite_desk.folder / "ledger.db"

    assert in_clear(old) == in_clear(new)
    known = {str(name) for (name,) in rows(old, "sqlite_master", "name")}
    unsealed = {name: rows(new, name) for name in (*tables.EVIDENCE, "lease") if name not in SEALED}
    assert {name: rows(old, name) if name in known else [] for name in unsealed} == unsealed


def test_a_ledger_of_earlier_code_is_written_on(tmp_path: Path) -> None:
    """What it holds is read, and what is sealed in it is opened."""
    location = LedgerLocation(f"sqlite:///{restored(tmp_path)}", key=KEY)
    migrate(location)

    async def go_on() -> list[bytes]:
        async with opened(location, clock=Clock()) as ledger:
            assert [17] == [each.user_id for each in await ledger.learners.by_email("canarymail17@canary.example")]
            assert {17, 21, 22, 23} == {each.user_id for each in await ledger.learners.find()}
            assert [("BRAZE", "closed", 0), ("CHE", "open", 0)] == [
                (each.service, each.state, len(each.failed)) for each in await ledger.breakers.all()
            ]
            await ledger.events.note("noted", {})
            return [await ledger.claims.unseal(claim.id) for claim in await claims_of(ledger, "sealed")]

    assert asyncio.run(go_on()) == [b"CanaryApart", b"CanarySecond"]
    assert verify(location).entries == 76


#: Sorted, since the registry is a set and the workers of a test run have to see one order.
KINDS = sorted((each.class_ for each in tables.Row.registry.mappers), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_column_is_an_attribute(kind: type[tables.Row]) -> None:
    """And every attribute a column, but for the attempts of a learner."""
    columns = {each.key for each in kind.__mapper__.column_attrs}

    assert {each.name for each in fields(kind)} - columns == ({"attempts"} if kind is tables.LearnerRecord else set())
