"""The platform's databases: one SQLite database in memory, used by one connection.

Every request is one transaction, as with Django's ATOMIC_REQUESTS (contract lms.md 1.7). Views are
synchronous and never wait inside a transaction, so one connection serves the whole event loop in turn.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from retirement.sandbox.schema import metadata


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
    """Opens an empty database with all tables of all services."""

    def __init__(self) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        self._connection = engine.connect()
        # A test may look in from another thread than that of the server.
        self._lock = threading.Lock()
        with self.transaction() as connection:
            metadata.create_all(connection, checkfirst=False)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commits at the end, rolls back when an exception leaves the block."""
        with self._lock, self._connection.begin():
            yield self._connection

    def clear(self) -> None:
        with self.transaction() as connection:
            for table in metadata.sorted_tables:
                connection.execute(table.delete())
