"""One run of one learner through the pipeline: lease, ledger, LMS row and connector in the right order.

Per step: the lease is ours, the ledger has the intent, the LMS is in the start state, the connector calls,
the ledger has the outcome, the LMS is in the end state. A crash between any two leaves a row that says less
than what was done, never more, and a ledger that says what may have been begun.
"""

from collections.abc import Sequence

from retirement.connectors import Erasure, Outcome
from retirement.endings import Ending, Report, StepReport
from retirement.errors import (
    BreakerOpen,
    Busy,
    Defect,
    Kept,
    LeaseLost,
    LedgerError,
    Misconfigured,
    NotFound,
    Refused,
    Rescinded,
    RetirementError,
    ServiceError,
    StateConflict,
    Transient,
)
from retirement.http import permission
from retirement.learner import Learner
from retirement.ledger import Given, Hold, Tenure
from retirement.pipeline import ABORTED, COMPLETE, DEAD_ENDS, ERRORED, PENDING, Pipeline, Step
from retirement.proof import behind, proved_steps
from retirement.row import Row
from retirement.site import Site

#: The step that renames the account, which ends the collision of old in-process forums.
_FORUM, _ACCOUNT = "retirement_retire_forum", "retirement_lms_retire"

GIVEN_BACK = "Given back to the queue; nothing is wrong with the learner."


class _RunStopped(RetirementError):
    """The whole run stops, through no fault of this learner."""


class Passage:
    """One run of one learner. `failure` is what went wrong, or what weighs most of it; `engine` weighs."""

    def __init__(self, site: Site, learner: Learner) -> None:
        self.site = site
        self.learner = learner
        self.failure: RetirementError | None = None
        self._reports: dict[str, StepReport] = {}
        self._before: frozenset[str] = frozenset()
        self._held: frozenset[str] = frozenset()
        self._outcomes: dict[str, Outcome] = {}
        self._tried: set[str] = set()
        self._began = site.clock()
        self._row = Row(site.lms, learner, site.pipeline)
        self._tenure: Tenure | None = None

    async def open(self) -> Report | None:
        """Takes the lease, reads the row and finds the place to go on from; a report where there is nothing to do."""
        due_at, line = self.site.due_at(self.learner), self.site.pipeline
        names = line.working_states
        tenure = await self.site.ledger.tenure(self.learner, due_at=due_at, pipeline=line.digest, steps=names)
        self._tenure = tenure
        permission.set(tenure.check)
        if report := await self._kept(tenure.holds):
            return report
        row = await self._read(tenure)
        if row is None and self.learner.state != PENDING:
            reason = f"the request that was in {self.learner.state} is gone from the LMS"
            return await self._end(Ending.ELSEWHERE, reason)
        if row is None:
            return await self._end(Ending.RESCINDED, "the LMS has no retirement request of this learner any more")
        self.learner = row
        holds = [*tenure.holds, *await self.site.with_orgs(row, tenure.org_holds)]
        return await self._kept(holds) or await self._place(tenure, row, holds)

    async def _kept(self, holds: Sequence[Hold]) -> Report | None:
        """A report where a hold keeps the learner wholly."""
        whole = next((hold for hold in holds if hold.service is None), None)
        return await self._end(Ending.HELD, whole.sentence) if whole else None

    async def _read(self, tenure: Tenure) -> Learner | None:
        """Reads the row, which is also how an LMS that was down is asked whether it is back."""
        asking = await tenure.admit("LMS", "GET retirement_status")
        try:
            row = await self.site.lms.refresh(self.learner)
        except ServiceError as error:
            if asking:
                await tenure.probed("LMS", answered=False, reason=str(error))
            else:
                await tenure.fail(None, "LMS", error)
            raise
        if asking:
            await tenure.probed("LMS", answered=True, reason="it answered")
        return row

    async def _place(self, tenure: Tenure, row: Learner, holds: Sequence[Hold]) -> Report | None:
        if row.state == COMPLETE:
            return await self._end(Ending.RETIRED, "was COMPLETE already")
        if row.state == ABORTED:
            return await self._end(Ending.RESCINDED, "the retirement was aborted in the LMS")
        pipeline = self.site.pipeline
        if pipeline.finished_at(row.state) is None:
            return await self._end(Ending.ELSEWHERE, _why_not(row.state, pipeline))
        if again := behind(pipeline, row.state, tenure.finished):
            await tenure.void(again, f"the LMS has the learner back in {row.state}")
        before = proved_steps(pipeline, row.state, tenure.finished)
        # A step that was written into the pipeline since then is behind the row, and nobody has done it.
        new = before - tenure.finished.keys() if tenure.of_another_pipeline else frozenset()
        self._before = before - new
        self._row = Row(self.site.lms, row, pipeline, self._before)
        if new:
            await self._row.give_back(tenure, "Taken back: the pipeline has steps that this learner has not seen.")
        kept = {hold.service for hold in holds}
        self._held = frozenset(step.name for step in pipeline if step.service in kept) - self._before
        return None

    async def step(self, step: Step) -> StepReport:
        """Runs one step; may be called again after a `Transient`, and then does what is left of it."""
        if step.name in self._before:
            return self._note_step(step, "skipped", 0.0)
        if step.name in self._held:
            return self._note_step(step, Outcome.RETAINED.value, 0.0)
        self._stay_if_stopped(step)
        began = self.site.clock()
        if step.name not in self._outcomes:
            try:
                self._outcomes[step.name] = await self._erase(step)
            except Kept as kept:
                if kept.service is None:
                    raise
                self._held |= {step.name}
                return self._note_step(step, Outcome.RETAINED.value, 0.0)
        outcome = self._outcomes[step.name].value
        # Minutes may have passed since the call, where the move is what is tried again.
        self._ours().check()
        await self._row.leave(step, outcome)
        if (step.service, step.operation) == ("LMS", _ACCOUNT):
            self.site.forum_lane.leave(self.learner.user_id)
        return self._note_step(step, outcome, self.site.clock() - began)

    async def _erase(self, step: Step) -> Outcome:
        """Intent, start state, call, outcome; what fails is in the ledger before anybody decides about it."""
        tenure = self._ours()
        try:
            # Nothing is sent before the intent is durable; this raises while the service is known to be down.
            if await tenure.intend(step.name, step.service, step.operation):
                await self._probe(tenure, step)
            if step.name in self._tried:
                # Minutes may have passed since the last try.
                await self._row.still_ours()
            self._tried.add(step.name)
            await self._row.enter(step)
            erasure = await self._call(tenure, step)
        except (LeaseLost, LedgerError, BreakerOpen, Kept, _RunStopped):
            raise
        except RetirementError as error:
            await tenure.fail(step.name, error.service if isinstance(error, ServiceError) else step.service, error)
            raise
        follow_up = self.site.connectors[step.service].policy(step.operation).follow_up
        given = Given(erasure.receipt, follow_up.first if follow_up else None) if erasure.receipt is not None else None
        await tenure.prove(step.name, erasure.outcome.value, given)
        return erasure.outcome

    async def _probe(self, tenure: Tenure, step: Step) -> None:
        """Asks a service that was down, by the operation's own harmless read, whether it is back.

        Whoever says no has answered: only the call itself can say something about the learner.
        """
        try:
            await self.site.connectors[step.service].probe(step.operation)
        except (NotFound, Refused):
            pass
        except ServiceError as error:
            if isinstance(error, Transient):
                await tenure.probed(step.service, answered=False, reason=str(error))
                raise BreakerOpen(step.service, error.request, error.status, "still down") from None
            await tenure.probed(step.service, answered=True, reason="it answered")
            raise
        await tenure.probed(step.service, answered=True, reason="it answered")

    async def _call(self, tenure: Tenure, step: Step) -> Erasure:
        connector = self.site.connectors[step.service]
        lane = self.site.forum_lane
        if is_forum := (step.service, step.operation) == ("LMS", _FORUM):
            await lane.enter(self.learner.user_id)
        self._stay_if_stopped(step)
        tenure.check()
        try:
            return await connector.perform(step.operation, self.learner)
        except RetirementError as error:
            if is_forum and isinstance(error, Busy):
                lane.narrow = True
            raise
        except Exception as error:  # noqa: BLE001 - whatever a connector does, only this learner may suffer
            raise Defect.at(error) from None

    def _stay_if_stopped(self, step: Step) -> None:
        if self.site.stop:
            raise _RunStopped(f"stayed before {step.name}, since the run stopped: {self.site.stop.reason}")

    async def close(self) -> Report:
        """Ends the run: COMPLETE, or where the failure says."""
        try:
            return await self._close()
        except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
            return await self._end(Ending.STRANDED, f"{Defect.at(error)}; the row stays in {self._row.state}")

    async def _close(self) -> Report:
        try:
            if self.failure is None:
                return await self._complete()
            return await self._close_with(self.failure)
        except Rescinded as error:
            return await self._end(Ending.RESCINDED, str(error))
        except (StateConflict, LeaseLost) as error:
            return await self._end(Ending.ELSEWHERE, str(error))
        except LedgerError as error:
            return await self._strand(error)
        except ServiceError as error:
            # The LMS does not take the last word. The row stays where it is, which claims less than was done.
            self.site.met(error, self.learner.user_id)
            # Only a waiting state is offered again; anything else is for the reconciler.
            if self._row.waits:
                return await self._end(Ending.PARKED, f"{self.failure or error}; the row stays in {self._row.state}")
            return await self._strand(error)

    async def _strand(self, error: RetirementError) -> Report:
        self.site.met(error, self.learner.user_id)
        first = self.failure or error
        return await self._end(Ending.STRANDED, f"{first}; the row stays in {self._row.state}: {error}")

    async def _complete(self) -> Report:
        self._ours().check()
        if self._held:
            await self._row.give_back(self._ours(), "Waiting: a registered hold keeps what is left.")
            return await self._end(Ending.HELD, f"kept by a hold: {', '.join(sorted(self._held))}")
        await self._row.end_in(COMPLETE, "Learner retirement complete.")
        return await self._end(Ending.RETIRED, "")

    async def _close_with(self, failure: RetirementError) -> Report:
        if isinstance(failure, Rescinded):
            return await self._end(Ending.RESCINDED, str(failure))
        if isinstance(failure, (StateConflict, LeaseLost)):
            return await self._end(Ending.ELSEWHERE, str(failure))
        if isinstance(failure, LedgerError):
            return await self._strand(failure)
        self._ours().check()
        if isinstance(failure, (Transient, Misconfigured, Kept, _RunStopped)):
            await self._row.give_back(self._ours(), GIVEN_BACK)
            return await self._end(self._given_back_as(failure), str(failure))
        await self._row.end_in(ERRORED, f"Stopped: {failure}")
        return await self._end(Ending.ERRORED, str(failure))

    def _given_back_as(self, failure: RetirementError) -> Ending:
        if isinstance(failure, Kept):
            return Ending.HELD
        # What only this learner has met stops nobody else.
        mine = isinstance(failure, Transient) or (isinstance(failure, Misconfigured) and not self.site.stop)
        return Ending.PARKED if mine else Ending.STOPPED

    async def abandon(self, error: RetirementError) -> Report:
        """Ends a run that could not even find where the learner is."""
        self.site.met(error, self.learner.user_id)
        if isinstance(error, (StateConflict, LeaseLost)):
            return await self._end(Ending.ELSEWHERE, str(error))
        return await self._end(Ending.STOPPED if self.site.stop else Ending.PARKED, str(error))

    def _ours(self) -> Tenure:
        if self._tenure is None:
            raise LeaseLost(f"learner {self.learner.user_id} was never leased")
        return self._tenure

    def _note_step(self, step: Step, result: str, seconds: float) -> StepReport:
        self._reports[step.name] = StepReport(step.name, result, seconds)
        return self._reports[step.name]

    async def _end(self, ending: Ending, reason: str) -> Report:
        self.site.forum_lane.leave(self.learner.user_id)
        permission.set(None)
        if self._tenure is not None:
            try:
                await self._tenure.end(ending.value, reason, self._row.state)
            except LedgerError as error:
                # What was done stands; the open run in the ledger is closed by the reconciler.
                self.site.met(error, self.learner.user_id)
        steps = tuple(self._reports[step.name] for step in self.site.pipeline if step.name in self._reports)
        return Report(self.learner.user_id, ending, reason, steps, self.site.clock() - self._began)


def _why_not(state: str, pipeline: Pipeline) -> str:
    if state in DEAD_ENDS:
        return f"the learner is {state}: `retirement redrive` brings them back"
    if any(step.start == state for step in pipeline):
        return f"the learner is in the working state {state}: `retirement reconcile` finds out whether anybody has them"
    return f"the pipeline does not know the state {state}"
