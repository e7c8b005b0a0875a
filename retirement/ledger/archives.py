"""The files of an archive that names learners: which row is in which file, and which file has to go.

A name of a file is in the ledger before the file is written, and each name is given once: whether it was written, and
what it holds, says the file itself. Nothing here names a learner but by user id.
"""

from collections.abc import Collection
from datetime import datetime

from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Transaction

#: Plain entries, which change no row. The first is entered with the intents of a cleanup.
ARCHIVE_NAMED, ARCHIVE_EXPIRED = "archive.named", "archive.expired"
#: The fact of these entries, and of an intent of the cleanup, in which the name stands.
FILE = "file"


class Archives:
    """Find files of archives, and enter that they are deleted."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def of(self, kind: str, rows: Collection[tuple[int, int]]) -> dict[int, str]:
        """The file that the newest intent named for each of these rows, by user id.

        `kind` is that of the intents; a row is user id and retirement id.
        """
        return await self._access.read(lambda tx: _of(tx, kind, rows))

    async def kept(self) -> dict[str, datetime]:
        """When each file was named that is not deleted, oldest first."""
        return await self._access.read(_kept)

    async def expired(self, name: str) -> None:
        """Enters that a file is deleted for good."""
        await self._access.write(lambda tx: tx.enter(ARCHIVE_EXPIRED, facts={FILE: name}))


def _of(tx: Transaction, kind: str, rows: Collection[tuple[int, int]]) -> dict[int, str]:
    user_ids = [user_id for user_id, _ in rows]
    found: dict[int, str] = {}
    for event in map(event_of, tx.rows(Entry, Entry.user_id.in_(user_ids), Entry.kind == kind)):
        row = (event.user_id or 0, event.facts["retirement"])
        if row in rows and (name := event.facts.get(FILE)):
            found[row[0]] = name
    return found


def _kept(tx: Transaction) -> dict[str, datetime]:
    kept: dict[str, datetime] = {}
    for event in map(event_of, tx.rows(Entry, Entry.kind.in_([ARCHIVE_NAMED, ARCHIVE_EXPIRED]))):
        if event.kind == ARCHIVE_NAMED:
            kept[event.facts[FILE]] = event.at
        else:
            kept.pop(event.facts[FILE], None)
    return kept
