"""Letters for the record: which page was sent to which channel, so that each is sent once, and none is forgotten.

Plain entries, which change no row. That a letter is about to be sent is entered before, and what came of it after: a
letter of which only the first is there may have come.
"""

from dataclasses import dataclass
from datetime import datetime

from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Transaction

LETTER_BEGAN, LETTER_TAKEN, LETTER_REFUSED = "letter.began", "letter.taken", "letter.refused"
_KINDS = (LETTER_BEGAN, LETTER_TAKEN, LETTER_REFUSED)


@dataclass(frozen=True, slots=True)
class Posted:
    """How far a page has come in a channel: when it was taken, or that a run ended before it could say so."""

    taken_at: datetime | None = None
    is_in_doubt: bool = False


class Letters:
    """Enter letters and what came of them, and look it up."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def address(self, url: str | None) -> str:
        """What the ledger has of an address, which may hold a password; "" for a channel without one."""
        return self._access.digests.form(url) if url else ""

    async def began(self, page: str, channel: str, address: str) -> int:
        """Enters that a page is about to be sent to a channel; returns the number of the letter."""
        facts = {"page": page, "channel": channel, "address": address}
        return await self._access.write(lambda tx: tx.enter(LETTER_BEGAN, facts=facts))

    async def ended(self, letter: int, *, taken: bool) -> None:
        """Enters whether the channel has taken a letter."""
        kind = LETTER_TAKEN if taken else LETTER_REFUSED
        await self._access.write(lambda tx: tx.enter(kind, facts={"letter": letter}))

    async def posted(self, page: str, channel: str, address: str) -> Posted:
        """How far a page has come in a channel with this address."""
        return await self._access.read(lambda tx: _posted(tx, (page, channel, address)))


def _posted(tx: Transaction, wanted: tuple[str, str, str]) -> Posted:
    taken: datetime | None = None
    open_ones: set[int] = set()
    ours: set[int] = set()
    for event in map(event_of, tx.rows(Entry, Entry.kind.in_(_KINDS))):
        facts = event.facts
        if event.kind == LETTER_BEGAN:
            if (facts["page"], facts["channel"], facts["address"]) == wanted:
                ours.add(event.seq)
                open_ones.add(event.seq)
        elif facts["letter"] in ours:
            open_ones.discard(facts["letter"])
            taken = event.at if event.kind == LETTER_TAKEN else taken
    return Posted(taken, bool(open_ones) and taken is None)
