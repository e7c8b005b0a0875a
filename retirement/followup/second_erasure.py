"""Repeats an erasure whose service says that the learner's data is there, as evidence of its own."""

from retirement.connectors import Erasure
from retirement.errors import Ending, Kept, StateConflict, as_ours
from retirement.followup.questions import Question
from retirement.learner import Learner
from retirement.ledger import Given, LearnerLease
from retirement.pipeline import ABORTED, COMPLETE, PENDING, Pipeline
from retirement.pipeline.proof import doubt
from retirement.site import Batch, Site
from retirement.wire.patience import permitted


async def erase_again(site: Site, batch: Batch, question: Question, learner: Learner) -> bool:
    """Journal, call, journal; whether the service gave a receipt that it can be asked about.

    Raises what keeps it from being done, a hold included.
    """
    receipt = question.receipt
    lease = await site.ledger.learners.lease(learner, due_at=batch.due_at(learner), pipeline=None)
    reason = f"a second erasure in {receipt.service} was tried"
    try:
        with permitted(lease.check):
            learner = await _refreshed(site, learner)
            await _require_no_hold(batch, lease, learner, receipt.service)
            erasure = await _journalled(lease, question, learner)
        given = Given(erasure.receipt, question.follow_up.first) if erasure.receipt is not None else None
        await lease.prove(receipt.step, erasure.outcome.value, given)
        reason = f"erased once more in {receipt.service}"
        return given is not None and given.ask_after is not None
    finally:
        await _give_back(lease, site.pipeline, learner, reason)


async def _refreshed(site: Site, learner: Learner) -> Learner:
    """The learner's row as it is now; raises `StateConflict` unless their retirement is under way or done."""
    row = await site.lms.rows.refresh(learner)
    if row is None or row.state in (PENDING, ABORTED):
        raise StateConflict(f"learner {learner.user_id} has no retirement under way any more")
    return row


async def _require_no_hold(batch: Batch, lease: LearnerLease, learner: Learner, service: str) -> None:
    """Raises `Kept` where a hold keeps the learner in this service."""
    holds = [*lease.holds, *await batch.with_orgs(learner, lease.org_holds)]
    if kept := next((hold for hold in holds if hold.service in (None, service)), None):
        raise Kept(kept.sentence, kept.service)


async def _journalled(lease: LearnerLease, question: Question, learner: Learner) -> Erasure:
    """The call, with its intention and its failure in the ledger."""
    receipt = question.receipt
    if await lease.intend(receipt.step, receipt.service, question.operation):
        # It has just answered our question, which is what a probe wants to know.
        await lease.probed(receipt.service, answered=True, reason="it answered")
    try:
        return await question.connector.repeat(question.operation, receipt.reference, learner)
    except Exception as error:  # noqa: BLE001 - whatever a connector does, the others go on
        failure = as_ours(error)
        await lease.fail(receipt.step, receipt.service, failure)
        raise failure from None


async def _give_back(lease: LearnerLease, pipeline: Pipeline, learner: Learner, reason: str) -> None:
    """Gives the learner back as they were: a retirement that had ended has still ended so."""
    if learner.state == COMPLETE and not doubt(pipeline, learner, lease):
        await lease.end(Ending.RETIRED.value, reason, learner.state)
    else:
        ending, why = lease.ended_before or (Ending.PARKED.value, reason)
        await lease.end(ending, why, learner.state)
