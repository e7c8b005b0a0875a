"""Whether a learner without a visible run may be with another one: a run of ours that lives, or another driver."""

from datetime import timedelta

from retirement.followup.move_back import Finding, Verdict
from retirement.followup.selection import Selection
from retirement.learner import Learner
from retirement.ledger import LearnerRecord
from retirement.site import Site

#: A row that no run of ours left where it is counts as another driver's until it has not changed for so long.
FOREIGN = timedelta(hours=1)

#: By so much the clocks of the LMS and of the ledger may differ.
_SKEW = timedelta(minutes=1)


async def elsewhere(site: Site, chosen: Selection, learner: Learner) -> Finding | None:
    """The finding about a learner who is with another run, or may be; None where no run has them."""
    if chosen.is_live(learner.user_id):
        return Finding(learner.user_id, Verdict.BUSY, learner.state, None, "a live run has them")
    record = await site.ledger.learners.newest(learner.user_id)
    if not _is_ours(record, learner) and site.ledger.now() - learner.changed_at < FOREIGN:
        text = "no run of ours left them here, and it changed within the hour: another driver may have them"
        return Finding(learner.user_id, Verdict.LEFT, learner.state, None, text)
    return None


def _is_ours(record: LearnerRecord | None, learner: Learner) -> bool:
    """Whether a run of ours took the row to where it is: the last one died, or the row has not changed since."""
    if record is None or record.retirement_id != learner.retirement_id:
        return False
    return record.ended_at is None or learner.changed_at <= record.ended_at + _SKEW
