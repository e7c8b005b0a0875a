"""What the chain says about one learner, as of one entry: enough to write a certificate, and to check one later.

The entries hold every row whole that they changed, so nothing but them is read. A ledger that has grown since
then says the same as of that entry: a certificate stays checkable for as long as the ledger is kept.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from retirement.errors import LedgerError, RetirementError
from retirement.ledger import chain
from retirement.ledger.belonging import SITE_NAMED, require_site
from retirement.ledger.chain import Head
from retirement.ledger.events import Event, event_of
from retirement.ledger.failures import failure
from retirement.ledger.heads import SignedHead, last_signed, leaves, signed_head
from retirement.ledger.ledger import Ledger
from retirement.ledger.location import LedgerLocation, engine_of
from retirement.ledger.tables import Entry as Stored
from retirement.ledger.tables import Hold, LearnerRecord
from retirement.ledger.transaction import head_of, parts_of, rows_of
from retirement.ledger.tree import paths
from retirement.ledger.verification import reading_of, verify

T = TypeVar("T")

#: What is entered about several learners at once: the site, holds on organisations, and reports to partners.
_SHARED = (
    SITE_NAMED,
    "hold.added",
    "hold.released",
    "claim.sealed",
    "claim.parted",
    "claim.written",
    "claim.delivered",
)

#: Retirements that ended retired: whose, and why, where a hold kept something.
_RETIRED = select(LearnerRecord.user_id, LearnerRecord.reason).where(LearnerRecord.retired_at.is_not(None))
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the chain, as it is quoted; `rows` as in `chain`, `at` as it is stored."""

    seq: int
    at: str
    kind: str
    user_id: int | None  #: None: a hold on an organisation, which may be the learner's, or a report that names them
    facts: Mapping[str, Any]
    rows: Sequence[Any]
    body: str  #: as it is stored, which is what is hashed
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Extract:
    """The entries that may concern a learner, up to `head`, which is an entry of the chain."""

    user_id: int
    head: Head
    entries: tuple[Entry, ...]


class SharedEntries:
    """Entries about several learners, read and checked once for all extracts of a run: a report names thousands."""

    def __init__(self) -> None:
        self._seq = 0
        self._entries: list[tuple[Entry, frozenset[int] | None]] = []

    def about(self, connection: Connection, user_id: int, seq: int) -> list[Entry]:
        """Those up to entry `seq` that may concern a learner. Raises `LedgerError` for one that was changed."""
        if seq > self._seq:
            new = (Stored.seq > self._seq, Stored.seq <= seq)
            rows = rows_of(connection, Stored, Stored.user_id.is_(None), Stored.kind.in_(_SHARED), *new)
            self._entries += [(each, _named(each)) for each in map(_checked, rows)]
            self._seq = seq
        found = (each for each, named in self._entries if named is None or user_id in named)
        return [each for each in found if each.seq <= seq]


async def extract(ledger: Ledger, user_id: int, shared: SharedEntries | None = None) -> Extract:
    """What an open ledger says right now; `retirement ledger verify` checks it. Raises `LedgerError`.

    `shared` are those of a run that asks about many learners.
    """
    kept = shared or SharedEntries()
    return await ledger.access.read(lambda tx: _read(tx.connection, user_id, head_of(tx.connection), kept))


async def changed_since(ledger: Ledger, seq: int) -> set[int]:
    """The learners with a retirement that ended retired of whom entries after the one of number `seq` say something.

    So do holds whose last day was over between that entry and the last one. A hold on an organisation is about those
    whom it kept. Raises `LedgerError`.
    """
    return await ledger.access.read(lambda tx: _changed(tx.connection, seq))


def verified_extract(location: LedgerLocation, user_id: int, upto: int | None = None) -> Extract:
    """The same of a ledger that is verified first, neither opened for writing nor needing its key.

    `upto` is the number of the entry that ends it; a shorter ledger ends it before. Raises `LedgerError` for a
    ledger that is missing, or is not what was written, with the sentence of the verification.
    """
    return Evidence.of(location).extract(user_id, upto)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A ledger that was verified: where it is, its last entry then, and the keys that its heads are signed by."""

    location: LedgerLocation
    head: Head
    keys: tuple[str, ...]

    @classmethod
    def of(cls, location: LedgerLocation) -> "Evidence":
        """Verifies a ledger. Raises `LedgerError` for one that is missing, or is not what was written.

        Raises `ConfigError` for that of another site.
        """
        verdict = verify(location)
        if verdict.problem:
            raise LedgerError(verdict.problem.sentence)
        evidence = cls(location, verdict.head, verdict.keys)
        evidence._reading(lambda connection: require_site(connection, location))
        return evidence

    def extract(self, user_id: int, upto: int | None = None) -> Extract:
        """What it says of a learner, as of an entry; the last one of the verification by default."""
        last = self.head.seq if upto is None else min(upto, self.head.seq)

        def work(connection: Connection) -> Extract:
            found = rows_of(connection, Stored, Stored.seq == last)
            head = Head(last, found[0].hash, found[0].at) if found else Head(0, chain.ORIGIN, "")
            return _read(connection, user_id, head, SharedEntries())

        return self._reading(work)

    def replay(self, take: Callable[[Event], bool]) -> None:
        """Gives each entry up to the last one of the verification to `take`, in order, until it says False."""

        def work(connection: Connection) -> None:
            for found in parts_of(connection, Stored.seq <= self.head.seq):
                if not all(take(event_of(each)) for each in found):
                    return

        self._reading(work)

    def paths(self, numbers: Collection[int], upto: int) -> dict[int, list[str]]:
        """The proofs that entries are in the tree over all entries up to one, in hex, by their numbers."""
        found = self._reading(lambda connection: paths(leaves(connection, upto=upto), numbers))
        return {number: [each.hex() for each in path] for number, path in found.items()}

    def signed(self) -> SignedHead | None:
        """The signed head of the last entry, None where that is not signed."""
        row = self._reading(lambda connection: last_signed(connection) if self.keys else None)
        return signed_head(row) if row and row.seq == self.head.seq else None

    def _reading(self, work: Callable[[Connection], T]) -> T:
        engine = engine_of(self.location, reading=reading_of(self.location))
        try:
            with engine.connect().execution_options(reading=True) as connection:
                return work(connection)
        except RetirementError:
            raise
        except Exception as error:  # noqa: BLE001 - a driver's words may quote the address
            raise failure(str(self.location), error) from None
        finally:
            engine.dispose()


def _changed(connection: Connection, seq: int) -> set[int]:
    about, numbers, at = _touched(connection, seq)
    if not at:
        return set()
    over = _over(connection, seq, at)
    about |= {each.user_id for each in over if each.user_id is not None}
    numbers |= {each.id for each in over}
    # A ledger has learners by the thousand, of which few were touched: the database need not be asked for each. Nor is
    # more of each in memory than is looked at.
    retired = connection.execute(_RETIRED).partitions(_AT_ONCE)
    return {user_id for part in retired for user_id, reason in part if user_id in about or _is_held(reason, numbers)}


def _touched(connection: Connection, seq: int) -> tuple[set[int], set[int], str]:
    """The learners and the holds of whom the entries after one say something, and the time of the last entry."""
    about: set[int] = set()
    numbers: set[int] = set()
    at = ""
    # A run may have entered something of each learner.
    for entries in parts_of(connection, after=seq):
        changes = _shared_changes(entries)
        about.update(*([each.user_id] for each in entries if each.user_id is not None), *map(_reported, changes))
        numbers.update(key[0] for table, key, _ in changes if table == "hold")
        at = entries[-1].at
    return about, numbers, at


def _shared_changes(entries: Sequence[Stored]) -> list[tuple[str, Any, Mapping[str, Any] | None]]:
    """The changed rows of the entries that are about several learners."""
    return [change for each in entries if each.kind in _SHARED for change in json.loads(each.body)["rows"]]


def _over(connection: Connection, seq: int, at: str) -> list[Hold]:
    """The holds that were in force as of an entry, and by their day alone are not as of a time."""
    before = rows_of(connection, Stored, Stored.seq == seq)
    first = date.fromisoformat(before[0].at[:10]) if before else date.min
    ended = (Hold.released_at.is_(None), Hold.until >= first, Hold.until < date.fromisoformat(at[:10]))
    return rows_of(connection, Hold, *ended)


def _reported(change: tuple[str, Any, Mapping[str, Any] | None]) -> set[int]:
    """The learners of a report to partners that a change is about."""
    table, _, row = change
    return set(json.loads(row["user_ids"])) if table == "partner_claim" and row else set()


def _is_held(reason: str | None, numbers: set[int]) -> bool:
    return any(f"by hold {each}" in (reason or "") for each in numbers)


def _read(connection: Connection, user_id: int, head: Head, shared: "SharedEntries") -> Extract:
    mine = map(_checked, rows_of(connection, Stored, Stored.user_id == user_id, Stored.seq <= head.seq))
    found = [each for each in mine if user_id in (_named(each) or {user_id})]
    entries = sorted([*found, *shared.about(connection, user_id, head.seq)], key=lambda each: each.seq)
    return Extract(user_id, head, tuple(entries))


def _checked(row: Stored) -> Entry:
    """An entry as it is stored. Raises `LedgerError` for one that is not what was written."""
    if chain.entry_hash(row.seq, row.at, row.kind, row.user_id, row.body, row.previous) != row.hash:
        raise LedgerError(f"entry {row.seq} is not what was written")
    body = chain.read_body(row.body)
    return Entry(row.seq, row.at, row.kind, row.user_id, body["facts"], body["rows"], row.body, row.previous, row.hash)


def _named(entry: Entry) -> frozenset[int] | None:
    """The learners of the report to partners that an entry is about, None for an entry of another subject."""
    claims = [row for table, _, row in entry.rows if table == "partner_claim"]
    return frozenset(user_id for row in claims if row for user_id in json.loads(row["user_ids"])) if claims else None
