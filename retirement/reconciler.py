"""Brings learners back whom nobody has: working states without a live run, and ERRORED ones on request.

Nothing is guessed. A row goes back to the last end state that the LMS and the ledger prove, by a forced move
that is in the ledger before it is sent; the next queue run goes on from there. Plain Python; `flows.reconcile`
runs it on a schedule, `retirement reconcile` and `retirement redrive` by hand.
"""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from retirement.endings import Ending
from retirement.errors import Defect, Misconfigured, RetirementError, StateConflict
from retirement.learner import Learner
from retirement.ledger import LearnerRecord, Tenure, learner_scope
from retirement.pipeline import COMPLETE, ERRORED, PENDING
from retirement.proof import proved_state
from retirement.site import Site
from retirement.unreported import home_of

#: What the LMS stores with a forced move.
RECONCILED = "Given back by the reconciler: no live run has the learner."
REDRIVEN = "Brought back by an operator."

#: A working state that no run of ours began is another driver's until it has not changed for so long.
FOREIGN = timedelta(hours=1)

#: By so much the clocks of the LMS and of the ledger may differ.
_SKEW = timedelta(minutes=1)


#: Where a learner belongs, from their row and the steps that the ledger has as ended; None where nothing proves it.
_Back = Callable[[Site, Learner, Collection[str], str | None], str | None]


#: How an attempt ended after which a service may have done the work: proved, never ended, or in doubt.
MAY_HAVE_ERASED = (None, "Transient", "RateLimited", "Defect")


class Verdict(StrEnum):
    """What was found about one learner, or done for them."""

    BUSY = "busy"  #: a live run has them
    MOVED = "moved"  #: taken back to the last proved end state
    CLOSED = "closed"  #: nothing to move; the ledger was told how the run had ended
    LEFT = "left"  #: left alone; the text says why
    FAILED = "failed"  #: could not be done now; the next run tries again
    WOULD_MOVE = "would-move"  #: a dry run


@dataclass(frozen=True, slots=True)
class Finding:
    """One learner that was looked at: nothing personal.

    Without a user id it is about a row that nobody can read, or about an open end that is no learner's.
    """

    user_id: int | None
    verdict: Verdict
    state: str
    target: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which ERRORED learners to bring back; without anything all of them."""

    user_id: int | None = None
    step: str | None = None
    error: str | None = None
    since: datetime | None = None
    user_ids: frozenset[int] | None = None  #: nobody but these

    def takes(self, learner: Learner, record: LearnerRecord | None) -> bool:
        """Whether this learner is meant. `step` and `error` ask the ledger, which has to know them."""
        if self.user_id not in (None, learner.user_id):
            return False
        if self.user_ids is not None and learner.user_id not in self.user_ids:
            return False
        if self.since and learner.changed_at < self.since:
            return False
        if self.step is None and self.error is None:
            return True
        attempts = record.attempts if record else ()
        last = next((each for each in reversed(attempts) if each.error), None)
        return last is not None and self.step in (None, last.step) and self.error in (None, last.error)


async def reconcile(site: Site, *, user_id: int | None = None, dry_run: bool = False) -> AsyncIterator[Finding]:
    """Every learner in a working state without a live run goes back; then the ledger's open ends are closed.

    With `user_id` only that learner; rows that cannot be read are named then if the learner is not among the others.
    Raises `ServiceError` and `LedgerError` where nothing can be read; what concerns one learner is a finding.
    """
    live = await site.ledger.live_leases()
    seen: set[int] = set()
    learners = await site.lms.queue(site.pipeline.working_states, 0)
    unreadable = tuple(site.lms.unreadable)
    for learner in learners:
        if user_id in (None, learner.user_id):
            seen.add(learner.user_id)
            yield await _alone(site, learner, live=learner_scope(learner.user_id) in live, dry_run=dry_run)
    if user_id not in seen:
        for text in unreadable:
            yield Finding(None, Verdict.FAILED, "", None, f"{text}, so whoever is in a working state there stays in it")
    for record in await site.ledger.open_runs():
        if record.user_id in seen or user_id not in (None, record.user_id) or learner_scope(record.user_id) in live:
            continue
        if finding := await _close(site, record, dry_run=dry_run):
            yield finding
    # A queue run that lives closes its own question.
    if user_id is None and "queue" not in live:
        for finding in await _expire(site, dry_run=dry_run):
            yield finding


async def _expire(site: Site, *, dry_run: bool) -> list[Finding]:
    """Closes the questions of dead queue runs whose time is over."""
    findings: list[Finding] = []
    for decision in await site.ledger.decisions(open_only=True):
        if decision.expires_at > site.ledger.now():
            continue
        if not dry_run:
            try:
                await site.ledger.decide(decision.id, "expired", approver=None, reason="the run that asked is gone")
            except StateConflict:
                continue  # somebody has closed it meanwhile
        text = f"decision {decision.id} was never answered: it has expired"
        findings.append(Finding(None, Verdict.CLOSED, "", None, text))
    return findings


async def redrive(site: Site, choice: Choice, *, limit: int, dry_run: bool = False) -> AsyncIterator[Finding]:
    """Brings ERRORED learners back to the last proved end state, at most `limit` of them, oldest request first.

    Those who are left alone count for nothing; a move that failed counts, for the LMS may have made it.
    """
    moved = 0
    for learner in await site.lms.queue([ERRORED], 0):
        record = await site.ledger.record(learner.user_id)
        if not choice.takes(learner, record):
            continue
        if moved >= limit:
            return
        finding = await _guarded(site, learner, _back_from_error, dry_run=dry_run)
        moved += finding.verdict in (Verdict.MOVED, Verdict.WOULD_MOVE, Verdict.FAILED)
        yield finding


async def _alone(site: Site, learner: Learner, *, live: bool, dry_run: bool) -> Finding:
    if live:
        return Finding(learner.user_id, Verdict.BUSY, learner.state, None, "a live run has them")
    record = await site.ledger.record(learner.user_id)
    if not _is_ours(record, learner) and site.ledger.now() - learner.changed_at < FOREIGN:
        text = "no run of ours left them here, and it changed within the hour: another driver may have them"
        return Finding(learner.user_id, Verdict.LEFT, learner.state, None, text)
    return await _guarded(site, learner, _back_from_work, dry_run=dry_run)


def _is_ours(record: LearnerRecord | None, learner: Learner) -> bool:
    """Whether a run of ours took the row to where it is: the last one died, or the row has not changed since."""
    if record is None or record.retirement_id != learner.retirement_id:
        return False
    return record.ended_at is None or learner.changed_at <= record.ended_at + _SKEW


async def _guarded(site: Site, learner: Learner, back: _Back, *, dry_run: bool) -> Finding:
    """Takes the lease, moves one learner back, and leaves nobody else worse off for what goes wrong."""
    record = await site.ledger.record(learner.user_id)
    if record is not None and record.retirement_id != learner.retirement_id:
        record = None
    last = record.state if record else None
    if dry_run:
        target = await home_of(site, learner) or back(site, learner, record.finished if record else {}, last)
        verdict = Verdict.WOULD_MOVE if target else Verdict.LEFT
        return Finding(learner.user_id, verdict, learner.state, target, _why(target))
    try:
        tenure = await site.ledger.tenure(learner, due_at=site.due_at(learner), pipeline=None)
    except StateConflict as error:
        return Finding(learner.user_id, Verdict.BUSY, learner.state, None, str(error))
    try:
        finding = await _move(site, learner, tenure, back, last)
    except RetirementError as error:
        if isinstance(error, Misconfigured):
            # Everybody would fail alike, and this learner is nobody's again.
            await tenure.end(Verdict.FAILED.value, str(error), learner.state)
            raise
        finding = Finding(learner.user_id, Verdict.FAILED, learner.state, None, str(error))
    except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
        finding = Finding(learner.user_id, Verdict.FAILED, learner.state, None, str(Defect.at(error)))
    # Whoever was retired before stays so in the ledger.
    ending = Ending.RETIRED if finding.target == COMPLETE else finding.verdict
    await tenure.end(ending.value, finding.text, finding.target or finding.state)
    return finding


async def _move(site: Site, learner: Learner, tenure: Tenure, back: _Back, last: str | None) -> Finding:
    row = await site.lms.refresh(learner)
    if row is None or row.state != learner.state:
        where = "gone" if row is None else f"in {row.state} by now"
        return Finding(learner.user_id, Verdict.LEFT, learner.state, None, f"the row is {where}")
    target = await home_of(site, row) or back(site, row, tenure.finished, last)
    if target is None:
        return Finding(learner.user_id, Verdict.LEFT, row.state, None, _why(target))
    text = REDRIVEN if row.state == ERRORED else RECONCILED
    await tenure.moved(row.state, target, text)
    tenure.check()
    await site.lms.move(row, target, text, since=row.state, force=True)
    return Finding(learner.user_id, Verdict.MOVED, row.state, target, _why(target))


def _back_from_work(site: Site, learner: Learner, ended: Collection[str], last: str | None) -> str | None:
    return proved_state(site.pipeline, learner.state, ended, last)


def _back_from_error(site: Site, learner: Learner, ended: Collection[str], last: str | None) -> str | None:
    """From ERRORED: the state before it says how far they were, which is not the state to go back to."""
    if site.pipeline.finished_at(learner.last_state) is not None:
        return learner.last_state
    return proved_state(site.pipeline, learner.last_state, ended)


def _why(target: str | None) -> str:
    if target is None:
        return "the pipeline does not know the state they were in, so nothing is proved: set their state by hand"
    if target == COMPLETE:
        return "they had been retired before, and were only to enter the partner queue again"
    return "the next queue run goes on from there"


async def _close(site: Site, record: LearnerRecord, *, dry_run: bool) -> Finding | None:
    """A run that the ledger never saw end, of a learner who stands in no working state: it died at the very end."""
    row = await site.lms.find(record.user_id)
    state = row.state if row else "gone"
    text = "the run had ended without a word"
    ending = Ending.RETIRED.value if state == COMPLETE else Verdict.CLOSED.value
    if not dry_run and not await site.ledger.close_run(
        record.user_id, record.retirement_id, ending=ending, reason=text, state=state
    ):
        return None  # somebody has begun with them meanwhile
    return Finding(record.user_id, Verdict.CLOSED, state, None, text)


async def cancel(site: Site, user_id: int) -> None:
    """Takes back the request of a PENDING learner. Raises `StateConflict` where there is none any more.

    And where something of the learner may be erased already, which no cancellation brings back. The learner's
    lease is held meanwhile, so no run can begin with them.
    """
    learner = await site.lms.find(user_id)
    if learner is None or learner.state != PENDING:
        where = "has no retirement request" if learner is None else f"is in {learner.state}, not in {PENDING}"
        raise StateConflict(f"learner {user_id} {where}: only a request that waits can be taken back")
    tenure = await site.ledger.tenure(learner, due_at=site.due_at(learner), pipeline=None)
    record = await site.ledger.record(user_id)
    done = sorted({each.step for each in record.attempts if each.error in MAY_HAVE_ERASED} if record else ())
    if done:
        text = f"learner {user_id} cannot keep the account: {', '.join(done)} was done or begun already"
        await tenure.end("not-cancelled", text, learner.state)
        raise StateConflict(text)
    try:
        await site.lms.cancel(learner)
    except RetirementError as error:
        await tenure.end("not-cancelled", str(error), learner.state)
        raise
    await tenure.end("cancelled", "taken back by an operator", "gone")
