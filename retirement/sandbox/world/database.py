"""The platform's databases: one SQLite database in memory, used by one connection; on request with files.

With a folder, the tables of the Open edX services live in one file for each, as the databases of a site do, so
that others can look into them meanwhile. The names of all tables differ, so that no query names its file.

Every request is one transaction, as with Django's ATOMIC_REQUESTS (contract lms.md 1.7). Views are
synchronous and never wait inside a transaction, so one connection serves the whole event loop in turn.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from retirement.sandbox.world.schema import VIEWS, metadata

#: Services whose tables have a file, in the order in which SQLite looks for a name that several of them have.
FILES = ("lms", "credentials", "license_manager", "ecommerce", "discovery")


def files(folder: Path) -> dict[str, str]:
    """The addresses of the services' files in a folder, as a configuration has them."""
    return {name: f"sqlite:///{(folder / f'{name}.sqlite').absolute()}" for name in FILES}


def folded(text: str | None) -> str | None:
    """The collation of the LMS database: letters compare without case (contract lms.md 1.6)."""
    return None if text is None else text.casefold()


def timestamp(days_ago: float = 0) -> str:
    """A moment as the APIs write it; the texts sort in the order of time."""
    return (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _on_connect(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # SQLAlchemy begins transactions itself (below): the driver's own begin breaks savepoints.
    connection.isolation_level = None
    connection.create_function("folded", 1, folded, deterministic=True)


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


class Database:
    """Opens an empty database with all tables of all services; `folder` takes the files, none of which is there."""

    def __init__(self, folder: Path | None = None) -> None:
        self._connection = _connected()
        # A test may look in from another thread than that of the server.
        self._lock = threading.Lock()
        self._restored = 0
        self._has_files = folder is not None
        if folder is None:
            self.restore(_empty_image())
        else:
            self._attach(folder)
            with self.transaction() as connection:
                _create_tables(connection, in_files=True)

    def _attach(self, folder: Path) -> None:
        """Raises `OSError` for a folder that cannot be written, or that has such a file."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            file = folder / f"{name}.sqlite"
            file.touch(mode=0o600, exist_ok=False)
            raw = self._connection.connection
            raw.execute(f"ATTACH DATABASE ? AS {name}", (str(file),))
            # Readers and the platform do not wait for each other.
            raw.execute(f"PRAGMA {name}.journal_mode=WAL")
            raw.execute(f"PRAGMA {name}.synchronous=OFF")

    @property
    def version(self) -> tuple[int, int]:
        """Another value after each write: how often an image was restored, and how many rows were written."""
        return self._restored, _driver(self._connection).total_changes

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back when an exception leaves the block."""
        with self._lock, self._connection.begin():
            yield self._connection

    @contextmanager
    def emptied(self) -> Iterator[Connection]:
        """A transaction in which all tables are empty at first; everything is as it was where it is left in error."""
        if self._has_files:
            with self.transaction() as connection:
                for table in metadata.sorted_tables:
                    connection.exec_driver_sql(f"DELETE FROM {table.name}")  # noqa: S608 - names of the schema
                yield connection
            return
        before = self.image()
        self.restore(_empty_image())
        try:
            with self.transaction() as connection:
                yield connection
        except BaseException:
            self.restore(before)
            raise

    def image(self) -> bytes:
        """All tables with their rows, as SQLite would write them to a file; only of a database without files."""
        with self._lock:
            return _driver(self._connection).serialize()

    def restore(self, image: bytes) -> None:
        """Replaces all tables by those of an image; takes 0.1 ms, where planting takes 20."""
        with self._lock:
            self._restored += 1
            _driver(self._connection).deserialize(image)


def _connected() -> Connection:
    """To a database of its own: each connection to SQLite's memory has one."""
    return _engine().connect()


@cache
def _engine() -> Engine:
    """One for all platforms of a process, since it keeps the statements that it has compiled."""
    engine = create_engine(
        "sqlite://", poolclass=NullPool, connect_args={"check_same_thread": False}, query_cache_size=2_000
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _create_tables(connection: Connection, *, in_files: bool) -> None:
    for table in metadata.sorted_tables:
        place = table.info["service"] if in_files and table.info["service"] in FILES else None
        mapped = connection.execution_options(schema_translate_map={None: place})
        table.create(mapped, checkfirst=False)
        if place and table.name in VIEWS:
            view = f"{place}.{VIEWS[table.name]}"
            connection.exec_driver_sql(f"CREATE VIEW {view} AS SELECT * FROM {table.name}")  # noqa: S608 - as above
    connection.execution_options(schema_translate_map=None)


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


@cache
def _empty_image() -> bytes:
    """All tables without rows. Made once in a process: creating the tables takes 60 ms, restoring them 0.1 ms."""
    with closing(_connected()) as connection:
        with connection.begin():
            _create_tables(connection, in_files=False)
        return _driver(connection).serialize()
