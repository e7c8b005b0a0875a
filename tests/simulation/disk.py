"""What the machine gives a process: a disk that may be full, and a log that is listened to."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from retirement.ledger import LedgerLocation

_FULL: ContextVar[bool] = ContextVar("full", default=False)
_connections: list[Any] = []
#: Loggers that are opened wide. Those of httpx stay as our code sets them: at INFO it logs whole addresses.
_WIDE = ("retirement", "flows", "tenacity", "asyncio", "alembic")
_LOGGERS = (*_WIDE, "httpx", "httpcore", "aiohttp")
#: What belongs to a SQLite file, by the ends of the names.
_FILES = ("", "-wal", "-shm")


class Disk:
    """The folder of one seed's ledger."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ledger.sqlite"
        self.place = LedgerLocation(f"sqlite:///{self.file}", anchor=folder / "anchor", key=b"k" * 32)
        self.full = False
        #: Whether another file than the ledger, or none, is in its place.
        self.away = False
        self._copies = 0

    def copied(self) -> Path:
        """A copy of the ledger as it is now, as a backup makes one. Only SQLite reads the file: see its locks."""
        self._copies += 1
        copy = self.file.with_name(f"copy-{self._copies}")
        with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def move_away(self) -> Path:
        """Moves the ledger with its log to another name; processes that have it open keep it."""
        aside = self.file.with_name("aside")
        for ending in _FILES:
            if (file := Path(f"{self.file}{ending}")).exists():
                file.rename(f"{aside}{ending}")
        return aside

    def put(self, source: Path) -> None:
        """Puts a file, with its log if it has one, where the ledger belongs, in place of what is there."""
        self.delete()
        for ending in _FILES:
            if (file := Path(f"{source}{ending}")).exists():
                file.rename(f"{self.file}{ending}")

    def delete(self) -> None:
        """Takes away what is in the ledger's place."""
        for ending in _FILES:
            Path(f"{self.file}{ending}").unlink(missing_ok=True)

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
