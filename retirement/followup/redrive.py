"""Brings ERRORED learners back on an operator's request, once the cause is gone."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from retirement.followup.move_back import Finding, Verdict, move_back
from retirement.learner import Learner
from retirement.ledger import Attempt, LearnerRecord
from retirement.pipeline import ERRORED
from retirement.site import Site


@dataclass(frozen=True, slots=True)
class Choice:
    """Which ERRORED learners to bring back; without anything all of them."""

    user_id: int | None = None
    step: str | None = None
    error: str | None = None
    since: datetime | None = None
    user_ids: frozenset[int] | None = None  #: these only

    def takes(self, learner: Learner, record: LearnerRecord | None) -> bool:
        """Whether this learner is meant. `step` and `error` ask the ledger, which has to know them."""
        is_chosen = self.user_ids is None or learner.user_id in self.user_ids
        is_recent = self.since is None or learner.changed_at >= self.since
        return self.user_id in (None, learner.user_id) and is_chosen and is_recent and self._takes_failure(record)

    def _takes_failure(self, record: LearnerRecord | None) -> bool:
        if self.step is None and self.error is None:
            return True
        last = _last_failure(record)
        return last is not None and self.step in (None, last.step) and self.error in (None, last.error)


def _last_failure(record: LearnerRecord | None) -> Attempt | None:
    """The last attempt that failed, None where the ledger knows of none."""
    attempts = record.attempts if record else ()
    return next((each for each in reversed(attempts) if each.error), None)


async def redrive(site: Site, choice: Choice, *, limit: int, dry_run: bool = False) -> AsyncGenerator[Finding, None]:
    """Brings ERRORED learners back to the last proved end state, at most `limit` of them, oldest request first.

    Learners who are left alone do not count; a move that failed does, for the LMS may have made it.
    """
    moved = 0
    for learner in (await site.lms.rows.queue([ERRORED], 0)).learners:
        record = await site.ledger.learners.newest(learner.user_id)
        if not choice.takes(learner, record):
            continue
        if moved >= limit:
            return
        finding = await move_back(site, learner, dry_run=dry_run)
        moved += finding.verdict in (Verdict.MOVED, Verdict.WOULD_MOVE, Verdict.FAILED)
        yield finding
