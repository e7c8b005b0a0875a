"""The queue: list who waits, hold when there are suspiciously many, retire a batch, one flow each.

Runs of learners are made in this process, as subflows of the queue run (docs/decisions/0003).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from prefect import State, get_run_logger
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from retirement import reports
from retirement.config import Configuration
from retirement.errors import Defect, Ending, EngineLost, LeaseLost, RetirementError, StateConflict
from retirement.flows.kit import rates
from retirement.flows.kit.approval import Asking
from retirement.flows.kit.artifacts import MOST_ROWS, page_of, show_findings, show_forecast, show_services, show_table
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.health import in_short
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.loss import unless_lost, until_it_answers
from retirement.flows.kit.parameters import CoolOffDays, Limit
from retirement.flows.kit.paused import unless_paused
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.tags import tag_run
from retirement.flows.kit.tasks import QueueTasks
from retirement.flows.kit.today import write_today
from retirement.flows.kit.tries import earlier_tries, ledger_id
from retirement.flows.retire_learner import run_learner
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.reconcile import reconcile
from retirement.followup.redrive import Choice, redrive
from retirement.learner import Learner
from retirement.ledger import Asked, Lease
from retirement.pipeline.endings import Report
from retirement.queue.forecast import Breach
from retirement.queue.intake import Intake, take_in
from retirement.queue.lanes import FIRST, Lanes
from retirement.queue.out_of_reach import breaches, left_behind
from retirement.site import Batch, Site, Stop, ready
from retirement.site.stopping import collect, finish_or_stop
from retirement.site.watch import Watched, watch
from retirement.wire.pace import Paces

#: Seconds between two updates of the progress artifact.
PROGRESS_EVERY = 2.0

log = logging.getLogger(__name__)


@dataclass
class QueueRun:
    """What a queue run has done so far; the command line looks at it while it runs."""

    depth: int = 0
    batch: int = 0
    reports: list[Report] = field(default_factory=list)
    pages: dict[int, str] = field(default_factory=dict)  #: of the learners' runs in the UI
    flow_run_id: str = ""
    ledger_id: str = ""  #: of this try; the run may have been tried before
    before: str = ""  #: what the tries before this one came to
    error: RetirementError | None = None
    mended: list[Finding] = field(default_factory=list)  #: what dead runs had left behind
    unreadable: list[str] = field(default_factory=list)  #: rows that the LMS lists and that cannot be read
    out_of_reach: list[Breach] = field(default_factory=list)  #: learners that no run takes
    behind: list[str] = field(default_factory=list)  #: sentences about learners who are overdue and were not taken
    question: Asked | None = None  #: what it asks a person
    asking: Callable[["QueueRun", Asked], None] | None = None  #: called with the question, before the run waits
    waits: bool = True  #: for an answer to its question; else the question is left to the next run
    began: float = 0.0  #: by the site's clock
    tasks: QueueTasks | None = None  #: once learners are begun
    through: asyncio.Event = field(default_factory=asyncio.Event)  #: set once nothing changes any more

    @property
    def summary(self) -> str:
        """The endings and how often each came, and the rows that cannot be read."""
        before = [f"before it was tried again: {self.before}"] if self.before else []
        return "; ".join([reports.summary(self.reports), *self.unreadable, *self.behind, *before])

    def asked(self, question: Asked) -> None:
        """Keeps the question, and tells a caller that looks on."""
        self.question = question
        if self.asking:
            self.asking(self, question)

    async def broke_off(self, error: RetirementError) -> str:
        """Keeps the error that ended the run; the summary of what it had done before, "" for nothing."""
        self.error = error
        self.through.set()
        return self.summary if self.reports or self.unreadable or self.before else ""


# Set by a caller in this process that wants to look on.
watched: ContextVar[QueueRun] = ContextVar("watched")


@door("retire-queue")
async def retire_queue(
    limit: Limit = None,
    cool_off_days: CoolOffDays = None,
) -> State[Any]:
    """Retires the learners whose cool-off is over, at most `limit` of them, least time left first.

    `limit` and `cool_off_days` default to the configuration's. Where a guard finds the queue unusual no service is
    called before a person has agreed.
    """
    run = watched.get(QueueRun())
    run.flow_run_id, run.ledger_id = str(_own_run().id), ledger_id(_own_run())
    work = partial(_run_queue, run, limit, cool_off_days)
    # A command that no person watches is a scheduled run too: cron has started it.
    return await ending(lambda: unless_paused("queue", work, unattended=not run.waits), run.broke_off)


async def _run_queue(run: QueueRun, limit: int | None, cool_off_days: int | None) -> State[Any]:
    async with ready(served_path(), secret_block, rates.turn) as (configuration, site):
        days = configuration.cool_off_days if cool_off_days is None else cool_off_days
        most = configuration.queue.limit if limit is None else limit
        batch, lease = site.batch(), await site.ledger.leases.take("queue", what="the queue")

        async def work() -> None:
            unfinished = await watch(site)
            await _mend(site, batch.stop, run, unfinished)
            await _take_up(site, batch.stop, run)
            run.out_of_reach = await breaches(site, batch, unfinished)
            batch.learners = await _taken_in(site, batch, configuration, run, days, most)
            unfinished = unfinished.without(batch.learners)  # each of them gets a report
            run.tasks = QueueTasks(site, batch, configuration.retry, attempt=_own_run().run_count)
            await _retire_all(run.tasks, configuration, run, lease)
            if not batch.stop:
                run.behind = await left_behind(site, batch, unfinished, {each.user_id for each in run.reports})
                await write_today(site, configuration)
                await keep_up(site.ledger)

        try:
            await unless_lost(work(), batch.stop, lambda: not (run.tasks and run.tasks.under_way))
        except EngineLost:
            await _keep_what_is_known(run)
            raise
        finally:
            await site.ledger.leases.release(lease)
    if batch.stop.reason:
        raise batch.stop.reason
    run.through.set()
    return _final_state(run)


def _final_state(run: QueueRun) -> State[Any]:
    if run.unreadable or run.behind or reports.exit_code(run.reports) != reports.DONE:
        return Failed(name="SomeFailed", message=run.summary)
    return Completed(name="Retired", message=run.summary)


async def _keep_what_is_known(run: QueueRun) -> None:
    """The reports of learners whose runs Prefect could not end, and the count of the run in the ledger."""
    if run.tasks is None:
        return
    known = {report.user_id for report in run.reports}
    run.reports += [report for user_id, report in run.tasks.reports.items() if user_id not in known]
    counts = Counter(report.ending.value for report in run.reports)
    seconds = run.tasks.site.clock() - run.began
    with suppress(StateConflict):  # it was lost before the first learner
        await run.tasks.site.ledger.queue_runs.end(run.ledger_id, counts=dict(counts), seconds=seconds)


async def _mend(site: Site, stop: Stop, run: QueueRun, unfinished: Watched) -> None:
    """A learner that a dead run left in a working state waits like all others from here on."""
    found: list[Finding] = Noted(reports.finding)
    try:
        await finish_or_stop(collect(found, reconcile(site, watched=unfinished), stop), stop)
    finally:
        run.mended = [finding for finding in found if finding.verdict is not Verdict.BUSY]
        await show_findings(run.mended)


async def _take_up(site: Site, stop: Stop, run: QueueRun) -> None:
    """A run that is tried again brings those back who were ERRORED in it."""
    earlier = await earlier_tries(_client(), _own_run())
    if earlier is None:
        return
    run.before = earlier.message
    if not earlier.errored:
        return
    found: list[Finding] = Noted(reports.finding)
    choice = Choice(user_ids=earlier.errored)
    await finish_or_stop(collect(found, redrive(site, choice, limit=len(earlier.errored)), stop), stop)
    run.mended += found
    await show_findings(found)


async def _taken_in(
    site: Site, batch: Batch, configuration: Configuration, run: QueueRun, days: int, most: int
) -> dict[int, Learner]:
    """The learners of this run by user id; nothing else keeps their rows. Those whom a hold keeps have their report."""
    intake, taken = await _agreed(site, batch, configuration, run, days, most)
    run.reports += [Report(user_id, Ending.HELD, why, (), 0.0) for user_id, why in intake.held.items()]
    run.batch = len(taken)
    return {learner.user_id: learner for learner in taken}


async def _agreed(
    site: Site, batch: Batch, configuration: Configuration, run: QueueRun, days: int, most: int
) -> tuple[Intake, list[Learner]]:
    """Who waits, and whom the run takes: where a guard trips, those of a person's yes."""
    intake = await take_in(site, batch, configuration, days)
    run.depth, run.unreadable = intake.depth, list(intake.unreadable)
    get_run_logger().info("%d learners wait; this run takes at most %d", intake.depth, most)
    await show_forecast(intake.forecast, run.out_of_reach)
    if not (intake.trips and intake.waiting):
        return intake, intake.batch(most)
    asking = Asking(site, configuration, run.flow_run_id, run.asked, waits=run.waits)
    consent = await asking.consent(intake, most)
    # Hours may have passed; learners who came meanwhile were not asked about.
    intake = (await take_in(site, batch, configuration, days)).only(consent.user_ids)
    return intake, consent.batch(intake, most)


def _own_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a queue run is a flow run")
    return context.flow_run


def _client() -> PrefectClient:
    context = FlowRunContext.get()
    client = context.client if context else None
    if not isinstance(client, PrefectClient):
        raise TypeError("the flow runs on the asynchronous engine")
    return client


async def _retire_all(tasks: QueueTasks, configuration: Configuration, run: QueueRun, lease: Lease) -> None:
    ledger, stop = tasks.site.ledger, tasks.batch.stop
    await ledger.queue_runs.begin(run.ledger_id, depth=run.depth, batch=run.batch)
    run.began = tasks.site.clock()
    progress = asyncio.create_task(_show_progress(run))

    async def work(user_id: int) -> bool:
        if stop:
            return False
        try:
            ledger.leases.check(lease)
        except LeaseLost as lost:
            stop.set(lost)
            return False
        report = await _retire_one(tasks, user_id, run)
        _through(tasks, run, report)
        get_run_logger().info("learner %d: %s %s", user_id, report.ending.value, report.reason)
        return True

    lanes = _lanes(configuration, tasks.site.paces, run.batch)
    try:
        await finish_or_stop(lanes.take(list(tasks.batch.learners), work), stop)
    finally:
        progress.cancel()
        with suppress(asyncio.CancelledError):
            await progress
    await tasks.leave(_client())
    if paces := tasks.site.paces:
        get_run_logger().info("at most %d learners at a time; requests at a time: %s", lanes.widest, paces)
    counts = Counter(report.ending.value for report in run.reports)
    await ledger.queue_runs.end(run.ledger_id, counts=dict(counts), seconds=tasks.site.clock() - run.began)
    rows = reports.table(run.reports, run.pages, MOST_ROWS)
    await show_table("retirement-queue", rows, reports.summary(run.reports), of=len(run.reports))
    await show_services(await ledger.breakers.down())
    await tag_run(run.reports, tasks.site.pipeline)


def _through(tasks: QueueTasks, run: QueueRun, report: Report) -> None:
    """Keeps the report of a learner, and not the row any more."""
    run.reports.append(report)
    tasks.batch.let_go(report.user_id)


def _lanes(configuration: Configuration, paces: Paces | None, learners: int) -> Lanes:
    most = min(configuration.queue.most_at_once, learners)
    return Lanes(most, most) if paces is None else Lanes(FIRST, most, lambda: paces.waiting)


async def _retire_one(tasks: QueueTasks, user_id: int, run: QueueRun) -> Report:
    try:
        report, made = await run_learner(tasks, user_id, _client(), UUID(run.flow_run_id))
    except Exception as error:  # noqa: BLE001 - Prefect failed, not the learner; the others go on
        if report := tasks.reports.get(user_id):
            return report
        if await until_it_answers():
            return Report(user_id, Ending.STOPPED, "Prefect's server was away; nothing was called", (), 0.0)
        return Report(user_id, Ending.STRANDED, f"the flow run broke: {Defect.at(error)}", (), 0.0)
    if page := page_of(made):
        run.pages[user_id] = page
    return report or Report(user_id, Ending.STRANDED, "the flow run ended before the learner was through", (), 0.0)


async def _show_progress(run: QueueRun) -> None:
    """Keeps the progress artifact of the run up to date until it is cancelled, or Prefect's server does not take it."""
    try:
        await _update_progress(run)
    except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises; no run ends for its progress bar
        log.warning("Prefect's server does not take the progress of the run: %s", in_short(error))


async def _update_progress(run: QueueRun) -> None:
    artifact = await acreate_progress_artifact(0.0, key="retirement-progress", description=reports.summary([]))
    shown, tally = 0, reports.Tally()
    while True:
        try:
            await asyncio.sleep(PROGRESS_EVERY)
        finally:
            if len(run.reports) != shown:
                shown = len(run.reports)
                percent = 100.0 * shown / max(run.batch, 1)
                await aupdate_progress_artifact(artifact, percent, description=tally.summary(run.reports))
