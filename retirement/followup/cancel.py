"""Takes back the request of a learner whose retirement has not begun."""

from retirement.errors import RetirementError, StateConflict, names_where
from retirement.learner import Learner
from retirement.ledger import LearnerRecord
from retirement.pipeline import PENDING
from retirement.site import Site
from retirement.site.watch import locate


async def cancel(site: Site, user_id: int, by: str = "an operator") -> None:
    """Takes back the request of a PENDING learner. Raises `StateConflict` where there is none any more.

    And where something of the learner may be erased already, which no cancellation brings back. The learner's
    lease is held meanwhile, so no run can begin with them. `by` says who takes it back.
    """
    learner = await _pending(site, user_id)
    lease = await site.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=None)
    if done := _begun_steps(await site.ledger.learners.newest(user_id)):
        text = f"learner {user_id} cannot keep the account: {', '.join(done)} was done or begun already"
        await lease.end("not-cancelled", text, learner.state)
        raise StateConflict(text)
    try:
        await site.lms.rows.cancel(learner)
    except RetirementError as error:
        await lease.end("not-cancelled", str(error), learner.state)
        raise
    await lease.end("cancelled", f"taken back by {by}", "gone")


async def can_be_cancelled(site: Site, learner: Learner) -> bool:
    """Whether `cancel` would take the request of a learner back, as things are now; asks no service."""
    return learner.state == PENDING and not _begun_steps(await site.ledger.learners.newest(learner.user_id))


async def _pending(site: Site, user_id: int) -> Learner:
    """The learner whose request waits; raises `StateConflict` where there is none."""
    learner = await locate(site, user_id)
    if learner is None or learner.state != PENDING:
        where = "has no retirement request" if learner is None else f"is in {learner.state}, not in {PENDING}"
        raise StateConflict(f"learner {user_id} {where}: only a request that waits can be taken back")
    return learner


def _begun_steps(record: LearnerRecord | None) -> list[str]:
    """The steps whose service may have erased something: they were done, or begun, or failed in doubt."""
    in_doubt = {None, *names_where(lambda kind: kind.consequence.leaves_doubt)}
    return sorted({each.step for each in (record.attempts if record else ()) if each.error in in_doubt})
