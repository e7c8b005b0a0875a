"""Rows of a plug-in in a database of its own, without any API: what the connector SQL is rehearsed with.

The database is a SQLite file in a temporary folder, which goes when the process ends. The sandbox looks for what is
left in its own tables, so one of them mirrors the file: who is planted gets a row in both, and before every look the
mirror takes on what became of the rows in the file. All sandboxes of a process share the file, each its own mirror.
"""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Integer, Table, select

from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of

_COLUMNS = ("username", "email", "full_name")
_PUT = "INSERT OR REPLACE INTO badge VALUES (:user_id, :username, :email, :full_name)"

badge = table_of("plugin_table", "plugin_badge", Column("user_id", Integer), *_COLUMNS)


@cache
def _file() -> Path:
    """The database, made when it is first needed."""
    folder = Path(tempfile.mkdtemp(prefix="retirement-plugin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "plugin.sqlite"
    with _database(path) as db:
        columns = ", ".join(f"{name} TEXT" for name in _COLUMNS)
        db.execute(f"CREATE TABLE badge (user_id INTEGER PRIMARY KEY, {columns})")
    return path


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, timeout=30)
    try:
        # Deleted rows are overwritten, and a rehearsal needs no protection from a power cut.
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA synchronous = OFF")
        with db:
            yield db
    finally:
        db.close()


def _settle(db: Connection, _now: datetime) -> None:
    """The mirror takes on what became of the rows in the file."""
    mirrored = list(db.execute(select(badge)))
    if not mirrored:
        return
    with _database(_file()) as plugin:
        rows = {row[0]: row[1:] for row in plugin.execute("SELECT user_id, username, email, full_name FROM badge")}
    for row in mirrored:
        here = badge.c.id == row.id
        if row.user_id not in rows:
            db.execute(badge.delete().where(here))
        elif rows[row.user_id] != (row.username, row.email, row.full_name):
            db.execute(badge.update().where(here).values(dict(zip(_COLUMNS, rows[row.user_id], strict=True))))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    row = {"user_id": person.user_id, "username": person.username, "email": person.email, "full_name": person.name}
    with _database(_file()) as plugin:
        plugin.execute(_PUT, row)
    yield badge, row


def _restored(db: Connection) -> None:
    """The file gets the rows of the mirror again."""
    rows = [dict(row) for row in db.execute(select(badge)).mappings()]
    if rows:
        with _database(_file()) as plugin:
            plugin.executemany(_PUT, rows)


def _settings(_url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {
        "database": f"sqlite:///{_file()}",
        "statements": ["DELETE FROM badge WHERE user_id = :user_id"],
        "probe": "SELECT count(*) FROM badge",
        "ask": "SELECT count(*) FROM badge WHERE user_id = :user_id",
    }


VENDOR = Vendor(
    name="plugin_table",
    service="SQL",
    routes=[],
    holds=_holds,
    settings=_settings,
    steps=[step("PLUGIN", "SQL", "erase")],
    settle=_settle,
    restored=_restored,
)
