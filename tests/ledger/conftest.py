"""Databases: a SQLite file, or a database of its own in one PostgreSQL server for the whole session."""

import itertools
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from retirement.ledger import LedgerLocation, migrate
from tests import databases
from tests.ledgers import place_file

from .desk import KEY, Clock, Desk

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server that lives as long as the session."""
    with databases.open_folder("ledger-postgresql-") as folder, databases.running(folder) as uri:
        yield uri.replace("postgresql:", "postgresql+psycopg:", 1)


@pytest.fixture
def begins_empty() -> bool:
    """Whether the databases of a test have no tables yet; a module that opens and migrates says so."""
    return False


@pytest.fixture(scope="session")
def migrated(postgresql: str) -> str:
    """The name of a database with a ledger without entries, from which others are copied."""
    name = f"migrated_{os.getpid()}"
    with administered(postgresql) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    migrate(LedgerLocation(_url(postgresql, name), key=KEY))
    return name


@pytest.fixture
def sqlite_desk(tmp_path: Path, begins_empty: bool) -> Desk:
    """A ledger in a file."""
    if not begins_empty:
        place_file(tmp_path / "ledger.db")
    return Desk(LedgerLocation(f"sqlite:///{tmp_path}/ledger.db", key=KEY), Clock(), tmp_path)


@pytest.fixture
def postgresql_desk(postgresql: str, migrated: str, tmp_path: Path, begins_empty: bool) -> Iterator[Desk]:
    """A ledger in a database of its own."""
    name = f"ledger_{os.getpid()}_{next(_numbers)}"
    copied = "" if begins_empty else f" TEMPLATE {migrated}"
    with administered(postgresql) as connection:
        connection.execute(text(f"CREATE DATABASE {name}{copied}"))
        yield Desk(LedgerLocation(_url(postgresql, name), key=KEY), Clock(), tmp_path)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def administered(postgresql: str) -> Iterator[Connection]:
    """A connection that makes and drops databases."""
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _url(postgresql: str, database: str) -> str:
    return make_url(postgresql).set(database=database).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """A ledger on each kind of database in turn."""
    found: Desk = request.getfixturevalue(f"{request.param}_desk")
    return found


@pytest.fixture
def stranger() -> tuple[int, int]:
    """An account that may do nothing, for tests that run as root."""
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid
