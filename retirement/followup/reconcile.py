"""Brings learners back who are in a working state without a live run, and closes what dead runs left open.

Plain Python: the flow of that name runs it on a schedule, `retirement reconcile` by hand.
"""

from collections.abc import AsyncGenerator
from functools import partial

from retirement.errors import StateConflict
from retirement.followup.adopt import name_strays
from retirement.followup.elsewhere import elsewhere
from retirement.followup.move_back import Finding, Verdict, move_back, retired_or_not
from retirement.followup.selection import Selection
from retirement.followup.unproved import asked_again
from retirement.learner import Learner
from retirement.ledger import LearnerRecord, Said
from retirement.pipeline import COMPLETE
from retirement.site import Site
from retirement.site.watch import Watched, by_account, locate_all, watch


async def reconcile(
    site: Site, *, user_id: int | None = None, dry_run: bool = False, watched: Watched | None = None
) -> AsyncGenerator[Finding, None]:
    """Every learner in a working state without a live run goes back; then the ledger's open ends are closed.

    Named besides are learners that no run takes, since no step has their state; `watched` are those who are
    watched, where they were listed already. What the ledger has open of them stays so: it is the last trace.
    With `user_id` only that learner; rows that cannot be read are named then if the learner is not among the others.
    Raises `ServiceError` and `LedgerError` where nothing can be read; what concerns one learner is a finding.
    """
    chosen = Selection(user_id, await site.ledger.leases.live(), dry_run)
    seen = watched or await watch(site)
    strays, doubtful = partial(name_strays, watched=seen), partial(asked_again, watched=seen)
    for part in (_working, strays, _open_runs, doubtful, _expired):
        async for finding in part(site, chosen):
            if finding.user_id:
                chosen.seen.add(finding.user_id)
            yield finding


async def _working(site: Site, chosen: Selection) -> AsyncGenerator[Finding, None]:
    """Learners in a working state, and rows there that cannot be read."""
    listing = await site.lms.rows.queue(site.pipeline.working_states, 0)
    for learner in listing.learners:
        if chosen.means(learner.user_id):
            yield await elsewhere(site, chosen, learner) or await move_back(site, learner, dry_run=chosen.dry_run)
    for text in listing.unreadable if chosen.user_id not in chosen.seen else ():
        yield Finding(None, Verdict.FAILED, "", None, f"{text}, so a learner in a working state there stays in it")


async def _open_runs(site: Site, chosen: Selection) -> AsyncGenerator[Finding, None]:
    """Closes what the ledger has open of runs that died."""
    open_ones = [each for each in await site.ledger.learners.open_runs() if chosen.is_left(each.user_id)]
    # Listed once: each list of the LMS has every learner.
    rows = await locate_all(site, {each.user_id for each in open_ones}) if open_ones else {}
    for record in open_ones:
        row = rows.get(record.user_id) or await by_account(site, record.user_id)
        if chosen.is_left(record.user_id) and (finding := await _close(site, record, row, dry_run=chosen.dry_run)):
            yield finding


async def _expired(site: Site, chosen: Selection) -> AsyncGenerator[Finding, None]:
    """Closes the questions of dead queue runs whose time is over; a queue run that lives closes its own."""
    if chosen.user_id is not None or "queue" in chosen.live:
        return
    for decision in await site.ledger.decisions.find(open_only=True):
        if decision.expires_at <= site.ledger.now() and await _expire(site, decision.id, dry_run=chosen.dry_run):
            text = f"decision {decision.id} was never answered: it has expired"
            yield Finding(None, Verdict.CLOSED, "", None, text)


async def _expire(site: Site, decision: int, *, dry_run: bool) -> bool:
    """Whether a question is closed now, or would be; False where it was closed meanwhile."""
    if dry_run:
        return True
    try:
        await site.ledger.decisions.answer(decision, Said("expired", None, "the run that asked is gone"))
    except StateConflict:
        return False
    return True


async def _close(site: Site, record: LearnerRecord, row: Learner | None, *, dry_run: bool) -> Finding | None:
    """A run that the ledger never saw end, of a learner who stands in no working state: it died at the very end."""
    if row and row.retirement_id != record.retirement_id:
        row = None  # a later request, which says nothing of how this one ended
    state = row.state if row else "gone"
    text = "the run had ended without a word"
    ending = retired_or_not(site, row, record).value if row and state == COMPLETE else Verdict.CLOSED.value
    if not dry_run and not await site.ledger.learners.close_run(
        record.user_id, record.retirement_id, ending=ending, reason=text, state=state
    ):
        return None  # another run has begun meanwhile
    return Finding(record.user_id, Verdict.CLOSED, state, None, text)
