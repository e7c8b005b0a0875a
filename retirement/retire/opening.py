"""Opens the run of one learner: lease, fresh row and proved steps are there, or there is no run."""

from collections.abc import Sequence

from retirement.errors import Ending, RetirementError, RowAfter, ServiceError, Unproved, as_ours
from retirement.learner import Learner
from retirement.ledger import Hold, LearnerLease
from retirement.pipeline import ABORTED, COMPLETE, DEAD_ENDS, PENDING, Pipeline
from retirement.pipeline.endings import Report
from retirement.pipeline.proof import (
    RESTORED,
    behind,
    called_otherwise,
    doubt,
    out_of_order,
    proved_steps,
    restored,
)
from retirement.pipeline.strays import stray_text
from retirement.retire.learner_run import LearnerRun, Start
from retirement.retire.lms_row import Row
from retirement.site import Batch, Site
from retirement.wire.patience import permitted


async def open_run(site: Site, batch: Batch, learner: Learner) -> Report | LearnerRun:
    """Takes the lease, reads the row and finds the place to go on from; a report where there is nothing to do.

    A run that is returned has the lease, the row as it is now and the steps that are proved. Raises nothing that
    concerns only this learner.
    """
    began, pipeline = site.clock(), site.pipeline
    try:
        lease = await site.ledger.learners.lease(
            learner,
            due_at=batch.due_at(learner),
            pipeline=pipeline.digest,
            steps=pipeline.working_states,
            ends=[step.end for step in pipeline],
        )
    except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
        failure = as_ours(error)
        return Report(learner.user_id, _unopened(batch, learner, failure), str(failure), (), site.clock() - began)
    start = Start(site, batch, lease, began)
    try:
        with permitted(lease.check):
            found = await _opened(start, learner)
    except Exception as error:  # noqa: BLE001 - as above
        failure = as_ours(error)
        found = _unopened(batch, learner, failure), str(failure)
    return found if isinstance(found, LearnerRun) else await start.end(*found, learner.state)


def _unopened(batch: Batch, learner: Learner, error: RetirementError) -> Ending:
    """Where an error leaves a learner whose row this run has not moved."""
    batch.note_failure(error, learner.user_id)
    if error.consequence.row is RowAfter.NOT_OURS:
        return error.consequence.ending
    return Ending.STOPPED if batch.stop else Ending.PARKED


async def _opened(start: Start, learner: Learner) -> LearnerRun | tuple[Ending, str]:
    if whole := _whole(start.lease.holds):
        return Ending.HELD, whole.sentence
    row = await _read(start, learner)
    if row is None:
        return _gone(learner)
    holds = [*start.lease.holds, *await start.batch.with_orgs(row, start.lease.org_holds)]
    if whole := _whole(holds):
        return Ending.HELD, whole.sentence
    return _nothing_to_do(row, start.site.pipeline, start.lease) or await _placed(start, row, holds)


def _whole(holds: Sequence[Hold]) -> Hold | None:
    """A hold that keeps the learner wholly."""
    return next((hold for hold in holds if hold.service is None), None)


def _gone(learner: Learner) -> tuple[Ending, str]:
    """How a run ends on a learner whose request is gone: cancelled while it waited, or removed by others."""
    if learner.state != PENDING:
        return Ending.BUSY_ELSEWHERE, f"the request that was in {learner.state} is gone from the LMS"
    return Ending.RESCINDED, "the LMS has no retirement request of this learner any more"


async def _read(start: Start, learner: Learner) -> Learner | None:
    """Reads the row, which is also how an LMS that was down is asked whether it is back."""
    lease = start.lease
    asking = await lease.admit("LMS", "GET retirement_status")
    try:
        row = await start.site.lms.rows.refresh(learner)
    except ServiceError as error:
        if asking:
            await lease.probed("LMS", answered=False, reason=str(error))
        else:
            await lease.fail(None, "LMS", error)
        raise
    if asking:
        await lease.probed("LMS", answered=True, reason="it answered")
    return row


def _nothing_to_do(row: Learner, pipeline: Pipeline, lease: LearnerLease) -> tuple[Ending, str] | None:
    state = row.state
    if state == COMPLETE:
        if why := doubt(pipeline, row, lease):
            raise Unproved(why)
        return Ending.RETIRED, "was COMPLETE already"
    if state == ABORTED:
        return Ending.RESCINDED, "the retirement was aborted in the LMS"
    if pipeline.finished_at(state) is None:
        return Ending.BUSY_ELSEWHERE, _why_not(row, pipeline)
    return None


async def _placed(start: Start, row: Learner, holds: Sequence[Hold]) -> LearnerRun:
    """The run at the place where the earlier ones have left the learner."""
    pipeline, lease = start.site.pipeline, start.lease
    # A restored backup or an operator has taken a row back that was COMPLETE.
    await lease.reopen(row.state)
    if lease.of_another_pipeline and (other := called_otherwise(pipeline, lease.calls)):
        await lease.void(other, "the step calls another service or operation by now")
    if lost := restored(pipeline, row, lease.row_before):
        await lease.void(lost, RESTORED)
    again = behind(pipeline, row.state, lease.finished)
    if lease.of_another_pipeline:
        again = again or out_of_order(pipeline, row.state, lease.finished)
    if again:
        await lease.void(again, f"the LMS has the learner back in {row.state}")
    before = proved_steps(pipeline, row.state, lease.finished)
    # A step that was written into the pipeline since then is behind the row, and no run has done it.
    new = before - lease.finished.keys() if lease.of_another_pipeline else frozenset()
    lms_row = Row(start.site.lms, row, pipeline, before - new, start.site.moves)
    if new:
        await lms_row.give_back(lease, "Taken back: the pipeline has steps that this learner has not seen.")
    return LearnerRun(start, row, lms_row, before - new, _held_steps(pipeline, holds) - (before - new))


def _held_steps(pipeline: Pipeline, holds: Sequence[Hold]) -> frozenset[str]:
    """The steps whose service a hold keeps."""
    kept = {hold.service for hold in holds}
    return frozenset(step.name for step in pipeline if step.service in kept)


def _why_not(row: Learner, pipeline: Pipeline) -> str:
    state = row.state
    if state in DEAD_ENDS:
        return f"the learner is {state}: `retirement redrive` brings them back"
    if any(step.start == state for step in pipeline):
        return f"the learner is in the working state {state}: `retirement reconcile` finds out whether a run has them"
    return stray_text(row.user_id, state)
