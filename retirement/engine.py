"""Retire one learner: run the steps in their order, keep the LMS row truthful, end somewhere sane.

Plain Python with no engine below it; `flows` wraps each step in a Prefect task and calls the same code.
Per step: LMS to the start state, the connector's call, LMS to the end state. A crash between any two
leaves the row in a state that says less than what was done, never more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from retirement.connectors import Outcome
from retirement.connectors.openedx import FORUM_COLLISION
from retirement.errors import (
    Defect,
    Interrupted,
    Misconfigured,
    Rescinded,
    RetirementError,
    ServiceError,
    StateConflict,
    Transient,
)
from retirement.learner import Learner
from retirement.pipeline import COMPLETE, DEAD_ENDS, ERRORED, PENDING, Pipeline, Step, Watermark
from retirement.site import Site, Stop

#: The step that renames the account, which ends the collision of old in-process forums.
_FORUM, _ACCOUNT = "retirement_retire_forum", "retirement_lms_retire"


class Ending(StrEnum):
    """Where one run left one learner."""

    RETIRED = "retired"  #: COMPLETE
    ERRORED = "errored"  #: a service refused; the LMS row says ERRORED
    PARKED = "parked"  #: given back to the queue unharmed
    ELSEWHERE = "held-elsewhere"  #: somebody else has the learner, or left them in a working state
    RESCINDED = "rescinded"  #: the learner took the request back
    STOPPED = "stopped"  #: given back because the whole run stopped
    STRANDED = "stranded"  #: the LMS could not be told, and the row stays in a working state


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step came to; `skipped` where an earlier run had finished it."""

    step: str
    result: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What one run did for one learner: nothing personal, so it may be stored and shown."""

    user_id: int
    ending: Ending
    reason: str
    steps: tuple[StepReport, ...]
    seconds: float


Result = TypeVar("Result")
Perform = Callable[[Step], Awaitable[StepReport]]


class _RunStopped(RetirementError):
    """The whole run stops, through no fault of this learner."""


class Passage:
    """One run of one learner through the pipeline."""

    def __init__(self, site: Site, learner: Learner) -> None:
        self.site = site
        self.learner = learner
        self.failure: RetirementError | None = None
        self._reports: dict[str, StepReport] = {}
        self._before: frozenset[str] = frozenset()
        self._outcomes: dict[str, Outcome] = {}
        self._began = site.clock()
        self._moving = asyncio.Lock()
        self._mark = Watermark(site.pipeline, learner.state, set())
        #: Where the row may stand as well, when the answer to a move was lost and the row could not be read.
        self._lost: str | None = None

    async def open(self) -> Report | None:
        """Reads the row and finds the place to go on from; a report where there is nothing to do."""
        row = await self.site.lms.refresh(self.learner)
        if row is None and self.learner.state != PENDING:
            return self._report(Ending.ELSEWHERE, f"the request that was in {self.learner.state} is gone from the LMS")
        if row is None:
            return self._report(Ending.RESCINDED, "the LMS has no retirement request of this learner any more")
        self.learner = row
        if row.state == COMPLETE:
            return self._report(Ending.RETIRED, "was COMPLETE already")
        finished = self.site.pipeline.finished_at(row.state)
        if finished is None:
            return self._report(Ending.ELSEWHERE, _why_not(row.state, self.site.pipeline))
        self._before = finished
        self._mark = Watermark(self.site.pipeline, row.state, set(finished))
        return None

    async def step(self, step: Step) -> StepReport:
        """Runs one step; may be called again after a `Transient`, and then does what is left of it."""
        if step.name in self._before:
            return self._note_step(step, "skipped", 0.0)
        self._stay_if_stopped(step)
        began = self.site.clock()
        if step.name not in self._outcomes:
            await self._enter(step)
            self._outcomes[step.name] = await self._call(step)
        outcome = self._outcomes[step.name]
        await self._leave(step, outcome)
        return self._note_step(step, outcome.value, self.site.clock() - began)

    async def close(self) -> Report:
        """Ends the run: COMPLETE, or where the failure says."""
        try:
            return await self._end()
        except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
            return self._report(Ending.STRANDED, f"{Defect.at(error)}; the row stays in {self._mark.state}")

    async def _end(self) -> Report:
        try:
            if self.failure is None:
                await self._move(COMPLETE, "Learner retirement complete.")
                return self._report(Ending.RETIRED, "")
            return await self._end_with(self.failure)
        except Rescinded as error:
            return self._report(Ending.RESCINDED, str(error))
        except StateConflict as error:
            return self._report(Ending.ELSEWHERE, str(error))
        except ServiceError as error:
            # The LMS does not take the last word. The row stays where it is, which claims less than was done.
            if isinstance(error, Misconfigured):
                self.site.stop.set(error)
            first = self.failure or error
            text = f"{first}; the row stays in {self._mark.state}: {error}"
            # Only a waiting state is offered again; anything else has to be redriven.
            waits = not self._lost and self.site.pipeline.finished_at(self._mark.state) is not None
            return self._report(Ending.PARKED if waits else Ending.STRANDED, text)

    async def _call(self, step: Step) -> Outcome:
        connector = self.site.connectors[step.service]
        lane = self.site.forum_lane
        if is_forum := (step.service, step.operation) == ("LMS", _FORUM):
            await lane.enter(self.learner.user_id)
            self._stay_if_stopped(step)
        try:
            return await connector.perform(step.operation, self.learner)
        except RetirementError as error:
            if is_forum and isinstance(error, Transient) and error.reason == FORUM_COLLISION:
                lane.narrow = True
            raise
        except Exception as error:  # noqa: BLE001 - whatever a connector does, only this learner may suffer
            raise Defect.at(error) from None

    def _stay_if_stopped(self, step: Step) -> None:
        if self.site.stop:
            raise _RunStopped(f"stayed before {step.name}, since the run stopped: {self.site.stop.reason}")

    async def _enter(self, step: Step) -> None:
        async with self._moving:
            if target := self._mark.before(step):
                await self._move(target, f"Starting: {target}")

    async def _leave(self, step: Step, outcome: Outcome) -> None:
        async with self._moving:
            if target := self._mark.after(step):
                await self._move(target, f"Ending: {step.name} with outcome: {outcome.value}")
        if (step.service, step.operation) == ("LMS", _ACCOUNT):
            self.site.forum_lane.leave(self.learner.user_id)

    async def _move(self, state: str, text: str, *, force: bool = False) -> None:
        if self._lost:
            await self._look()
        if state != self._mark.state:
            try:
                await self.site.lms.move(self.learner, state, text, since=self._mark.state, force=force)
            except Transient:
                self._lost = state
                raise
            self._mark.state = state

    async def _look(self) -> None:
        row = await self.site.lms.refresh(self.learner)
        if row is None or row.state not in (self._mark.state, self._lost):
            where = "gone" if row is None else f"in {row.state}"
            raise StateConflict(f"learner {self.learner.user_id} is {where}: somebody else has them")
        self._mark.state, self._lost = row.state, None

    async def _end_with(self, failure: RetirementError) -> Report:
        if isinstance(failure, Rescinded):
            return self._report(Ending.RESCINDED, str(failure))
        if isinstance(failure, StateConflict):
            return self._report(Ending.ELSEWHERE, str(failure))
        if isinstance(failure, (Transient, Misconfigured, _RunStopped)):
            text = "Given back to the queue; nothing is wrong with the learner."
            await self._move(self._mark.proved, text, force=True)
            ending = Ending.PARKED if isinstance(failure, Transient) else Ending.STOPPED
            return self._report(ending, str(failure))
        await self._move(ERRORED, f"Stopped: {failure}")
        return self._report(Ending.ERRORED, str(failure))

    def abandon(self, error: RetirementError) -> Report:
        """Ends a run that could not even read the learner's row."""
        if isinstance(error, Misconfigured):
            self.site.stop.set(error)
        return self._report(Ending.STOPPED if self.site.stop else Ending.PARKED, str(error))

    def _note_step(self, step: Step, result: str, seconds: float) -> StepReport:
        self._reports[step.name] = StepReport(step.name, result, seconds)
        return self._reports[step.name]

    def _report(self, ending: Ending, reason: str) -> Report:
        self.site.forum_lane.leave(self.learner.user_id)
        steps = tuple(self._reports[step.name] for step in self.site.pipeline if step.name in self._reports)
        return Report(self.learner.user_id, ending, reason, steps, self.site.clock() - self._began)


def _why_not(state: str, pipeline: Pipeline) -> str:
    if state in DEAD_ENDS:
        return f"the learner is {state}: redrive them first"
    if any(step.start == state for step in pipeline):
        return f"the learner is in the working state {state}: another run has them, or one died with them"
    return f"the pipeline does not know the state {state}"


async def carefully(work: Awaitable[Result], stop: Stop) -> Result:
    """Waits for work that is never cut off: a cancellation tells it to stop and lets it end what it has begun.

    A second cancellation is not waited for.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set(Interrupted("the run was told to stop"))
        await task
        raise


async def retire(site: Site, learner: Learner, perform: Callable[[Passage], Perform] | None = None) -> Report:
    """Takes one learner as far as it goes. Raises nothing that concerns only this learner.

    `perform` wraps the running of each step (a Prefect task); by default steps are simply run.
    """
    passage = Passage(site, learner)
    try:
        if report := await passage.open():
            return report
    except RetirementError as error:
        return passage.abandon(error)
    except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
        return passage.abandon(Defect.at(error))
    run = perform(passage) if perform else passage.step
    await _run_steps(site.pipeline, passage, run)
    return await passage.close()


async def _run_steps(pipeline: Pipeline, passage: Passage, run: Perform) -> None:
    """Starts each step when those it comes after have ended; none once one has failed."""
    ended = {step.name: asyncio.Event() for step in pipeline}

    async def when_ready(step: Step) -> None:
        for name in step.after:
            await ended[name].wait()
        try:
            if passage.failure is None:
                await run(step)
        except RetirementError as error:
            _note(passage, error)
        except Exception as error:  # noqa: BLE001 - whatever wraps a step, only this learner may suffer
            _note(passage, Defect.at(error))
        finally:
            ended[step.name].set()

    async with asyncio.TaskGroup() as group:
        for step in pipeline:
            group.create_task(when_ready(step))


def _note(passage: Passage, error: RetirementError) -> None:
    # Somebody else's learner is left alone, whatever failed before.
    if passage.failure is None or (isinstance(error, StateConflict) and not isinstance(passage.failure, StateConflict)):
        passage.failure = error
    if isinstance(error, Misconfigured):
        passage.site.stop.set(error)
