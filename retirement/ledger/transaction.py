"""The ledger within one transaction: read rows, and enter events together with the rows that they change.

Whatever changes evidence goes through `Transaction.enter`, which writes the row and puts its whole new content into
the event; so the evidence tables are the replay of the chain, and `verify` can compare the two.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Delete, Insert, Select, Table, Update, bindparam, select, text

from retirement.errors import LedgerError
from retirement.ledger import chain, tables
from retirement.ledger.chain import Head
from retirement.ledger.columns import stored
from retirement.ledger.tables import Entry, Row, table_of
from retirement.process import observed

R = TypeVar("R", bound=Row)
T = TypeVar("T")

#: Any number will do, as long as every process that appends to the chain takes the same.
_CHAIN_LOCK = 0x5245544952454D

#: Entries that are in memory at once where all are read.
_ENTRIES_AT_ONCE = 1_000

_LAST = select(Entry.seq, Entry.hash, Entry.at).order_by(Entry.seq.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class New:
    """A row that was not there."""

    row: Row


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that was there, whole, as it is now."""

    row: Row


@dataclass(frozen=True, slots=True)
class Gone:
    """A row that is deleted; only its key counts."""

    row: Row


Change = New | Changed | Gone


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the rows of a list: so many, after those that are skipped."""

    most: int
    skipped: int = 0


class Transaction:
    """One transaction. `now` is its one time: the server's on PostgreSQL, else that of the ledger's clock."""

    def __init__(self, connection: Connection, head: Head, now: datetime, writable: bool) -> None:
        self.connection = connection
        self.now = now
        self._at = chain.written(now)
        self._head = head
        self._writable = writable
        #: Who acts, in the pieces of work that are entered from here on.
        self.observed = observed()
        #: Whether something was deleted of which nothing may be left in SQLite's log.
        self.empties_log = False
        self._entries: list[dict[str, Any]] = []
        self._answers: dict[type[Row], dict[Hashable, Any]] = {}  #: see `once`

    def is_believable(self, time: datetime, seconds: float) -> bool:
        """Whether a stored time that is at most so many seconds ahead when it is written can be right.

        On SQLite the clock is that of the machine, which may have been wrong when it was written. PostgreSQL's
        server tells every machine the time.
        """
        return self.connection.dialect.name != "sqlite" or time <= self.now + timedelta(seconds=seconds)

    @property
    def head(self) -> Head:
        """The last entry that is stored."""
        return self._head

    @property
    def next_id(self) -> int:
        """The number of the next event, and so the id of a row that it makes."""
        return self._head.seq + len(self._entries) + 1

    def rows(
        self,
        kind: type[R],
        *conditions: ColumnElement[bool],
        piece: Piece | None = None,
        order: Sequence[ColumnElement[Any]] = (),
    ) -> list[R]:
        """The rows of a kind that fit, or a piece of them, by their key or in this order.

        Raises `LedgerError` for one that is not what was written.
        """
        return rows_of(self.connection, kind, *conditions, piece=piece, order=order)

    def row(self, kind: type[R], *key: int | str) -> R | None:
        """The row with that key, None where there is none. Raises `LedgerError` as `rows`."""
        names = (f"key_{column.name}" for column in table_of(kind).primary_key.columns)
        found = _read(self.connection, kind, _by_key(kind), dict(zip(names, key, strict=True)))
        return found[0] if found else None

    def once(self, kind: type[Row], what: Hashable, read: Callable[[], T]) -> T:
        """What `read` finds of the rows of a kind, which all pieces of work share until one of them changes such a row.

        It is for what every step asks for and hardly any changes; `what` tells one such question from another.
        """
        answers = self._answers.setdefault(kind, {})
        if what not in answers:
            answers[what] = read()
        found: T = answers[what]
        return found

    def enter(self, kind: str, *changes: Change, user_id: int | None = None, facts: Mapping[str, Any]) -> int:
        """Writes an event and the rows that it changes; returns its number. An act gets what was observed of it.

        Raises `LedgerError` where a row to change is not there, and in a transaction that only reads.
        """
        if not self._writable:
            raise LedgerError("nothing is entered while the ledger is read")
        seq = self.next_id
        told = [self._apply(change) for change in changes]
        seen = {chain.OBSERVED: self.observed.facts} if kind in chain.ACTS else {}
        body = chain.canonical(chain.with_salts({"facts": {**facts, **seen}, "rows": told}))
        self._entries.append({"seq": seq, "at": self._at, "kind": kind, "user_id": user_id, "body": body})
        return seq

    def _apply(self, change: Change) -> list[Any]:
        """Writes one row; what the entry tells of it: the table, the key, and the row whole or None."""
        table = table_of(type(change.row))
        if table.name not in tables.EVIDENCE:
            raise LedgerError(f"{table.name} is no evidence")
        values = _values(change.row)
        told = _content(table, values)
        key = [told[column.name] for column in table.primary_key.columns]
        self._store(change, table, values)
        return [table.name, key, None if isinstance(change, Gone) else told]

    def _store(self, change: Change, table: Table, values: dict[str, Any]) -> None:
        """Raises `LedgerError` where a row to change or delete is not there."""
        self._answers.pop(type(change.row), None)
        if isinstance(change, New):
            self.connection.execute(_insert(table), values)
            return
        key = {f"key_{column.name}": values[column.name] for column in table.primary_key.columns}
        if isinstance(change, Gone):
            result = self.connection.execute(_delete(table), key)
        else:
            result = self.connection.execute(_update(table), values | key)
        if result.rowcount != 1:
            raise LedgerError(f"a row of {table.name} is not there any more; `retirement ledger verify` says which")

    def entries(self, kinds: Collection[str], *, after: int) -> list[Entry]:
        """The entries of these kinds after that number, with those that this transaction has still to store."""
        found = self.rows(Entry, Entry.seq > after, Entry.kind.in_(list(kinds)))
        unstored = [each for each in self._entries if each["kind"] in kinds and each["seq"] > after]
        return found + [Entry(**each, previous="", hash="") for each in unstored]

    @property
    def mark(self) -> int:
        """How many events were entered; see `forget`."""
        return len(self._entries)

    def forget(self, mark: int) -> None:
        """Drops the events after a mark, whose rows were rolled back."""
        del self._entries[mark:]
        self._answers.clear()

    def append(self) -> Head:
        """Chains the events of this transaction to those before, and stores them; returns the new head."""
        previous = self._head.hash
        for entry in self._entries:
            entry["previous"] = previous
            entry["hash"] = previous = chain.entry_hash(**entry)
        if self._entries:
            self.connection.execute(_insert(table_of(Entry)), self._entries)
            self._head = Head(self._entries[-1]["seq"], previous, self._at)
        return self._head


def opened_transaction(connection: Connection, clock: Callable[[], datetime] | None, *, writable: bool) -> Transaction:
    """The transaction of a transaction that has begun; while it is writable no other process appends to the chain.

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
    return Transaction(connection, head, now, writable)


def head_of(connection: Connection) -> Head:
    """The last entry of the chain."""
    last = connection.execute(_LAST).first()
    return Head(last.seq, last.hash, last.at) if last else Head(0, chain.ORIGIN, "")


def rows_of(
    connection: Connection,
    kind: type[R],
    *conditions: ColumnElement[bool],
    piece: Piece | None = None,
    order: Sequence[ColumnElement[Any]] = (),
) -> list[R]:
    """What `Transaction.rows` says, of a connection that only reads."""
    statement = _all(kind).where(*conditions).order_by(*(order or table_of(kind).primary_key.columns))
    if piece:
        statement = statement.limit(piece.most).offset(piece.skipped)
    return _read(connection, kind, statement, {})


def parts_of(connection: Connection, *conditions: ColumnElement[bool], after: int = 0) -> Iterator[list[Entry]]:
    """The entries after a number that fit, in parts: all of them are as many as learners had steps."""
    while found := rows_of(connection, Entry, Entry.seq > after, *conditions, piece=Piece(_ENTRIES_AT_ONCE)):
        yield found
        after = found[-1].seq


def _read(connection: Connection, kind: type[R], statement: Select[Any], values: Mapping[str, Any]) -> list[R]:
    names = [name for name, _ in _columns(kind)]
    found = connection.execute(statement, values)
    try:
        return [kind(**dict(zip(names, row, strict=True))) for row in found]
    except (TypeError, ValueError, AttributeError):
        name = table_of(kind).name
        raise LedgerError(f"a row of {name} cannot be read; `retirement ledger verify` says which") from None


def _values(row: Row) -> dict[str, Any]:
    """The values of a row, by the names of its columns."""
    return {column.name: getattr(row, name) for name, column in _columns(type(row))}


def _content(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row as an entry tells of them."""
    return chain.content({column.name: stored(column.type, values[column.name]) for column in table.columns})


@cache
def _columns(kind: type[Row]) -> Sequence[tuple[str, Any]]:
    """The attributes of a class of rows with their columns, which may have other names."""
    return [(each.key, each.columns[0]) for each in kind.__mapper__.column_attrs]


@cache
def _all(kind: type[Row]) -> Select[Any]:
    return select(*(column for _, column in _columns(kind)))


@cache
def _insert(table: Table) -> Insert:
    return table.insert()


def _keyed(table: Table) -> list[Any]:
    return [column == bindparam(f"key_{column.name}") for column in table.primary_key.columns]


@cache
def _by_key(kind: type[Row]) -> Select[Any]:
    return _all(kind).where(*_keyed(table_of(kind)))


@cache
def _update(table: Table) -> Update:
    others = [column for column in table.columns if not column.primary_key]
    return table.update().where(*_keyed(table)).values({column.name: bindparam(column.name) for column in others})


@cache
def _delete(table: Table) -> Delete:
    return table.delete().where(*_keyed(table))
