"""What the entries of a chain tell of each row, kept outside of memory: a ledger has as many rows as it has had steps.

SQLite's database without a name is a file that is deleted when it is closed, and before it is large no file at all.
It holds keys and hashes of rows, and no row.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retirement.errors import LedgerError
from retirement.ledger import chain

#: Rows that are written at a time.
_AT_ONCE = 1000

_TABLE = "CREATE TABLE told (row TEXT PRIMARY KEY, summary BLOB, seq INTEGER NOT NULL) WITHOUT ROWID"
_KEEP = "INSERT INTO told VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET summary = excluded.summary, seq = excluded.seq"
_LOOK = "SELECT summary, seq FROM told WHERE row = ?"
_TAKE = "UPDATE told SET summary = NULL WHERE row = ?"
_LEFT = "SELECT row, seq FROM told WHERE summary IS NOT NULL ORDER BY seq LIMIT 1"


class Told:
    """By the table and key of a row: the hash of what the last entry told of it, and the number of that entry."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._waiting: dict[str, tuple[bytes | None, int]] = {}
        with _room():
            self._database.execute(_TABLE)
            self._database.execute("BEGIN")

    def close(self) -> None:
        """Gives the room back."""
        self._database.close()

    def keep(self, table: Any, key: Any, summary: bytes | None, seq: int) -> None:
        """What entry `seq` tells of a row; None: it is deleted. Raises `LedgerError` where there is no room."""
        self._waiting[chain.canonical([table, key])] = (summary, seq)
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    def take(self, table: str, key: Any) -> tuple[bytes | None, int] | None:
        """What was told last of a row, hash and entry; it is not among those that are left then."""
        self._write()
        row = chain.canonical([table, key])
        with _room():
            found: tuple[bytes | None, int] | None = self._database.execute(_LOOK, (row,)).fetchone()
            if found:
                self._database.execute(_TAKE, (row,))
        return found

    def first_left(self) -> tuple[str, str, int] | None:
        """Of the rows that were not taken the one that was told of first: table, key and entry."""
        self._write()
        with _room():
            found = self._database.execute(_LEFT).fetchone()
        if found is None:
            return None
        table, key = chain.read_body(found[0])
        return str(table), chain.canonical(key), int(found[1])

    def _write(self) -> None:
        if self._waiting:
            with _room():
                self._database.executemany(_KEEP, ((row, *told) for row, told in self._waiting.items()))
            self._waiting.clear()


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(
            f"the folder for temporary files has no room for verifying ({type(error).__name__})"
        ) from None
