"""Acts of jobs on many learners: who has asked for which job, and why. What it did to each learner follows."""

from typing import Any, Literal

from retirement.ledger.access import Access

#: The kinds of these entries, by the name of the job.
JOBS = {"bulk-update": "bulk.asked"}

Job = Literal["bulk-update"]


class Jobs:
    """Enter who has asked for a job."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def asked(self, job: Job, *, by: str, reason: str, **about: Any) -> int:
        """Enters that a job begins, with facts about its choice; returns the number of the entry.

        `by` and `reason` are what a person typed; nothing of it or of `about` names a learner.
        """
        facts = {**about, "by": by, "reason": reason}
        return await self._access.write(lambda tx: tx.enter(JOBS[job], facts=facts))
