"""What the machine gives a process: a disk that may be full, and a log that is listened to."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from retirement.ledger import LedgerPlace

_FULL: ContextVar[bool] = ContextVar("full", default=False)
_connections: list[Any] = []
#: Loggers that are opened wide. Those of httpx stay as our code sets them: at INFO it logs whole addresses.
_WIDE = ("retirement", "flows", "tenacity", "asyncio", "alembic")
_LOGGERS = (*_WIDE, "httpx", "httpcore")


class Disk:
    """The folder of one seed's ledger."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ledger.sqlite"
        self.place = LedgerPlace(f"sqlite:///{self.file}", anchor=folder / "anchor", key=b"k" * 32)
        self.full = False

    def work(self, work: Callable[[], Any]) -> Any:
        """Does something that may write to this disk."""
        token = _FULL.set(self.full)
        try:
            return work()
        finally:
            _FULL.reset(token)


def _refuse(_cursor: Any, statement: str, _parameters: Any, _context: Any) -> None:
    if _FULL.get() and statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error


def _remember(connection: Any, _record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    if connection.execute("PRAGMA database_list").fetchone()[2]:  # the platform's database is in memory, and stays
        _connections.append(connection)


# For every engine of this process: the dead leave their connections open, and disks are full for everybody.
event.listen(Engine, "do_execute", _refuse)
event.listen(Engine, "connect", _remember)


def close_connections() -> None:
    """Closes what the processes of a seed have left open."""
    for connection in _connections:
        with suppress(sqlite3.ProgrammingError):  # closed by the process itself
            connection.close()
    _connections.clear()


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collects everything that is logged meanwhile, from DEBUG up; not what the sandbox says of itself."""
    ear = _Ear()
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    logging.getLogger("retirement.sandbox").setLevel(logging.CRITICAL)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(ear)
        if name in _WIDE:
            logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield ear.lines
    finally:
        for name, level in before.items():
            logging.getLogger(name).removeHandler(ear)
            logging.getLogger(name).setLevel(level)
