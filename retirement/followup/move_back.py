"""Moves one learner's row back to the last end state that the LMS and the ledger prove; nothing is guessed.

The forced move is in the ledger before it is sent; the next queue run goes on from there.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from retirement.errors import Ending, RunAfter, StateConflict, as_ours
from retirement.learner import Learner
from retirement.ledger import LearnerLease, LearnerRecord
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, Pipeline
from retirement.pipeline.proof import RESTORED, doubt, proved_state, restored, without_new_steps
from retirement.pipeline.strays import adopt_command
from retirement.site import Site
from retirement.site.partner_visit import home_of

#: What the LMS stores with a forced move.
RECONCILED = "Given back by the reconciler: no live run has the learner."
REDRIVEN = "Brought back by an operator."


class Verdict(StrEnum):
    """What was found about one learner, or done for them."""

    BUSY = "busy"  #: a live run has them
    HELD = "held"  #: a hold keeps them, so their rows stay where they are
    MOVED = "moved"  #: taken back to the last proved end state
    CLOSED = "closed"  #: nothing to move; the ledger was told how the run had ended
    LEFT = "left"  #: left alone; the text says why
    STRAY = "stray"  #: in a state that no step has, so no run takes them
    UNSEEN = "unseen"  #: open in the ledger, and the LMS shows no row
    UNPROVED = "unproved"  #: every step ended, and the row does not say that the learner is retired
    FAILED = "failed"  #: could not be done now; the next run tries again
    WOULD_MOVE = "would-move"  #: a dry run
    KNOWN = "known"  #: what is asked for has been done before
    REQUESTED = "requested"  #: the LMS has made a request to retire
    WOULD_REQUEST = "would-request"  #: a dry run
    RENAMED = "renamed"  #: every service has the new username
    PARTLY_RENAMED = "partly-renamed"  #: the LMS has it, and a service has not
    WOULD_RENAME = "would-rename"  #: a dry run
    ERASED = "erased"  #: what was lacking has been done
    PARTLY_ERASED = "partly-erased"  #: some of what was lacking has been done
    WOULD_ERASE = "would-erase"  #: a dry run
    WAITING = "waiting"  #: the next queue run does it
    UNREACHED = "unreached"  #: what is needed to erase them is gone


@dataclass(frozen=True, slots=True)
class Finding:
    """One learner that was looked at: nothing personal.

    Without a user id it is about a row that cannot be read, or about an open end that is no learner's.
    """

    user_id: int | None
    verdict: Verdict
    state: str
    target: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a row belongs, and what to say of it; no target: nothing proves one. `note` goes to the LMS.

    `again` are steps that have ended and are to be done again.
    """

    target: str | None
    text: str
    note: str
    again: tuple[str, ...] = ()


#: Finds the aim of a row, from itself, the steps that the ledger has as ended, and what it knows of the last run.
Aiming = Callable[[Site, Learner, Collection[str], LearnerRecord | None], Awaitable[Aim]]


async def proved(site: Site, row: Learner, ended: Collection[str], record: LearnerRecord | None) -> Aim:
    """The aim of a row in a working state, ERRORED or ABORTED: the last end state that LMS and ledger prove."""
    target = await _target(site, row, ended, record)
    return Aim(target, _why(row, target), REDRIVEN if row.state in (ERRORED, ABORTED) else RECONCILED)


async def move_back(site: Site, learner: Learner, *, dry_run: bool, aiming: Aiming = proved) -> Finding:
    """Takes the lease and moves one learner back. Raises only what every learner would meet."""
    record = await _record(site, learner)
    if dry_run:
        return await _previewed(site, learner, record, aiming)
    try:
        lease = await site.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=None)
    except StateConflict as error:
        return _finding(learner, Verdict.BUSY, str(error))
    try:
        finding = await _moved(site, learner, lease, record, aiming)
    except Exception as error:  # a defect at one learner as well: the others are moved all the same
        failure = as_ours(error)
        if failure.consequence.run is RunAfter.STOPS_IF_SHARED:
            # Every learner would meet it, and no run has this one any more.
            await lease.end(Verdict.FAILED.value, str(failure), learner.state)
            raise
        finding = _finding(learner, Verdict.FAILED, str(failure))
    ending, why = _ending(site, learner, finding, lease).value, finding.text
    if finding.state != learner.state and lease.ended_before:
        # Another run has moved the row since it was listed, and what it said of the end stands.
        ending, why = lease.ended_before
    await lease.end(ending, why, finding.target or finding.state)
    return finding


async def _previewed(site: Site, learner: Learner, record: LearnerRecord | None, aiming: Aiming) -> Finding:
    ended: Collection[str] = record.finished if record else ()
    if record:
        lost = restored(site.pipeline, learner, await site.ledger.learners.rows_before(record))
        ended = [step for step in ended if step not in lost]
    aim = await aiming(site, learner, ended, record)
    return _finding(learner, Verdict.WOULD_MOVE if aim.target else Verdict.LEFT, aim.text, aim.target)


def _ending(site: Site, learner: Learner, finding: Finding, lease: LearnerLease) -> Ending | Verdict:
    """What the ledger says of the end; a learner who was retired before stays so."""
    if finding.target == COMPLETE:
        return retired_or_not(site, replace(learner, state=COMPLETE), lease)
    return finding.verdict


def retired_or_not(site: Site, row: Learner, known: LearnerLease | LearnerRecord) -> Ending:
    """The ending of a learner whose row is COMPLETE; `known` is what the ledger has of this retirement."""
    return Ending.UNPROVED if doubt(site.pipeline, row, known) else Ending.RETIRED


async def _record(site: Site, learner: Learner) -> LearnerRecord | None:
    """What the ledger knows of this very retirement."""
    record = await site.ledger.learners.newest(learner.user_id)
    return record if record is not None and record.retirement_id == learner.retirement_id else None


async def _moved(
    site: Site, learner: Learner, lease: LearnerLease, record: LearnerRecord | None, aiming: Aiming
) -> Finding:
    row = await site.lms.rows.refresh(learner)
    if row is None or row.state != learner.state:
        if row is None:
            return Finding(learner.user_id, Verdict.LEFT, "gone", None, "the row is gone")
        return _finding(row, Verdict.LEFT, f"the row is in {row.state} by now")
    if lost := restored(site.pipeline, row, lease.row_before):
        await lease.void(lost, RESTORED)
    aim = await aiming(site, row, lease.finished, record)
    if aim.target is None:
        return _finding(row, Verdict.LEFT, aim.text)
    if aim.target != COMPLETE:
        await lease.reopen(row.state)
    if aim.again:
        await lease.void(aim.again, aim.note)
    await lease.moved(row.state, aim.target, aim.note)
    lease.check()
    await site.lms.rows.move(row, aim.target, aim.note, since=row.state, force=True)
    return _finding(row, Verdict.MOVED, aim.text, aim.target)


async def _target(site: Site, row: Learner, ended: Collection[str], record: LearnerRecord | None) -> str | None:
    """Where the row belongs, from itself and the steps that the ledger has as ended; None where nothing proves it."""
    if home := await home_of(site, row):
        return home
    target = _proved_state(site.pipeline, row, ended, record)
    if target and ended and record and record.pipeline not in ("", site.pipeline.digest):
        return without_new_steps(site.pipeline, target, ended)
    return target


def _proved_state(pipeline: Pipeline, row: Learner, ended: Collection[str], record: LearnerRecord | None) -> str | None:
    if row.state not in (ERRORED, ABORTED):
        return proved_state(pipeline, row.state, ended, record.state if record else None)
    # The state before it says how far the learner was, which need not be the state to go back to.
    if pipeline.finished_at(row.last_state) is not None:
        return row.last_state
    return proved_state(pipeline, row.last_state, ended)


def _finding(row: Learner, verdict: Verdict, text: str, target: str | None = None) -> Finding:
    return Finding(row.user_id, verdict, row.state, target, text)


def _why(row: Learner, target: str | None) -> str:
    if target is None:
        command = adopt_command(row.user_id)
        return f"no step has {row.last_state}, the state they were in: {command} shows where they belong"
    if target == COMPLETE:
        return "they had been retired before, and were only to enter the partner queue again"
    return "the next queue run goes on from there"
