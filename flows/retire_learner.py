"""One Prefect flow per learner; its task nodes are the steps of the pipeline.

The engine runs the steps; a task here gives each of them a name, the minutes of its retry and a named state.
Only the LMS user id crosses into Prefect: rows live in `Site.listed`, in memory.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect import State, Task, flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.flow_engine import run_flow_async
from prefect.states import Cancelled, Completed, Failed, Pending, to_state_create

from flows import rates
from flows.records import settled
from flows.redaction import known, redact_logs
from flows.secret_blocks import secret_block
from flows.stopping import put_away, stoppable
from retirement.certificate import certificate_of, markdown
from retirement.config import RetrySettings
from retirement.endings import Ending, Report, StepReport
from retirement.engine import Perform, retire
from retirement.errors import BreakerOpen, Defect, Interrupted, RetirementError, Transient
from retirement.ledger.extract import extract
from retirement.passage import Passage
from retirement.pipeline import Step
from retirement.site import Site, ready

#: What the learners of one queue run share; a run of one learner opens its own.
shared: ContextVar["Workshop"] = ContextVar("workshop")


class Workshop:
    """A site and the Prefect tasks made of its steps, once for all learners."""

    def __init__(self, site: Site, retry: RetrySettings) -> None:
        self.site = site
        self.reports: dict[int, Report] = {}
        self.tasks: dict[str, Task[[str], Coroutine[Any, Any, State[Any]]]] = {
            step.name: run_step.with_options(
                name=step.name,
                task_run_name=step.name,
                description=f"{step.service}: {step.operation}",
                retries=retry.task_retries,
                retry_delay_seconds=retry.task_delay_seconds,
                retry_condition_fn=_is_transient,
            )
            for step in site.pipeline
        }
        self._flow_id: UUID | None = None

    async def flow_id(self, client: PrefectClient) -> UUID:
        """Prefect's id of the flow, asked for once and not for every learner."""
        self._flow_id = self._flow_id or await client.create_flow(retire_learner)
        return self._flow_id


@dataclass
class Walk:
    """One learner on their way through the tasks. What a step raised stays here, out of Prefect's hands."""

    workshop: Workshop
    passage: Passage
    states: dict[str, State[Any]] = field(default_factory=dict)
    reports: dict[str, StepReport] = field(default_factory=dict)
    errors: dict[str, RetirementError] = field(default_factory=dict)

    async def perform(self, step: Step) -> StepReport:
        """Runs one step as a task that comes after the tasks of the steps before it."""
        before = [self.states[name] for name in step.after]
        run: Callable[..., Awaitable[State[Any]]] = self.workshop.tasks[step.name]
        self.states[step.name] = await run(step.name, return_state=True, wait_for=before)
        if error := self.errors.get(step.name):
            raise error
        return self.reports[step.name]


_walk: ContextVar[Walk] = ContextVar("walk")


@task(cache_policy=NO_CACHE, persist_result=False)
async def run_step(name: str) -> State[Any]:
    """Runs one step of the learner whose flow this is."""
    walk = _walk.get()
    walk.errors.pop(name, None)
    try:
        report = await walk.passage.step(walk.workshop.site.pipeline.step(name))
    except RetirementError as error:
        walk.errors[name] = error
        # Returned, not raised: Prefect would log a traceback, and there is nothing to debug.
        return Failed(name=type(error).__name__, message=str(error))
    walk.reports[name] = report
    return Completed(name=report.result.capitalize())


def _is_transient(_task: Task[..., Any], _run: TaskRun, _state: State[Any]) -> bool:
    walk = _walk.get()
    error = walk.errors.get(_task.name)
    # Nobody waits minutes for a retry that would not be made.
    return isinstance(error, Transient) and not isinstance(error, BreakerOpen) and not walk.workshop.site.stop


def _walking(workshop: Workshop, passage: Passage) -> Perform:
    walk = Walk(workshop, passage)
    _walk.set(walk)
    return walk.perform


@flow(name="retire-learner", flow_run_name="learner-{user_id}", persist_result=False)
async def retire_learner(user_id: int, config: str | None = None) -> State[Any]:
    """Retires one learner, named by LMS user id, through the configured pipeline.

    `config` is the configuration file; by default RETIREMENT_CONFIG, else retirement.yaml.
    """
    redact_logs()
    try:
        return await stoppable(lambda: _retire_in_workshop(user_id, config))
    except Interrupted as error:
        return Cancelled(name="Stopped", message=str(error))
    except RetirementError as error:
        return Failed(name=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name the learner
        return Failed(name="Defect", message=str(Defect.at(error)))


async def _retire_in_workshop(user_id: int, config: str | None) -> State[Any]:
    async with _workshop(config) as workshop:
        return await _retire(workshop, user_id)


async def _retire(workshop: Workshop, user_id: int) -> State[Any]:
    site = workshop.site
    learner = await site.learner(user_id)
    if learner is None:
        return Cancelled(name="Rescinded", message=f"the LMS has no retirement of learner {user_id}")
    with known(learner):
        work = retire(site, learner, lambda passage: _walking(workshop, passage))
        report = await put_away(work, site.stop)
    workshop.reports[user_id] = report
    if report.ending is Ending.RETIRED:
        await _certify(site, user_id)
    return _final_state(report)


async def _certify(site: Site, user_id: int) -> None:
    """The certificate as it stands at the end of the run; `retirement certificate` gives it as it is later."""
    certificate = certificate_of(await extract(site.ledger, user_id))
    await acreate_markdown_artifact(markdown(certificate), key=f"certificate-{user_id}")


async def run_learner(
    workshop: Workshop, user_id: int, client: PrefectClient, queue_run: UUID | None = None
) -> tuple[Report | None, str]:
    """Makes a flow run for one learner in this process; its report (None: no such retirement) and its id.

    Under a queue run it is made as a subflow, in fewer requests than calling the flow would take.
    """
    name, parameters = f"learner-{user_id}", {"user_id": user_id}
    place = await client.create_task_run(_place, queue_run, str(user_id), name=name) if queue_run else None
    wanted = FlowRunCreate(
        flow_id=await workshop.flow_id(client),
        name=name,
        parameters=parameters,
        tags=[f"queue:{queue_run}"] if queue_run else [],
        parent_task_run_id=place.id if place else None,
        state=to_state_create(Pending()),
    )
    answer = await client.request("POST", "/flow_runs/", json=wanted.model_dump(mode="json", exclude_unset=True))
    flow_run = FlowRun.model_validate(answer.json())
    token = shared.set(workshop)
    try:
        await run_flow_async(_named, flow_run=flow_run, parameters={**parameters, "config": None}, return_type="state")
    finally:
        shared.reset(token)
    return workshop.reports.get(user_id), str(flow_run.id)


async def retire_by_id(user_id: int) -> tuple[Report | None, str]:
    """Retires one learner of the site that is ready in this process."""
    async with ready(None, secret_block, rates.turn) as (configuration, site), get_client() as client:
        report, flow_run_id = await run_learner(Workshop(site, configuration.retry), user_id, client)
    await settled({"id": {"any_": [flow_run_id]}}, len(report.steps) if report else 0)
    return report, flow_run_id


@asynccontextmanager
async def _workshop(path: str | None) -> AsyncIterator[Workshop]:
    if workshop := shared.get(None):
        yield workshop
        return
    async with ready(path, secret_block, rates.turn) as (configuration, site):
        yield Workshop(site, configuration.retry)


#: Stands for a learner's flow run in the graph of the queue run.
_place: Task[..., Any] = Task(retire_learner.fn, name="retire-learner")

#: The same flow for runs that are created with their name: setting it again would cost a request.
_named = retire_learner.with_options()
_named.flow_run_name = None


def _final_state(report: Report) -> State[Any]:
    name = "".join(word.capitalize() for word in report.ending.value.split("-"))
    if report.ending is Ending.RETIRED:
        return Completed(name=name, message=report.reason or None)
    if report.ending in (Ending.ERRORED, Ending.STRANDED):
        return Failed(name=name, message=report.reason)
    # Given back or left alone: neither done nor broken, so neither green nor red.
    return Cancelled(name=name, message=report.reason)
