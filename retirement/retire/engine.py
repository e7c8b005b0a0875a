"""Retire one learner: run the steps in their order, and end somewhere sane.

Plain Python with no engine below it; `flows` wraps each step in a Prefect task and calls the same code.
What one step is, and where a learner ends, is `retirement.retire.learner_run`; `opening` begins the run.
"""

import asyncio
from collections.abc import Awaitable, Callable

from retirement.errors import RetirementError, as_ours
from retirement.learner import Learner
from retirement.pipeline import Step
from retirement.pipeline.endings import Report, StepReport
from retirement.retire.learner_run import LearnerRun
from retirement.retire.opening import open_run
from retirement.site import Batch, Site
from retirement.wire.patience import permitted

Perform = Callable[[Step], Awaitable[StepReport]]


async def retire(
    site: Site, batch: Batch, learner: Learner, perform: Callable[[LearnerRun], Perform] | None = None
) -> Report:
    """Takes one learner as far as it goes. Raises nothing that concerns only this learner.

    `perform` wraps the running of each step (a Prefect task); by default steps are simply run.
    """
    run = await open_run(site, batch, learner)
    if isinstance(run, Report):
        return run
    with permitted(run.lease.check):
        await _run_steps(run, perform(run) if perform else run.step)
        return await run.close()


async def _run_steps(run: LearnerRun, perform: Perform) -> None:
    """Starts each step when those it comes after have ended.

    A service that is down keeps back only the steps that come after its own; any other failure keeps back all
    that have not started.
    """
    pipeline = run.site.pipeline
    ended = {step.name: asyncio.Event() for step in pipeline}
    undone: set[str] = set()

    async def when_ready(step: Step) -> None:
        for name in step.after:
            await ended[name].wait()
        undone.add(step.name)
        try:
            failure = run.failure
            if failure is None or (failure.consequence.passes and undone.isdisjoint(step.after)):
                await perform(step)
                undone.remove(step.name)
        except Exception as error:  # noqa: BLE001 - whatever wraps a step, only this learner may suffer
            _note(run, step, as_ours(error))
        finally:
            ended[step.name].set()

    async with asyncio.TaskGroup() as group:
        for step in pipeline:
            group.create_task(when_ready(step))


def _note(run: LearnerRun, step: Step, error: RetirementError) -> None:
    if run.failure is None or error.consequence.weight > run.failure.consequence.weight:
        run.failure, run.failed_step = error, step.name
    run.batch.note_failure(error, run.learner.user_id)
