"""Whether a row stands in a working state only to enter the partner queue again, and where it belongs.

The partner report takes rows there for a moment (contract, section 2.11); the reconciler brings a row back whose
run died in between.
"""

from retirement.learner import Learner
from retirement.pipeline import COMPLETE
from retirement.site import Site

#: The operation whose steps put learners into the queue.
PARTNER_QUEUE = "retirement_partner_queue"

#: What the LMS stores with the forced move to the working state.
QUEUED = "For a moment, to enter the partner queue again: the answer of a claim was lost."

#: Entries that tell how a row came to where it is: our forced moves, and the steps that move it forward.
_MOVES = ("learner.moved", "step.intended", "steps.voided")


async def home_of(site: Site, row: Learner) -> str | None:
    """Where a row belongs that stands in a working state only to enter the queue again; None for every other row.

    The last of our moves that was made took it there, no step has begun since, and the LMS says that it came
    from where that move began. A restored backup fails the last: its row came there on the way forward.
    """
    if row.last_state not in (COMPLETE, *site.pipeline.queue_states):
        return None
    if await _was_taken_here(site, row) or await _came_from_complete(site, row):
        return row.last_state
    return None


async def _was_taken_here(site: Site, row: Learner) -> bool:
    """Whether our last move that was made took the row here, and nothing has begun since."""
    visit = {"before": row.last_state, "after": row.state, "reason": QUEUED}
    for event in await site.ledger.events.trail(row.user_id, row.retirement_id, _MOVES):
        if event.kind != "learner.moved":
            return False
        if event.facts["before"] != row.state:  # a move from where the row still is was never made
            return visit.items() <= event.facts.items()
    return False


async def _came_from_complete(site: Site, row: Learner) -> bool:
    """Whether the row of a retired learner stands where partners are told, and came there from COMPLETE."""
    queueing = {step.start for step in site.pipeline if step.operation == PARTNER_QUEUE}
    return row.last_state == COMPLETE and row.state in queueing and await _is_retired(site, row)


async def _is_retired(site: Site, row: Learner) -> bool:
    """Whether the ledger has every step of this retirement as ended, and the retirement too."""
    record = await site.ledger.learners.newest(row.user_id)
    if record is None or record.retirement_id != row.retirement_id or record.retired_at is None:
        return False
    return all(step.name in record.finished for step in site.pipeline)
