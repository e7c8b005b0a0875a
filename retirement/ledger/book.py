"""The ledger within one transaction: read rows, and enter events together with the rows that they change.

Whatever changes evidence goes through `Book.enter`, which writes the row and puts its whole new content into
the event; so the evidence tables are the replay of the chain, and `verify` can compare the two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Delete, Executable, Insert, Table, Update, bindparam, select, text

from retirement.errors import LedgerError
from retirement.ledger import chain, tables
from retirement.ledger.chain import Head

#: Any number will do, as long as every process that appends to the chain takes the same.
_CHAIN_LOCK = 0x5245544952454D

_LAST = select(tables.event.c.seq, tables.event.c.hash, tables.event.c.at).order_by(tables.event.c.seq.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class New:
    """A row that was not there."""

    table: Table
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that was there, whole, as it is now."""

    table: Table
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gone:
    """A row that is deleted; only its key counts."""

    table: Table
    row: Mapping[str, Any]


Change = New | Changed | Gone


class Book:
    """One transaction. `now` is its one time: the server's on PostgreSQL, else that of the ledger's clock."""

    def __init__(self, connection: Connection, head: Head, now: datetime, writable: bool) -> None:
        self.connection = connection
        self.now = now
        self.at = chain.written(now)
        self._head = head
        self._writable = writable
        self._entries: list[dict[str, Any]] = []

    @property
    def next_id(self) -> int:
        """The number of the next event, and so the id of a row that it makes."""
        return self._head.seq + len(self._entries) + 1

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[dict[str, Any]]:
        """What a statement finds, as columns by name."""
        return [dict(row) for row in self.connection.execute(statement, values).mappings()]

    def row(self, table: Table, *key: Any) -> dict[str, Any] | None:
        """The row with that key, None where there is none."""
        columns = table.primary_key.columns
        found = self.rows(
            _by_key(table), {f"key_{column.name}": value for column, value in zip(columns, key, strict=True)}
        )
        return found[0] if found else None

    def enter(self, kind: str, *changes: Change, user_id: int | None = None, facts: Mapping[str, Any]) -> int:
        """Writes an event and the rows that it changes; returns its number.

        Raises `LedgerError` where a row to change is not there, and in a transaction that only reads.
        """
        if not self._writable:
            raise LedgerError("nothing is entered while the ledger is read")
        seq = self.next_id
        told = [self._apply(change) for change in changes]
        body = chain.canonical({"facts": facts, "rows": told})
        self._entries.append({"seq": seq, "at": self.at, "kind": kind, "user_id": user_id, "body": body})
        return seq

    def _apply(self, change: Change) -> list[Any]:
        table = change.table
        if table.name not in tables.EVIDENCE:
            raise LedgerError(f"{table.name} is no evidence")
        row = {name: storable(value) for name, value in change.row.items()}
        key = [row[column.name] for column in table.primary_key.columns]
        if isinstance(change, New):
            self.connection.execute(_insert(table), row)
            return [table.name, key, chain.content(row)]
        keyed = {f"key_{column.name}": row[column.name] for column in table.primary_key.columns}
        if isinstance(change, Gone):
            result = self.connection.execute(_delete(table), keyed)
        else:
            result = self.connection.execute(_update(table), row | keyed)
        if result.rowcount != 1:
            raise LedgerError(f"a row of {table.name} is not there any more; `retirement ledger verify` says which")
        return [table.name, key, None if isinstance(change, Gone) else chain.content(row)]

    @property
    def mark(self) -> int:
        """How many events were entered; see `forget`."""
        return len(self._entries)

    def forget(self, mark: int) -> None:
        """Drops the events after a mark, whose rows were rolled back."""
        del self._entries[mark:]

    def append(self) -> Head:
        """Chains the events of this transaction to those before, and stores them; returns the new head."""
        previous = self._head.hash
        for entry in self._entries:
            entry["previous"] = previous
            entry["hash"] = previous = chain.entry_hash(**entry)
        if self._entries:
            self.connection.execute(_insert(tables.event), self._entries)
            self._head = Head(self._entries[-1]["seq"], previous, self.at)
        return self._head


def opened_book(connection: Connection, clock: Callable[[], datetime] | None, *, writable: bool) -> Book:
    """The book of a transaction that has begun; while it is writable nobody else appends to the chain.

    `clock` None: the time is that of the database server, which all machines share.
    """
    on_server = connection.dialect.name == "postgresql"
    if on_server and writable:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CHAIN_LOCK})
    elif on_server:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    head = head_of(connection)
    # After the lock: a time that was read before waiting for it would be old.
    now = clock() if clock else connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return Book(connection, head, now, writable)


def head_of(connection: Connection) -> Head:
    """The last entry of the chain."""
    last = connection.execute(_LAST).first()
    return Head(last.seq, last.hash, last.at) if last else Head(0, chain.ORIGIN, "")


def storable(value: Any) -> Any:
    """A value that both databases can hold: no text of theirs has a NUL or half a surrogate pair."""
    if isinstance(value, str) and not (value.isascii() and "\0" not in value):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    return value


@cache
def _insert(table: Table) -> Insert:
    return table.insert()


def _keyed(table: Table) -> list[Any]:
    return [column == bindparam(f"key_{column.name}") for column in table.primary_key.columns]


@cache
def _by_key(table: Table) -> Executable:
    return select(table).where(*_keyed(table))


@cache
def _update(table: Table) -> Update:
    others = [column for column in table.columns if not column.primary_key]
    return table.update().where(*_keyed(table)).values({column.name: bindparam(column.name) for column in others})


@cache
def _delete(table: Table) -> Delete:
    return table.delete().where(*_keyed(table))
