"""One Prefect flow per learner; its task nodes are the steps of the pipeline.

The engine runs the steps; a task here gives each of them a name, the minutes of its retry and a named state.
Only the LMS user id crosses into Prefect: rows live in `Site.listed`, in memory.
"""

from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from prefect import State, Task
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import FlowRunCreate
from prefect.states import Cancelled, Completed, Failed

from retirement.errors import Ending, EngineLost, RetirementError
from retirement.flows.kit import rates
from retirement.flows.kit.below import run_below
from retirement.flows.kit.certificates import show_certificates, show_new
from retirement.flows.kit.choosing import Choosing, name_run, require_user_id, unknown
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.helping import WHAT_TO_DO, show_help
from retirement.flows.kit.loss import unless_lost
from retirement.flows.kit.names import OF_LEARNER
from retirement.flows.kit.parameters import AskFirst, BeforeCoolOff, Reason, UserId
from retirement.flows.kit.records import wait_for_records
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.step_runs import Around
from retirement.flows.kit.tags import tag_run
from retirement.flows.kit.tasks import QueueTasks
from retirement.learner import Learner
from retirement.pipeline.endings import Report
from retirement.privacy import known
from retirement.retire.engine import retire
from retirement.retire.preview import let_through
from retirement.site import Site, ready
from retirement.site.stopping import finish_or_stop
from retirement.site.watch import locate

#: The tasks of a queue run, for the runs of learners below it; a run of one learner makes its own.
shared: ContextVar[QueueTasks] = ContextVar("shared")


@door("retire-learner")
async def retire_learner(
    user_id: UserId = None,
    before_cool_off_is_over: BeforeCoolOff = None,
    ask_first: AskFirst = True,
) -> State[Any]:
    """Retires one learner through the configured pipeline.

    Without `user_id` the run asks in a form which learner is meant, by user id, username or e-mail address. Unless
    `ask_first` is off, it shows the learner and asks again. A learner whose cool-off is not over is left alone unless
    `before_cool_off_is_over` says why.
    """
    return await ending(lambda: _run(user_id, before_cool_off_is_over, ask_first=ask_first))


async def _run(user_id: int | None, early: Reason | None, *, ask_first: bool) -> State[Any]:
    if tasks := shared.get(None):
        # The queue has counted the days, and the command has asked.
        wanted = require_user_id(user_id)
        learner = await tasks.batch.learner(wanted) or await locate(tasks.site, wanted)
        return await _retire(tasks, learner) if learner else await _unknown(tasks.site, wanted)
    async with ready(served_path(), secret_block, rates.turn) as (configuration, site):
        batch, cool_off = site.batch(), timedelta(days=configuration.cool_off_days)
        choosing = Choosing(site, batch, cool_off, early)
        learner = await choosing.learner(user_id if ask_first else require_user_id(user_id))
        if learner is None:
            return await _unknown(site, user_id)
        if user_id is None:
            await name_run(learner.user_id)
        early = await choosing.confirmed(learner) if ask_first else early
        await let_through(site, learner, cool_off, early)
        return await _retire(QueueTasks(site, batch, configuration.retry), learner)


async def _unknown(site: Site, user_id: int | None) -> State[Any]:
    return Failed(name="Unknown", message=await unknown(site, user_id))


async def _retire(tasks: QueueTasks, learner: Learner) -> State[Any]:
    site, batch, user_id = tasks.site, tasks.batch, learner.user_id
    # Before anything is begun: it asks Prefect's server.
    around = await Around.here()
    tasks.under_way.add(user_id)
    try:
        with known(learner):
            work = retire(site, batch, learner, partial(tasks.runner, around=around))
            report = tasks.reports[user_id] = await finish_or_stop(work, batch.stop)
    finally:
        tasks.under_way.discard(user_id)
        around.log()
    await tag_run([report], site.pipeline)
    if report.ending is Ending.RETIRED:
        # One that is new needs no question to Prefect's server whether it has the like.
        await (show_new(site.ledger, user_id) if report.has_erased else show_certificates(site.ledger, [user_id]))
    if report.ending is Ending.ERRORED:
        await show_help(report)
    return final_state(report)


async def run_learner(
    tasks: QueueTasks, user_id: int, client: PrefectClient, queue_run: UUID | None = None
) -> tuple[Report | None, str]:
    """Makes a flow run for one learner in this process; its report (None: no such retirement) and its id.

    Under a queue run it is made as a subflow, in fewer requests than calling the flow would take.
    """
    wanted = FlowRunCreate(
        flow_id=await tasks.flow_id(client, retire_learner),
        flow_version=retire_learner.version,
        name=f"learner-{user_id}",
        parameters={"user_id": user_id},
        tags=[*OF_LEARNER],
        parent_task_run_id=await tasks.place(client, _place, queue_run) if queue_run else None,
    )
    token = shared.set(tasks)
    try:
        made = await run_below(retire_learner, wanted, lambda: retire_learner.fn(user_id))
    finally:
        shared.reset(token)
    return tasks.reports.get(user_id), str(made.id)


async def retire_by_id(user_id: int) -> tuple[Report | None, str, RetirementError | None]:
    """Retires one learner of the site that is ready in this process; the last is what stopped the run."""
    async with ready(None, secret_block, rates.turn) as (configuration, site), get_client() as client:
        tasks = QueueTasks(site, site.batch(), configuration.retry)
        try:
            run = run_learner(tasks, user_id, client)
            report, flow_run_id = await unless_lost(run, tasks.batch.stop, lambda: not tasks.under_way)
        except EngineLost as lost:
            return tasks.reports.get(user_id), "", lost
    await wait_for_records({"id": {"any_": [flow_run_id]}}, len(report.steps) if report else 0)
    return report, flow_run_id, tasks.batch.stop.reason


#: Stands for the learners' flow runs in the graph of the queue run.
_place: Task[..., Any] = Task(retire_learner.fn, name="retire-learner")


def final_state(report: Report) -> State[Any]:
    """The final state of a learner's flow run, by its ending."""
    name = report.ending.state
    if report.ending is Ending.RETIRED:
        return Completed(name=name, message=report.reason or None)
    if report.ending is Ending.ERRORED:
        return Failed(name=name, message=f"{report.reason}; {WHAT_TO_DO}")
    if report.ending in (Ending.STRANDED, Ending.UNPROVED):
        return Failed(name=name, message=report.reason)
    # Given back or left alone: neither done nor broken, so neither green nor red.
    return Cancelled(name=name, message=report.reason)
