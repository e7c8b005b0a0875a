"""Is the ledger what was written? Replays the chain and compares every row of evidence with the replay.

Needs neither the key nor the right to write. What it finds: an entry that was changed, that is missing or was
put in; a row of evidence that no entry tells of, or tells otherwise; a file that SQLite finds damaged; a head that
was signed and fits no more; and, with an anchor, a tail that was cut off or a chain that was written anew.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Table, inspect, select

from retirement.errors import ConfigError, LedgerError
from retirement.ledger import chain, tables
from retirement.ledger.anchor import anchored
from retirement.ledger.chain import ORIGIN, Head
from retirement.ledger.damage import REMEDY, damage, is_damage
from retirement.ledger.failures import failure
from retirement.ledger.heads import HeadCheck, SignedHead, signed_head
from retirement.ledger.location import LedgerLocation, engine_of
from retirement.ledger.schema import require_schema, schema_of
from retirement.ledger.tables import SignedRow
from retirement.ledger.told import Told
from retirement.ledger.transaction import head_of, rows_of
from retirement.process import counted

#: The entry that texts were taken out of others, which its facts number.
TEXT_REDACTED = "text.redacted"
#: Entries and rows that are in memory at a time.
_AT_ONCE = 1000

#: The heads that stand in an anchor, None where there is no anchor.
Anchor = Iterator[Head | SignedHead] | None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong first; `seq` is the entry concerned, None where no entry is."""

    seq: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying came to: how many entries are good, the last of them, and what is wrong.

    `signed` is the last entry that a signed head covers, 0 where none is; `keys` are the public keys, in hex.
    `redacted` are texts that were taken out.
    """

    entries: int
    head: Head
    problem: Problem | None
    signed: int = 0
    keys: tuple[str, ...] = ()
    redacted: int = 0

    @property
    def ok(self) -> bool:
        """Whether the ledger is what was written."""
        return self.problem is None


_UNSOUND = Problem(None, "SQLite finds its file damaged (PRAGMA integrity_check)")


class _Broken(Exception):
    """The first problem; it never leaves this module."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def verify(location: LedgerLocation, trusted: Collection[str] = ()) -> Verdict:
    """Verifies a ledger without changing it. Raises nothing about the ledger: what is wrong is in the verdict.

    `trusted` are public keys in hex: heads have to be signed by one of them; left out, the chain's own are believed.
    Raises `LedgerError` where PostgreSQL does not answer, or the anchor cannot be read.
    """
    if location.file is not None and not location.file.is_file():
        return _missing(location)
    # Before the chain is read: entries that are made meanwhile only make the chain longer.
    heads = anchored(location.anchor)
    verdict = _read(location, heads, trusted)
    if location.file and verdict.problem is _UNSOUND:
        where = damage(location.file, reading=reading_of(location))
        return replace(verdict, problem=Problem(None, f"{location}: {where}"))
    return verdict


def _read(location: LedgerLocation, anchor: Anchor, trusted: Collection[str]) -> Verdict:
    """The verdict of one reading; raises `LedgerError` where PostgreSQL fails."""
    engine = engine_of(location, reading=reading_of(location))
    try:
        with engine.connect().execution_options(reading=True) as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return verify_connection(connection, location, anchor, trusted)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes a driver raise, it is damaged
        told = failure(str(location), error)
        if location.file is None:
            raise told from None
        return Verdict(0, _NOTHING, _UNSOUND if is_damage(error) else Problem(None, str(told)))
    finally:
        engine.dispose()


def reading_of(location: LedgerLocation) -> str:
    """How to open a file: to read one that has a log, SQLite makes files beside it, unless no process can write it."""
    file = location.file
    alone = file and not file.with_name(file.name + "-wal").exists() and not os.access(file.parent, os.W_OK)
    return "immutable=1" if alone else "mode=ro"


_NOTHING = Head(0, ORIGIN, "")


def _missing(location: LedgerLocation) -> Verdict:
    return Verdict(0, _NOTHING, Problem(None, f"{location}: there is no ledger"))


def verify_connection(
    connection: Connection, location: LedgerLocation, anchor: Anchor, trusted: Collection[str] = ()
) -> Verdict:
    """Verifies the ledger that a connection reads, in one transaction."""
    with closing(Told()) as told:
        return _verified(connection, location, _Replay(anchor, HeadCheck({}, trusted), told), trusted)


def _verified(connection: Connection, location: LedgerLocation, replay: "_Replay", trusted: Collection[str]) -> Verdict:
    problem, heads = None, replay.heads
    try:
        _require_soundness(connection)
        _require_our_schema(connection, location)
        replay.heads = heads = HeadCheck(_signed(connection), trusted)
        with counted("entries of the ledger that were verified", head_of(connection).seq) as count:
            for entry in _stream(connection, tables.event):
                replay.take(entry)
                count.done += 1
        replay.require_anchor(wanted=location.anchor is not None)
        replay.require_redactions()
        if sentence := heads.missing(replay.head.seq):
            raise _Broken(Problem(None, sentence))
        _compare(connection, replay.told)
    except _Broken as broken:
        problem = broken.problem
    return Verdict(replay.head.seq, replay.head, problem, heads.signed, tuple(heads.keys), replay.redacted)


def _signed(connection: Connection) -> dict[int, SignedHead]:
    """The signed heads, by their entries; a ledger of an earlier release has none."""
    if not inspect(connection).has_table(SignedRow.__tablename__):
        return {}
    return {row.seq: signed_head(row) for row in rows_of(connection, SignedRow)}


def _require_soundness(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        words = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalars().all()
        if words != ["ok"]:
            raise _Broken(_UNSOUND)


def _require_our_schema(connection: Connection, location: LedgerLocation) -> None:
    found = schema_of(connection)
    if found is None:
        raise _Broken(Problem(None, f"{location}: {_without_schema(connection, location)}"))
    try:
        require_schema(found, str(location), written=False)
    except ConfigError as error:
        raise _Broken(Problem(None, str(error))) from None


def _without_schema(connection: Connection, location: LedgerLocation) -> str:
    if location.file is None or inspect(connection).get_table_names():
        return "is not a ledger"
    # A ledger that was never closed may have all that it holds in its log.
    return f"holds no tables; if it was a ledger, put its log back ({location.file.name}-wal), else {REMEDY}"


def _stream(connection: Connection, table: Table) -> Iterator[Row[Any]]:
    statement = select(table).order_by(*table.primary_key.columns)
    with closing(connection.execution_options(yield_per=_AT_ONCE).execute(statement)) as found:
        yield from found


class _Replay:
    """What the entries so far say; of each row only a hash, outside of memory."""

    def __init__(self, anchor: Anchor, heads: HeadCheck, told: Told) -> None:
        self.head = _NOTHING
        self.told = told
        self.heads = heads
        self.redacted = 0  #: texts that were taken out
        self._without_text: dict[int, int] = {}
        #: How many texts entries say to have taken out of each; those of earlier releases do not say how many.
        self._said_out: Counter[int] = Counter()
        self._said_without_number: set[int] = set()
        self._has_anchor = anchor is not None
        self._anchor = iter(anchor or ())
        self._next = next(self._anchor, None)

    def take(self, entry: Row[Any]) -> None:
        """Takes the next entry; raises `_Broken` unless it follows the one before."""
        seq = self.head.seq + 1
        self._require_next(entry, seq)
        body = chain.read_body(entry.body)
        self._keep_rows(body["rows"], seq)
        self._note_redactions(entry, body["facts"])
        head = Head(seq, entry.hash, entry.at)
        wrong = self.heads.take(head, entry.kind, body["facts"])
        self._require_anchored(head)
        if wrong:
            raise _Broken(Problem(seq, wrong))
        self.head = head

    def _note_redactions(self, entry: Row[Any], facts: Mapping[str, Any]) -> None:
        if taken_out := chain.taken_out(entry.body):
            self.redacted += taken_out
            self._without_text[entry.seq] = taken_out
        if entry.kind != TEXT_REDACTED:
            return
        if "texts" in facts:
            self._said_out.update(dict(zip(facts["entries"], facts["texts"], strict=True)))
        else:
            self._said_without_number.update(facts["entries"])

    def require_redactions(self) -> None:
        """Raises `_Broken` where a text is gone of which no entry says that it was taken out."""
        by_number = ((seq, count) for seq, count in self._without_text.items() if seq not in self._said_without_number)
        if gone := [seq for seq, count in by_number if count > self._said_out[seq]]:
            raise _Broken(
                Problem(min(gone), f"a text of entry {min(gone)} is gone, and no entry says that it was taken out")
            )

    def _require_next(self, entry: Row[Any], seq: int) -> None:
        if entry.seq != seq:
            raise _Broken(Problem(seq, f"entry {seq} is missing"))
        columns = (entry.at, entry.kind, entry.user_id, entry.body)
        if not _typed(entry) or chain.entry_hash(seq, *columns, entry.previous) != entry.hash:
            raise _Broken(Problem(seq, f"entry {seq} is not what was written"))
        if entry.previous != self.head.hash:
            raise _Broken(Problem(seq, f"entry {seq} does not follow entry {seq - 1}"))

    def _require_anchored(self, head: Head) -> None:
        """Raises `_Broken` unless every head that the anchor holds of this entry is that of the entry."""
        while self._next and _plain(self._next).seq <= head.seq:
            held = self._next
            self._next = next(self._anchor, None)
            if _plain(held).seq < head.seq:
                raise _Broken(Problem(None, f"the anchor holds entry {_plain(held).seq} after a later one"))
            if _plain(held).hash != head.hash:
                sentence = f"entry {head.seq} is another one than the anchor holds: the chain was written anew"
                raise _Broken(Problem(head.seq, sentence))
            if isinstance(held, SignedHead) and (wrong := self.heads.wrong(held, head)):
                raise _Broken(Problem(head.seq, f"{wrong}, says the anchor"))

    def _keep_rows(self, rows: list[Any], seq: int) -> None:
        for table, key, row in rows:
            self.told.keep(table, key, None if row is None else _summary(row), seq)

    def require_anchor(self, *, wanted: bool) -> None:
        """Raises `_Broken` where the anchor holds more than the chain, or is gone."""
        if not self._has_anchor:
            if wanted and self.head.seq:
                raise _Broken(Problem(None, "the anchor is missing: it is written after every commit"))
            return
        held = max((_plain(each).seq for each in (self._next, *self._anchor) if each), default=0)
        gone = held - self.head.seq
        if gone > 0:
            entries = "1 entry is" if gone == 1 else f"{gone} entries are"
            raise _Broken(Problem(self.head.seq + 1, f"{entries} missing from the tail: the anchor holds {held}"))


def _plain(head: Head | SignedHead) -> Head:
    return head.head if isinstance(head, SignedHead) else head


def _typed(entry: Row[Any]) -> bool:
    texts = (entry.at, entry.kind, entry.body, entry.previous, entry.hash)
    return all(isinstance(text, str) for text in texts) and (entry.user_id is None or isinstance(entry.user_id, int))


def _summary(row: Any) -> bytes:
    return hashlib.sha256(chain.canonical(row).encode("ascii")).digest()


def _compare(connection: Connection, told: Told) -> None:
    """Compares every row of evidence; names the earliest entry that its row does not agree with."""
    there = set(inspect(connection).get_table_names())
    # A ledger may be older than a table; rows that entries tell of are missed below.
    wrong = [
        problem
        for name, table in tables.EVIDENCE.items()
        if name in there and (problem := _first(_wrong(name, table, row, told) for row in _stream(connection, table)))
    ]
    if left := told.first_left():
        name, key, seq = left
        wrong.append(Problem(seq, f"the row {key} of {name}, which entry {seq} wrote, is missing"))
    if first := _first(wrong):
        raise _Broken(first)


def _first(problems: Iterable[Problem | None]) -> Problem | None:
    """The problem of the earliest entry; those of none come last."""
    return min(filter(None, problems), key=lambda each: (each.seq is None, each.seq or 0), default=None)


def _wrong(name: str, table: Table, found: Row[Any], told: Told) -> Problem | None:
    """What is wrong with a row of evidence; None where it is what the last entry told of it."""
    key: Any
    try:
        content = chain.content(dict(found._mapping))
        key = [content[column.name] for column in table.primary_key.columns]
        shown, summary = chain.canonical(key), _summary(content)
    except (TypeError, ValueError):
        key, shown, summary = None, "?", b""
    last, seq = told.take(name, key) or (None, None)
    if last is None:
        return Problem(seq, f"no entry tells of the row {shown} of {name}")
    if last != summary:
        return Problem(seq, f"the row {shown} of {name} is not what entry {seq} wrote")
    return None


def require_whole(connection: Connection, anchor: Head | None, name: str) -> Head:
    """The head of a chain that has what its anchor holds.

    Raises `LedgerError` for a chain that is shorter than the anchor that was read before it, and for another chain,
    before the anchor moves on and hides it.
    """
    head = head_of(connection)
    if anchor is None:
        return head
    if anchor.seq > head.seq:
        raise LedgerError(
            f"{name}: {anchor.seq - head.seq} entries are missing from the tail, as if an older copy had been "
            "put back: `retirement ledger verify` says more"
        )
    entry = tables.event.c
    if connection.scalar(select(entry.hash).where(entry.seq == anchor.seq)) != anchor.hash:
        raise LedgerError(f"{name}: the entry the anchor holds is not in this ledger: it was written anew")
    return head
