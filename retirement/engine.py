"""Retire one learner: run the steps in their order, and end somewhere sane.

Plain Python with no engine below it; `flows` wraps each step in a Prefect task and calls the same code.
What one step is, and where a learner ends, is `retirement.passage`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from retirement.endings import Report, StepReport
from retirement.errors import (
    Defect,
    Interrupted,
    LeaseLost,
    LedgerError,
    RetirementError,
    StateConflict,
    Transient,
)
from retirement.http import permission
from retirement.learner import Learner
from retirement.passage import Passage
from retirement.pipeline import Pipeline, Step
from retirement.site import Site, Stop

Result = TypeVar("Result")
Perform = Callable[[Step], Awaitable[StepReport]]


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
        try:
            if report := await passage.open():
                return report
        except RetirementError as error:
            return await passage.abandon(error)
        except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
            return await passage.abandon(Defect.at(error))
        run = perform(passage) if perform else passage.step
        await _run_steps(site.pipeline, passage, run)
        return await passage.close()
    finally:
        # A run that is broken off leaves its caller, who may go on with others, free of its lease.
        permission.set(None)


async def _run_steps(pipeline: Pipeline, passage: Passage, run: Perform) -> None:
    """Starts each step when those it comes after have ended.

    A service that is down keeps back only the steps that come after its own; any other failure keeps back all
    that have not started.
    """
    ended = {step.name: asyncio.Event() for step in pipeline}
    undone: set[str] = set()

    async def when_ready(step: Step) -> None:
        for name in step.after:
            await ended[name].wait()
        undone.add(step.name)
        try:
            if passage.failure is None or (_passes(passage.failure) and undone.isdisjoint(step.after)):
                await run(step)
                undone.remove(step.name)
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
    if passage.failure is None or _weight(error) > _weight(passage.failure):
        passage.failure = error
    passage.site.met(error, passage.learner.user_id)


def _weight(error: RetirementError) -> int:
    """Which of two failures decides: one that forbids to move the row, then one that does not pass by itself."""
    return 2 if _forbids(error) else 0 if _passes(error) else 1


def _passes(error: RetirementError) -> bool:
    """Whether it passes by itself, so that the steps of other services may go on meanwhile."""
    return isinstance(error, Transient)


def _forbids(error: RetirementError) -> bool:
    """Whether the row must not be moved any more."""
    return isinstance(error, (StateConflict, LeaseLost, LedgerError))
