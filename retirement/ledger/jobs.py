"""Acts of jobs on many learners: who has asked for which job, and why. What it did to each learner follows."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.tables import Entry
from retirement.ledger.transaction import Transaction

#: The kinds of these entries, by the name of the job.
JOBS = {
    "bulk-update": "bulk.asked",
    "request": "request.asked",
    "replace-usernames": "rename.asked",
    "replay": "replay.asked",
    "backfill": "backfill.asked",
}

JobName = Literal["bulk-update", "request", "replace-usernames", "replay", "backfill"]


class Jobs:
    """Enter who has asked for a job."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def asked(self, job: JobName, *, by: str, reason: str, **about: Any) -> int:
        """Enters that a job begins, with facts about its choice; returns the number of the entry.

        `by` and `reason` are what a person typed; nothing of it or of `about` names a learner.
        """
        facts = {**about, "by": by, "reason": reason}
        return await self._access.write(lambda tx: tx.enter(JOBS[job], facts=facts))

    async def concern(self, kind: str, number: int, user_ids: Collection[int]) -> None:
        """Enters of each of these learners that the job of that number is about them."""

        def concern(tx: Transaction) -> None:
            for user_id in user_ids:
                tx.enter(kind, user_id=user_id, facts={"job": number})

        await self._access.write(concern)

    async def asked_before(self, job: JobName) -> list[Mapping[str, Any]]:
        """The facts of each time that the job was asked for, oldest first."""
        found = await self._access.read(lambda tx: tx.rows(Entry, Entry.kind == JOBS[job]))
        return [event_of(each).facts for each in found]
