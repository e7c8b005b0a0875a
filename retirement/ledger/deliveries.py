"""Receipts of delivered partner reports: which file is in which sink, with size and digest, until it is deleted.

Plain entries, which change no row. A receipt holds user ids and names of organisations, partners and files, and
nothing that names a learner.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import false, or_

from retirement.ledger import chain
from retirement.ledger.access import Access
from retirement.ledger.events import Event, event_of
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Piece, Transaction

DELIVERED_FILE, WARNED, EXPIRED = "report.delivered", "report.warned", "report.expired"
#: By the index of learners: an entry about none is one of few.
_OF_NO_LEARNER = Entry.user_id.is_(None)
_DELIVERED = (_OF_NO_LEARNER, Entry.kind == DELIVERED_FILE)
#: Entries that are read at once.
_AT_ONCE = 500
#: Claims that are looked for by number.
_FEW = 20


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """One file that was read back from a sink. `place` is its name there, `claim` is that of its rows."""

    claim: int
    sink: str
    partner: str
    orgs: tuple[str, ...]
    file: str
    place: str
    size: int
    digest: str
    user_ids: tuple[int, ...]
    at: str = ""  #: where the sink was; "" in entries of earlier releases


@dataclass(frozen=True, slots=True)
class FileReceipt:
    """A receipt, its number, and what became of the file since."""

    id: int
    at: datetime
    file: DeliveredFile
    warned_at: datetime | None = None
    expired_at: datetime | None = None


class Deliveries:
    """Enter and find receipts of files."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(self, file: DeliveredFile) -> FileReceipt:
        """Enters that a file was read back."""
        facts = {name: _plain(getattr(file, name)) for name in DeliveredFile.__slots__}
        return await self._access.write(lambda tx: FileReceipt(tx.enter(DELIVERED_FILE, facts=facts), tx.now, file))

    async def warned(self, receipt: int) -> None:
        """Enters that a partner was told that a file will be deleted."""
        await self._access.write(lambda tx: tx.enter(WARNED, facts={"receipt": receipt}))

    async def expired(self, receipt: int, *, found: bool) -> None:
        """Enters that a file is deleted; `found` False: it was gone already."""
        await self._access.write(lambda tx: tx.enter(EXPIRED, facts={"receipt": receipt, "found": found}))

    async def find(self, claims: Collection[int] | None = None) -> list[FileReceipt]:
        """The receipts of every claim or of these, oldest first."""
        if claims is None:
            return await self._access.read(lambda tx: _receipts(tx, tx.rows(Entry, *_DELIVERED)))
        # A file is delivered after its claim has begun, whose number is that of the entry which says so.
        wanted = [Entry.seq > min(claims, default=0)]
        if len(claims) <= _FEW:  # the database looks for them, and gives no others
            wanted.append(or_(false(), *(Entry.body.contains(f'"claim":{each},') for each in claims)))

        def find(tx: Transaction) -> list[FileReceipt]:
            found = tx.rows(Entry, *_DELIVERED, *wanted)
            return _receipts(tx, (each for each in found if _file(event_of(each)).claim in claims))

        return await self._access.read(find)

    async def newest(self, piece: Piece, *, org: str) -> list[FileReceipt]:
        """Some of the files that name an organisation's learners, the newest first."""

        def find(tx: Transaction) -> list[FileReceipt]:
            # As it stands in an entry. A partner may be called so as well, hence the second look.
            named = Entry.body.contains(chain.canonical(org), autoescape=True)
            order = (Entry.seq.desc(),)
            found: list[Entry] = []
            skipped, looked = piece.skipped, Piece(_AT_ONCE)
            while len(found) < piece.most and (some := tx.rows(Entry, *_DELIVERED, named, piece=looked, order=order)):
                theirs = [each for each in some if org in _file(event_of(each)).orgs]
                found += theirs[skipped:]
                skipped, looked = max(0, skipped - len(theirs)), Piece(_AT_ONCE, looked.skipped + _AT_ONCE)
            return _receipts(tx, found[: piece.most])

        return await self._access.read(find)


def _receipts(tx: Transaction, delivered: Iterable[Entry]) -> list[FileReceipt]:
    """With what became of each file since."""
    events = [event_of(entry) for entry in delivered]
    first = min((each.seq for each in events), default=None)
    changed = (
        [] if first is None else tx.rows(Entry, _OF_NO_LEARNER, Entry.kind.in_([WARNED, EXPIRED]), Entry.seq > first)
    )
    later = {(each.kind, each.facts["receipt"]): each.at for each in map(event_of, changed)}
    return [
        FileReceipt(each.seq, each.at, _file(each), later.get((WARNED, each.seq)), later.get((EXPIRED, each.seq)))
        for each in events
    ]


def _file(event: Event) -> DeliveredFile:
    return DeliveredFile(
        **{name: _shaped(event.facts[name]) for name in DeliveredFile.__slots__ if name in event.facts}
    )


def _shaped(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
