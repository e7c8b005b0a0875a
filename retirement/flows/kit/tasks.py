"""The steps of a pipeline as Prefect tasks: a name, a named state, and a retry minutes later.

The engine runs the steps; a task shows one of them and runs it again. What a step raised stays in this process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect import Flow, State, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, Failed

from retirement.config import RetrySettings
from retirement.errors import RetirementError
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
        self.tasks: dict[str, Task[[str], Coroutine[Any, Any, State[Any]]]] = {
            step.name: run_step.with_options(
                name=step.name,
                task_run_name=step.name,
                description=f"{step.service}: {step.operation}",
                retries=retry.task_retries,
                retry_delay_seconds=retry.task_delay_seconds,
                retry_condition_fn=_is_repeated,
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

        Prefect draws each run below it as a node of the queue run's graph. Its own state is the last that any learner
        has come to, until `leave`.
        """
        if self._place is None or (self._place.done() and self._place.exception()):
            made = client.create_task_run(task, queue_run, str(self.attempt), name=task.name)
            self._place = asyncio.ensure_future(made)
        return (await asyncio.shield(self._place)).id

    async def leave(self, client: PrefectClient) -> None:
        """Ends the place of the learners, when all of them are through."""
        if self._place is not None:
            await client.set_task_run_state((await self._place).id, Completed(name="Ended"), force=True)

    def runner(self, run: LearnerRun) -> Perform:
        """What runs the steps of one learner, in the flow run that this is called in."""
        runner = TaskRunner(self, run)
        _runner.set(runner)
        return runner.perform


@dataclass
class TaskRunner:
    """Runs the steps of one learner as tasks. What a step raised stays here, out of Prefect's hands."""

    queue: QueueTasks
    run: LearnerRun
    states: dict[str, State[Any]] = field(default_factory=dict)
    reports: dict[str, StepReport] = field(default_factory=dict)
    errors: dict[str, RetirementError] = field(default_factory=dict)

    async def perform(self, step: Step) -> StepReport:
        """Runs one step as a task that comes after the tasks of the steps before it."""
        before = [self.states[name] for name in step.after]
        task: Callable[..., Awaitable[State[Any]]] = self.queue.tasks[step.name]
        self.states[step.name] = await task(step.name, return_state=True, wait_for=before)
        if error := self.errors.get(step.name):
            raise error
        return self.reports[step.name]


_runner: ContextVar[TaskRunner] = ContextVar("runner")


@task(cache_policy=NO_CACHE, persist_result=False)
async def run_step(name: str) -> State[Any]:
    """Runs one step of the learner whose flow this is."""
    runner = _runner.get()
    runner.errors.pop(name, None)
    try:
        report = await runner.run.step(runner.queue.site.pipeline.step(name))
    except RetirementError as error:
        runner.errors[name] = error
        # Returned, not raised: Prefect would log a traceback, and there is nothing to debug.
        return Failed(name=type(error).__name__, message=str(error))
    runner.reports[name] = report
    return Completed(name=report.result.capitalize())


def _is_repeated(_task: Task[..., Any], _run: TaskRun, _state: State[Any]) -> bool:
    runner = _runner.get()
    error = runner.errors.get(_task.name)
    # A retry that would not be made is not waited for.
    return error is not None and error.consequence.is_repeated and not runner.queue.batch.stop
