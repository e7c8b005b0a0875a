"""Learners whose steps had ended while their row said otherwise: it is read again until it says that they are retired.

The row is left as it is: what answered in the place of the LMS is for an operator to find.
"""

from collections.abc import AsyncGenerator
from datetime import UTC

from retirement.errors import Ending
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.selection import Selection
from retirement.learner import Learner
from retirement.ledger import LearnerRecord
from retirement.pipeline import COMPLETE, ERRORED
from retirement.pipeline.proof import doubt
from retirement.site import Site
from retirement.site.watch import ENDED, Watched, locate


async def asked_again(site: Site, chosen: Selection, *, watched: Watched) -> AsyncGenerator[Finding, None]:
    """A finding for each learner who is `unproved` in the ledger and has no finding yet.

    Raises `ServiceError` and `LedgerError` where nothing can be read.
    """
    async for record in site.ledger.learners.each(endings=[Ending.UNPROVED]):
        if chosen.is_left(record.user_id):
            yield await _asked_again(site, record, await _row(site, record, watched), dry_run=chosen.dry_run)


async def _asked_again(site: Site, record: LearnerRecord, row: Learner | None, *, dry_run: bool) -> Finding:
    if why := doubt(site.pipeline, row, record):
        return Finding(record.user_id, Verdict.UNPROVED, row.state if row else "gone", None, f"{why}: {_fix(row)}")
    text = "the row says by now that the learner is retired"
    if row and not dry_run:
        lease = await site.ledger.learners.lease(row, due_at=record.due_at, pipeline=None)
        await lease.end(Ending.RETIRED.value, text, row.state)
    return Finding(record.user_id, Verdict.CLOSED, COMPLETE, None, text)


async def _row(site: Site, record: LearnerRecord, watched: Watched) -> Learner | None:
    """The row of that very retirement, in whatever state; None where there is none, as far as it can be told."""
    row = watched.row_of(record.user_id) or await _ended(site, record) or await locate(site, record.user_id)
    return row if row and row.retirement_id == record.retirement_id else None


async def _ended(site: Site, record: LearnerRecord) -> Learner | None:
    """The row where it has ended. Such states hold every learner who ever asked, so they are listed by day."""
    day = record.requested_at.astimezone(UTC).date()
    listings = [await site.lms.rows.by_date(state, day, day) for state in ENDED]
    return next((row for each in listings for row in each.learners if row.user_id == record.user_id), None)


def _fix(row: Learner | None) -> str:
    if row is None:
        return "look in the LMS whether the account still has its own name"
    if row.state == COMPLETE:
        return "find out what answered in the LMS' place, then set the row to PENDING in its Django admin"
    if row.state == ERRORED:
        return "find out what answered in the LMS' place, then `retirement redrive`"
    return "find out what answered in the LMS' place; the next queue run goes on from there"
