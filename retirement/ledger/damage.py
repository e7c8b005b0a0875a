"""Where the file of a SQLite ledger is damaged, as far as SQLite tells, and what helps then.

What SQLite prints about a damaged file names pages, tables, indexes and numbers of rows, never a value
(https://www.sqlite.org/pragma.html#pragma_integrity_check, https://www.sqlite.org/fileformat2.html).
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retirement.ledger.tables import metadata

_MAGIC = b"SQLite format 3\0"
#: What an operator does about it; the page says how.
REMEDY = "restore the last backup (docs/operating.md, “When the ledger is lost”), and keep the damaged file"
_TABLES = ("alembic_version", *sorted(metadata.tables))
#: Lines of `PRAGMA integrity_check` that are read.
_LINES = 20


def is_damage(error: Exception) -> bool:
    """Whether SQLite says with this error that the file itself is at fault."""
    name = getattr(getattr(error, "orig", error), "sqlite_errorname", "") or ""
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def damage(file: Path, *, reading: str = "mode=ro") -> str:
    """One sentence: where the file is damaged, how far its entries can be read, and what helps. Changes nothing."""
    raw = _header(file)
    if not raw:
        return f"the file is empty; {REMEDY}"
    if not raw.startswith(_MAGIC):
        return f"the file begins otherwise than a SQLite database: it was overwritten, or never was a ledger; {REMEDY}"
    found = [_cut_off(file, raw), *_from_sqlite(file, reading)]
    return f"the file is damaged: {'; '.join(each for each in found if each)}; {REMEDY}"


def _header(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(100)
    except OSError:
        return b""


def _cut_off(file: Path, raw: bytes) -> str | None:
    """Whether the file is shorter than its own header says."""
    size = int.from_bytes(raw[16:18], "big")
    size = 65536 if size == 1 else size
    pages, have = int.from_bytes(raw[28:32], "big"), file.stat().st_size
    if size < 512 or have >= pages * size:
        return None
    return f"it ends after page {have // size} of {pages}, so it was cut off"


def _from_sqlite(file: Path, reading: str) -> list[str]:
    uri = f"file:{quote(str(file.resolve()))}?{reading}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        # A value that is no text any more is no reason to stop looking.
        connection.text_factory = bytes
        return [each for each in (_complaint(connection), *_unreadable(connection), _entries(connection)) if each]


def _rows(connection: sqlite3.Connection, statement: str) -> Iterator[Any]:
    """Rows up to the first that SQLite cannot read; raises `sqlite3.Error` there."""
    yield from connection.execute(statement)


def _complaint(connection: sqlite3.Connection) -> str | None:
    """The first page or row that SQLite complains about, with the table or index that it belongs to."""
    lines: list[str] = []
    # It may fail itself, after it has said what it had found by then.
    with suppress(sqlite3.Error):
        for (text,) in _rows(connection, f"PRAGMA integrity_check({_LINES})"):
            lines += text.decode("utf-8", "replace").splitlines()
    for line in lines:
        if line != "ok" and not line.startswith("***"):
            return line + _owner(connection, line)
    return None


def _owner(connection: sqlite3.Connection, line: str) -> str:
    """The table or index in whose tree a page is."""
    if found := re.match(r"(?:On t|T)ree (?:page )?(\d+)", line):
        with suppress(sqlite3.Error):
            for (name,) in _rows(connection, f"SELECT name FROM sqlite_master WHERE rootpage = {int(found[1])}"):  # noqa: S608 - a number
                return f" ({name.decode('utf-8', 'replace')})"
    return ""


def _unreadable(connection: sqlite3.Connection) -> Iterator[str]:
    """The tables that cannot be read to their end, by themselves or by an index."""
    names = [name for name in _TABLES if not _is_sound(connection, name)]
    if names:
        yield "no table can be read" if len(names) == len(_TABLES) else f"damaged tables: {', '.join(names)}"


def _is_sound(connection: sqlite3.Connection, table: str) -> bool:
    try:
        return [row[0] for row in _rows(connection, f"PRAGMA integrity_check({table})")] == [b"ok"]
    except sqlite3.Error:
        return False


def _entries(connection: sqlite3.Connection) -> str:
    """How far the entries can be read, one after the other."""
    last = 0
    try:
        for seq, _ in _rows(connection, "SELECT seq, body FROM event NOT INDEXED ORDER BY seq"):
            last = seq if isinstance(seq, int) else last
    except sqlite3.Error:
        return f"entries can be read up to {last}" if last else "no entry can be read"
    return f"all entries can be read, up to {last}"
