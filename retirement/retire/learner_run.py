"""One run of one learner through the pipeline: lease, ledger, LMS row and connector in the right order.

Per step: the lease is ours, the ledger has the intent, the LMS is in the start state, the connector calls,
the ledger has the outcome, the LMS is in the end state. A crash between any two leaves a row that says less
than what was done, never more, and a ledger that says what may have been begun.
"""

from dataclasses import dataclass

from retirement.connectors import Erasure, Outcome
from retirement.errors import (
    BreakerOpen,
    Busy,
    Defect,
    Ending,
    Kept,
    LedgerError,
    NotFound,
    Refused,
    Rescinded,
    RetirementError,
    RowAfter,
    ServiceError,
    Transient,
    Unproved,
    as_ours,
)
from retirement.learner import Learner
from retirement.ledger import Given, LearnerLease
from retirement.pipeline import ABORTED, ACCOUNT_STEP, COMPLETE, ERRORED, Step
from retirement.pipeline.endings import SKIPPED, TAKEN, Report, StepReport
from retirement.pipeline.proof import doubt
from retirement.retire.lms_row import Row
from retirement.site import Batch, Site

_FORUM_STEP = ("LMS", "retirement_retire_forum")


@dataclass(frozen=True, slots=True)
class Start:
    """What a run has from its first moment on: the lease of the learner, and when it began."""

    site: Site
    batch: Batch
    lease: LearnerLease
    began: float

    async def end(
        self, ending: Ending, reason: str, state: str, steps: tuple[StepReport, ...] = (), failed_step: str = ""
    ) -> Report:
        """Gives the lease back and says so in the ledger; `state` is that of the row, as far as this run knows."""
        user_id = self.lease.user_id
        self.batch.forum_lane.leave(user_id)
        try:
            await self.lease.end(ending.value, reason, state)
        except LedgerError as error:
            # What was done stands; the open run in the ledger is closed by the reconciler.
            self.batch.note_failure(error, user_id)
        return Report(user_id, ending, reason, steps, self.site.clock() - self.began, failed_step)


class LearnerRun:
    """One run of one learner. `failure` is what went wrong, or what weighs most of it, and where; `engine` weighs."""

    def __init__(self, start: Start, learner: Learner, row: Row, done: frozenset[str], held: frozenset[str]) -> None:
        self.site, self.batch, self.lease = start.site, start.batch, start.lease
        self.learner = learner
        self.failure: RetirementError | None = None
        self.failed_step = ""
        self._start = start
        self._row = row
        self._done = done  #: steps that an earlier run has finished
        self._known = frozenset(self.lease.finished)  #: those of them that the ledger proves
        self._held = held  #: steps whose service a hold keeps
        self._reports: dict[str, StepReport] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._tried: set[str] = set()

    async def step(self, step: Step) -> StepReport:
        """Runs one step; may be called again after a `Transient`, and then does what is left of it."""
        if step.name in self._done:
            return self._note_step(step, SKIPPED if step.name in self._known else TAKEN, 0.0)
        if step.name in self._held:
            return self._note_step(step, Outcome.RETAINED.value, 0.0)
        self.batch.ensure_allowed(self.lease.check)
        began = self.site.clock()
        try:
            outcome = (await self._outcome(step)).value
        except Kept as kept:
            if kept.service is None:
                raise
            self._held |= {step.name}
            return self._note_step(step, Outcome.RETAINED.value, 0.0)
        # Minutes may have passed since the call, where the move is what is tried again.
        self.lease.check()
        await self._row.leave(step, outcome)
        if (step.service, step.operation) == ACCOUNT_STEP:
            # The account is renamed, which ends the collision of old in-process forums.
            self.batch.forum_lane.leave(self.learner.user_id)
        return self._note_step(step, outcome, self.site.clock() - began)

    async def _outcome(self, step: Step) -> Outcome:
        """The outcome of the step's call, which is not repeated once it has one."""
        if step.name not in self._outcomes:
            self._outcomes[step.name] = await self._erase(step)
        return self._outcomes[step.name]

    async def _erase(self, step: Step) -> Outcome:
        """Intent, start state, call, outcome; what fails is in the ledger before the run decides about it."""
        lease = self.lease
        try:
            # Nothing is sent before the intent is durable; this raises while the service is known to be down.
            if await lease.intend(step.name, step.service, step.operation):
                await self._probe(step)
            if step.name in self._tried:
                # Minutes may have passed since the last try.
                await self._row.still_ours()
            self._tried.add(step.name)
            await self._row.enter(step)
            erasure = await self._call(step)
        except RetirementError as error:
            if error.consequence.fails_step:
                await lease.fail(step.name, error.service or step.service, error)
            raise
        given = self._given(step, erasure)
        await lease.prove(step.name, erasure.outcome.value, given)
        return erasure.outcome

    def _given(self, step: Step, erasure: Erasure) -> Given | None:
        """The receipt of a call, and when the service is asked about it; None without a receipt."""
        if erasure.receipt is None:
            return None
        follow_up = self.site.connectors[step.service].policy(step.operation).follow_up
        return Given(erasure.receipt, follow_up.first if follow_up else None)

    async def _probe(self, step: Step) -> None:
        """Asks a service that was down, by the operation's own harmless read, whether it is back.

        A service that says no has answered: only the call itself can say something about the learner.
        """
        try:
            await self.site.connectors[step.service].probe(step.operation)
        except (NotFound, Refused):
            pass
        except ServiceError as error:
            if error.consequence.passes:
                await self.lease.probed(step.service, answered=False, reason=str(error))
                raise BreakerOpen(step.service, error.request, error.status, "still down") from None
            await self.lease.probed(step.service, answered=True, reason="it answered")
            raise
        await self.lease.probed(step.service, answered=True, reason="it answered")

    async def _call(self, step: Step) -> Erasure:
        connector = self.site.connectors[step.service]
        lane = self.batch.forum_lane
        if is_forum := (step.service, step.operation) == _FORUM_STEP:
            await lane.enter(self.learner.user_id)
        self.batch.ensure_allowed(self.lease.check)
        try:
            return await connector.perform(step.operation, self.learner)
        except Busy:
            lane.narrow = lane.narrow or is_forum
            raise
        except RetirementError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a connector does, only this learner may suffer
            raise Defect.at(error) from None

    async def close(self) -> Report:
        """Ends the run: COMPLETE, or where the failure says."""
        try:
            return await self._last_move()
        except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
            return await self._unmoved(as_ours(error))

    async def _last_move(self) -> Report:
        """Raises what keeps the row from being moved."""
        if self.failure is None:
            return await self._complete()
        self.failure = await self._with_history(self.failure)
        after = self.failure.consequence
        if not after.row.may_move:
            raise self.failure
        self.lease.check()
        if after.row is RowAfter.ERRORED:
            await self._row.end_in(ERRORED, f"Stopped: {self.failure}")
            return await self._end(after.ending, str(self.failure))
        await self._row.give_back(self.lease, f"Given back to the queue: {self.failure}")
        # What only this learner has met stops no other learner.
        alone = after.ending is Ending.STOPPED and not self.batch.stop
        return await self._end(Ending.PARKED if alone else after.ending, str(self.failure))

    async def _with_history(self, failure: RetirementError) -> RetirementError:
        """The failure; a refusal where the service has failed this learner, and no other, night after night."""
        if not (isinstance(failure, Transient) and failure.consequence.trips_breaker):
            return failure
        nights = await self.site.ledger.setbacks.nights(
            self.learner.user_id, self.learner.retirement_id, failure.service
        )
        if len(nights) < self.site.nights:
            return failure
        days = ", ".join(f"{night:%Y-%m-%d}" for night in nights)
        why = f"it failed this learner on {len(nights)} nights, and other learners passed on each of them: {days}"
        reason = f"{failure.reason}; {why}" if failure.reason else why
        return Refused(failure.service, failure.request, failure.status, reason)

    async def _complete(self) -> Report:
        self.lease.check()
        if self._held:
            await self._row.give_back(self.lease, "Waiting: a registered hold keeps what is left.")
            return await self._end(Ending.HELD, f"kept by a hold: {', '.join(sorted(self._held))}")
        await self._row.end_in(COMPLETE, "Learner retirement complete.")
        await self._ensure_proved()
        return await self._end(Ending.RETIRED, "")

    async def _ensure_proved(self) -> None:
        """Reads the row once more, since an answer may have been a lie.

        Raises `Unproved`, and `Rescinded` where an operator was faster; the row stays as it is.
        """
        try:
            row = await self._row.read_again()
        except ServiceError as error:
            await self.lease.fail(None, "LMS", error)
            self.batch.note_failure(error, self.learner.user_id)
            raise Unproved(f"every step ended, and the row could not be read again: {error}") from None
        if row is not None and row.state == ABORTED:
            raise Rescinded("the retirement was aborted in the LMS, after every step had ended")
        if why := doubt(self.site.pipeline, row):
            raise Unproved(f"every step ended with success, and {why}")

    async def _unmoved(self, error: RetirementError) -> Report:
        """The row stays where it is, which claims less than was done."""
        self.batch.note_failure(error, self.learner.user_id)
        if error.consequence.row is RowAfter.NOT_OURS:
            return await self._end(error.consequence.ending, str(error))
        text = f"{self.failure or error}; the row stays in {self._row.state}"
        # Only a waiting state is offered again; anything else is for the reconciler.
        if self._row.waits and error.service:
            return await self._end(Ending.PARKED, text)
        return await self._end(Ending.STRANDED, f"{text}: {error}")

    def _note_step(self, step: Step, result: str, seconds: float) -> StepReport:
        self._reports[step.name] = StepReport(step.name, result, seconds)
        return self._reports[step.name]

    async def _end(self, ending: Ending, reason: str) -> Report:
        steps = tuple(self._reports[step.name] for step in self.site.pipeline if step.name in self._reports)
        return await self._start.end(ending, reason, self._row.state, steps, self.failed_step)
