"""The steps of a pipeline as Prefect tasks: a name, a named state, and a retry minutes later.

The engine runs the steps; a task run shows one of them and runs it again.
"""

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

from prefect import Flow, Task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, Running

from retirement.config import RetrySettings
from retirement.errors import RetirementError
from retirement.flows.kit.outbox import outbox
from retirement.flows.kit.step_runs import Around, StepRun
from retirement.pipeline import Step
from retirement.pipeline.endings import Report, StepReport
from retirement.retire.engine import Perform
from retirement.retire.learner_run import LearnerRun
from retirement.site import Batch, Site


class QueueTasks:
    """A site and the Prefect tasks made of its steps, once for all learners of a run, with their reports."""

    def __init__(self, site: Site, batch: Batch, retry: RetrySettings, *, attempt: int = 1) -> None:
        """`attempt` counts the tries of the run: a learner has a place of its own in each."""
        self.site = site
        self.batch = batch
        self.attempt = attempt
        self.reports: dict[int, Report] = {}
        #: Learners whose run has begun here and has no report yet.
        self.under_way: set[int] = set()
        self.tasks: dict[str, Task[..., Any]] = {
            step.name: Task(
                LearnerRun.step,
                name=step.name,
                retries=retry.task_retries,
                retry_delay_seconds=retry.task_delay_seconds,
                persist_result=False,
            )
            for step in site.pipeline
        }
        self._flow_id: UUID | None = None
        self._place: asyncio.Task[TaskRun] | None = None

    async def flow_id(self, client: PrefectClient, flow: Flow[Any, Any]) -> UUID:
        """Prefect's id of the flow of one learner, asked for once and not for every learner."""
        self._flow_id = self._flow_id or await client.create_flow(flow)
        return self._flow_id

    async def place(self, client: PrefectClient, task: Task[..., Any], queue_run: UUID) -> UUID:
        """The task run of the queue run below which the runs of all its learners are, made by the first of them.

        Prefect draws each run below it as a node of the queue run's graph. It is Running until `leave`; an operator's
        own server gives it the last state that any learner has come to meanwhile.
        """
        if (place := self._made) is None:
            made = client.create_task_run(task, queue_run, str(self.attempt), name=task.name, state=Running())
            place = self._place = asyncio.ensure_future(made)
        return (await asyncio.shield(place)).id

    async def leave(self, client: PrefectClient) -> None:
        """Ends the place of the learners, when all of them are through; one that could not be made has no end."""
        if place := self._made:
            await client.set_task_run_state((await place).id, Completed(name="Ended"), force=True)

    @property
    def _made(self) -> asyncio.Task[TaskRun] | None:
        """The request that makes the place, None where none was sent or the server did not do it."""
        failed = self._place is not None and self._place.done() and self._place.exception()
        return None if failed else self._place

    def runner(self, run: LearnerRun, around: Around) -> Perform:
        """What runs the steps of one learner, whose flow run is `around` them."""
        return TaskRunner(self, run, around).perform


class TaskRunner:
    """Runs the steps of one learner as task runs."""

    def __init__(self, queue: QueueTasks, run: LearnerRun, around: Around) -> None:
        self._queue, self._run, self._around = queue, run, around
        self._steps: dict[str, StepRun] = {}

    async def perform(self, step: Step) -> StepReport:
        """Runs one step as a task run that comes after those of the steps before it."""
        before = [self._steps[name] for name in step.after]
        number = len(self._steps)
        shown = StepRun(self._queue.tasks[step.name], self._around, number, before, outbox.put)
        self._steps[step.name] = shown
        return await shown.of(partial(self._run.step, step), self._is_repeated)

    def _is_repeated(self, error: RetirementError) -> bool:
        # A retry that would not be made is not waited for.
        return error.consequence.is_repeated and not self._queue.batch.stop
