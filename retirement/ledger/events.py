"""The entries of the chain, as they are read back, and plain entries that change no row."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retirement.ledger.access import Access
from retirement.ledger.chain import Head, read_body
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Piece, head_of


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the chain, read."""

    seq: int
    at: datetime
    kind: str
    user_id: int | None
    facts: Mapping[str, Any]
    rows: Sequence[Any]  #: as in `chain`
    hash: str


class Events:
    """Read the chain, and add plain entries."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def head(self) -> Head:
        """The last entry of the chain."""
        return await self._access.read(lambda tx: head_of(tx.connection))

    async def find(
        self, *, user_id: int | None = None, kind: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Event]:
        """Entries of the chain in their order, from the one after `after`."""
        conditions = [Entry.seq > after]
        if user_id is not None:
            conditions.append(Entry.user_id == user_id)
        if kind is not None:
            conditions.append(Entry.kind == kind)
        found = await self._access.read(
            lambda tx: tx.rows(Entry, *conditions, piece=None if limit is None else Piece(limit))
        )
        return [event_of(entry) for entry in found]

    async def trail(self, user_id: int, retirement_id: int, kinds: Collection[str]) -> list[Event]:
        """Entries of these kinds about one retirement, newest first."""
        mine = (Entry.user_id == user_id, Entry.kind.in_(list(kinds)))
        found = await self._access.read(lambda tx: tx.rows(Entry, *mine))
        events = [event_of(entry) for entry in reversed(found)]
        return [each for each in events if each.facts.get("retirement") == retirement_id]

    async def note(self, kind: str, body: Mapping[str, Any], user_id: int | None = None) -> int:
        """Enters a plain event, which changes no row; returns its number. Nothing personal belongs into it."""
        return await self._access.write(lambda tx: tx.enter(kind, user_id=user_id, facts=dict(body)))


def event_of(entry: Entry) -> Event:
    """A stored entry, read."""
    body = read_body(entry.body)
    at = datetime.fromisoformat(entry.at)
    return Event(entry.seq, at, entry.kind, entry.user_id, body["facts"], body["rows"], entry.hash)
