"""Does a step once more for a learner whose run is over, as evidence of its own: their data is back, or it was missed.

The LMS erases nothing of a learner in COMPLETE (contract, section 2.7), so for a step of its own the row goes to the
step's working state and back; where a run dies between, the reconciler gives it to the queue.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from retirement.connectors import Erasure
from retirement.errors import Ending, Kept, StateConflict, as_ours
from retirement.followup.questions import Question
from retirement.learner import Learner
from retirement.ledger import Given, LearnerLease
from retirement.pipeline import ABORTED, COMPLETE, PENDING, Pipeline
from retirement.pipeline.proof import doubt
from retirement.site import Batch, Site
from retirement.wire.patience import permitted

#: What the LMS stores with the moves around a step of its own.
_BEFORE, _AFTER = "One step is done once more.", "The step was tried once more; the row goes back."


@dataclass(frozen=True, slots=True)
class Again:
    """A step that is done once more: what it calls, and when the service is asked about it, None: never.

    `working`: the state in which the LMS does it; None where it looks at no state.
    """

    step: str
    service: str
    operation: str
    call: Callable[[Learner], Awaitable[Erasure]]
    ask_after: timedelta | None
    working: str | None = None
    answered: bool = False  #: whether the service has just answered a question


def again_of(question: Question) -> Again:
    """The erasure that a receipt is about, once more, on what the receipt names and on nothing else."""
    receipt, connector, operation = question.receipt, question.connector, question.operation
    follow_up = question.follow_up.first
    return Again(
        receipt.step,
        receipt.service,
        operation,
        lambda learner: connector.repeat(operation, receipt.reference, learner),
        follow_up,
        answered=True,
    )


async def erase_again(site: Site, batch: Batch, again: Again, learner: Learner) -> Erasure:
    """Journal, call, journal; what the service said.

    Of a learner without a username nothing but the user id is known, since the LMS has no row any more.
    Raises what keeps it from being done, a hold included.
    """
    lease = await site.ledger.learners.lease(learner, due_at=batch.due_at(learner), pipeline=None)
    reason = f"a second erasure in {again.service} was tried"
    try:
        with permitted(lease.check):
            if learner.username:
                learner = await _refreshed(site, learner)
            await _require_no_hold(batch, lease, learner, again.service)
            async with _in_working_state(site, lease, learner, again.working):
                erasure = await _journalled(site, lease, again, learner)
                given = Given(erasure.receipt, again.ask_after) if erasure.receipt is not None else None
                await lease.prove(again.step, erasure.outcome.value, given)
        reason = f"erased once more in {again.service}"
        return erasure
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
    # Without a row the organisations are not known, so a hold on any of them counts.
    orgs = await batch.with_orgs(learner, lease.org_holds) if learner.username else lease.org_holds
    holds = [*lease.holds, *orgs]
    if kept := next((hold for hold in holds if hold.service in (None, service)), None):
        raise Kept(kept.sentence, kept.service)


@asynccontextmanager
async def _in_working_state(
    site: Site, lease: LearnerLease, learner: Learner, working: str | None
) -> AsyncIterator[None]:
    """Has the row of a learner in COMPLETE in a working state meanwhile."""
    if working is None or learner.state != COMPLETE:
        yield
        return
    await _move(site, lease, learner, working, _BEFORE)
    try:
        yield
    finally:
        await _move(site, lease, replace(learner, state=working), learner.state, _AFTER)


async def _move(site: Site, lease: LearnerLease, learner: Learner, state: str, text: str) -> None:
    await lease.moved(learner.state, state, text)
    lease.check()
    await site.lms.rows.move(learner, state, text, since=learner.state, force=True)


async def _journalled(site: Site, lease: LearnerLease, again: Again, learner: Learner) -> Erasure:
    """The call, with its intention and its failure in the ledger."""
    if await lease.intend(again.step, again.service, again.operation):
        if not again.answered:
            await site.connectors[again.service].probe(again.operation)
        # It has answered a question, which is what a probe wants to know.
        await lease.probed(again.service, answered=True, reason="it answered")
    try:
        return await again.call(learner)
    except Exception as error:  # noqa: BLE001 - whatever a connector does, the others go on
        failure = as_ours(error)
        await lease.fail(again.step, again.service, failure)
        raise failure from None


async def _give_back(lease: LearnerLease, pipeline: Pipeline, learner: Learner, reason: str) -> None:
    """Gives the learner back as they were: a retirement that had ended has still ended so."""
    if learner.state == COMPLETE and (not learner.username or not doubt(pipeline, learner, lease)):
        await lease.end(Ending.RETIRED.value, reason, learner.state)
    else:
        ending, why = lease.ended_before or (Ending.PARKED.value, reason)
        await lease.end(ending, why, learner.state)
