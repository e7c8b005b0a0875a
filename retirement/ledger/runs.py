"""How a run on a learner begins and ends in the ledger."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from retirement.learner import Learner
from retirement.ledger import chain
from retirement.ledger.access import Access
from retirement.ledger.events import Event, event_of
from retirement.ledger.holds import active_holds
from retirement.ledger.leases import Lease, is_live, learner_scope, take
from retirement.ledger.tables import Attempt, Entry, Hold, LearnerRecord, proved
from retirement.ledger.transaction import Changed, New, Transaction
from retirement.pipeline import ABORTED, COMPLETE

#: Requests under one number that were made within so long are the same: a database may have rounded the time.
_SAME_REQUEST = timedelta(seconds=2)
ANOTHER_REQUEST = "the LMS has given the number of that request to another one"
#: The ending that makes a learner count as retired.
RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is to begin: on which learner, and with which pipeline; None: it takes no steps."""

    learner: Learner
    due_at: datetime
    pipeline: str | None
    steps: Sequence[str]
    ends: Sequence[str]


@dataclass(frozen=True, slots=True)
class Began:
    """A run that has begun: its lease, and what earlier runs left.

    `of_another_pipeline`: the LMS row stands where steps of another pipeline have brought it.
    """

    lease: Lease
    finished: dict[str, str]
    calls: dict[str, tuple[str, str]]  #: service and operation of those
    holds: list[Hold]
    of_another_pipeline: bool
    ended_before: tuple[str, str] | None
    #: Steps that runs have called; none where a run has ended retired, so that nothing is left to prove.
    tried: frozenset[str]
    was_retired: bool  #: whether a run has ended retired
    #: For each proved step, when the LMS row had last changed before the run that proved it first, by the LMS' clock.
    row_before: dict[str, datetime]


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended, why, and in which state of the LMS."""

    ending: str
    reason: str
    state: str


def begin(tx: Transaction, access: Access, run: Run) -> Began:
    """Takes a learner and enters that a run has begun. Raises `StateConflict` while another run has the learner."""
    learner = run.learner
    lease = take(tx, access, learner_scope(learner.user_id), f"learner {learner.user_id}")
    before = tx.row(LearnerRecord, learner.user_id, learner.retirement_id)
    row, void = _begun(tx, access, run, lease, before), _void(tx, run, before)
    if void:
        row = replace(row, retired_at=None)
    told = {"retirement": learner.retirement_id, "fence": lease.fence, "holder": lease.holder}
    told |= {"taken_over": lease.taken_over, "row_changed_at": chain.written(learner.changed_at)}
    if run.pipeline:
        told |= {"steps": list(run.steps)}
    if run.ends:
        told |= {"ends": list(run.ends)}
    tx.enter("run.began", Changed(row) if before else New(row), *void, user_id=learner.user_id, facts=told)
    return _since(tx, lease, run, before)


def _begun(tx: Transaction, access: Access, run: Run, lease: Lease, before: LearnerRecord | None) -> LearnerRecord:
    """A learner's row when a run begins: of earlier runs it keeps the times when the learner was seen and retired."""
    learner, digests = run.learner, access.digests
    if before and not learner.username:
        # The LMS has deleted who the learner was; what was looked up by before is still found.
        return replace(before, fence=lease.fence, began_at=tx.now, ending=None, reason=None, ended_at=None)
    return LearnerRecord(
        user_id=learner.user_id,
        retirement_id=learner.retirement_id,
        requested_at=learner.requested_at,
        due_at=run.due_at,
        pipeline=run.pipeline or (before.pipeline if before else ""),
        email_digest=digests.email(learner.email),
        username_digest=digests.username(learner.username),
        domain_digest=digests.domain(learner.email),
        key_id=digests.key_id,
        first_seen_at=before.first_seen_at if before else tx.now,
        fence=lease.fence,
        began_at=tx.now,
        state=before.state if before else None,
        retired_at=before.retired_at if before else None,
    )


def _void(tx: Transaction, run: Run, before: LearnerRecord | None) -> list[Changed]:
    """What makes proofs of another request void: an LMS that comes back from a backup gives its numbers out again.

    A row that has ended keeps them: a move of the LMS may have changed its times, and nothing follows from it.
    """
    learner = run.learner
    if before is None or learner.state in (ABORTED, COMPLETE):
        return []
    if abs(before.requested_at - learner.requested_at) < _SAME_REQUEST:
        return []
    rows = [each for each in attempts_of(tx, learner.user_id, learner.retirement_id) if each.is_proved]
    return [Changed(replace(each, voided_at=tx.now, void_reason=ANOTHER_REQUEST)) for each in rows]


def _since(tx: Transaction, lease: Lease, run: Run, before: LearnerRecord | None) -> Began:
    """What earlier runs of this retirement left."""
    attempts = attempts_of(tx, run.learner.user_id, run.learner.retirement_id)
    began = _begun_before(tx, run.learner) if any(each.outcome for each in attempts) else []
    changed = _has_another_pipeline(run, attempts, began)
    ended = (before.ending, before.reason or "") if before and before.ending else None
    calls = {each.step: (each.service, each.operation) for each in attempts if each.is_proved}
    was_retired = before is not None and before.retired_at is not None
    tried = frozenset[str]() if was_retired else frozenset(each.step for each in attempts)
    row_before = _rows_before(attempts, began)
    return Began(lease, proved(attempts), calls, active_holds(tx), changed, ended, tried, was_retired, row_before)


def rows_before(tx: Transaction, retirement: LearnerRecord) -> dict[str, datetime]:
    """As `Began.row_before`, for a retirement with its attempts."""
    return _rows_before(retirement.attempts, _begun_before(tx, retirement))


def _begun_before(tx: Transaction, retirement: Learner | LearnerRecord) -> list[Event]:
    """The runs of a retirement that have begun, oldest first."""
    entries = tx.rows(Entry, Entry.user_id == retirement.user_id, Entry.kind == "run.began")
    return [each for each in map(event_of, entries) if each.facts.get("retirement") == retirement.retirement_id]


def _rows_before(attempts: Sequence[Attempt], began: Sequence[Event]) -> dict[str, datetime]:
    """By the clock of the LMS, so that it compares with the row. Runs of older releases have not entered it."""
    first: dict[str, int] = {}
    for each in attempts:
        if each.is_proved:
            first.setdefault(each.step, each.fence)
    changes = {each.facts["fence"]: each.facts.get("row_changed_at") for each in began}
    return {step: chain.read(text) for step, fence in first.items() if (text := changes.get(fence))}


def _has_another_pipeline(run: Run, attempts: Sequence[Attempt], began: Sequence[Event]) -> bool:
    """Whether steps were proved, and the last run that tried one had another pipeline than this run has.

    A run that ended before its first step does not count, whatever pipeline it had: it need not have brought the LMS
    row in line. Where no step was ever proved, what lies behind the row is the work of another driver.
    """
    if not run.pipeline:
        return False
    tried = {each.fence for each in attempts}
    for event in reversed(began):
        if event.facts.get("steps") and event.facts["fence"] in tried:
            return _pipeline_of(event) != run.pipeline
    return False


def _pipeline_of(event: Event) -> str:
    """The pipeline of a run that began, from the row that its entry tells."""
    return next((str(row["pipeline"]) for table, _, row in event.rows if table == LearnerRecord.__tablename__), "")


def close(tx: Transaction, user_id: int, retirement_id: int, end: End) -> bool:
    """Enters the end of a run that died without one; False where it has one by now, or is alive."""
    row = tx.row(LearnerRecord, user_id, retirement_id)
    if row is None or row.ending is not None or is_live(tx, learner_scope(user_id)):
        return False
    facts = {"retirement": retirement_id, **asdict(end)}
    tx.enter("run.closed", ended_with(tx, row, end), user_id=user_id, facts=facts)
    return True


def ended_with(tx: Transaction, row: LearnerRecord, end: End) -> Changed:
    """A learner's row at the end of a run; a learner who was retired once stays so since then."""
    retired_at = row.retired_at or (tx.now if end.ending == RETIRED else None)
    after = replace(row, ending=end.ending, reason=end.reason, state=end.state, ended_at=tx.now, retired_at=retired_at)
    return Changed(after)


def attempts_of(tx: Transaction, user_id: int, retirement_id: int) -> list[Attempt]:
    """The attempts of a retirement, oldest first."""
    return tx.rows(Attempt, Attempt.user_id == user_id, Attempt.retirement_id == retirement_id)
