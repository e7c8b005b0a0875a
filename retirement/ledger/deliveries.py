"""Receipts of delivered partner reports: which file is in which sink, with size and digest, until it is deleted.

Plain entries, which change no row. A receipt holds user ids and names of organisations, partners and files, and
nothing that names a learner.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retirement.ledger.access import Access
from retirement.ledger.events import Event, event_of
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Transaction

DELIVERED_FILE, WARNED, EXPIRED = "report.delivered", "report.warned", "report.expired"
_KINDS = (DELIVERED_FILE, WARNED, EXPIRED)


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

    async def find(self, claim: int | None = None) -> list[FileReceipt]:
        """The receipts of every claim or of one, oldest first."""
        return await self._access.read(lambda tx: _receipts(tx, claim))


def _receipts(tx: Transaction, claim: int | None) -> list[FileReceipt]:
    delivered: list[Event] = []
    later: dict[tuple[str, int], datetime] = {}
    for event in map(event_of, tx.rows(Entry, Entry.kind.in_(_KINDS))):
        if event.kind != DELIVERED_FILE:
            later[event.kind, event.facts["receipt"]] = event.at
        elif claim in (None, event.facts["claim"]):
            delivered.append(event)
    return [
        FileReceipt(each.seq, each.at, _file(each), later.get((WARNED, each.seq)), later.get((EXPIRED, each.seq)))
        for each in delivered
    ]


def _file(event: Event) -> DeliveredFile:
    return DeliveredFile(
        **{name: _shaped(event.facts[name]) for name in DeliveredFile.__slots__ if name in event.facts}
    )


def _shaped(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
