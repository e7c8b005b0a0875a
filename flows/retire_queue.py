"""The queue: list who waits, hold when there are suspiciously many, retire a batch, one flow each.

Runs of learners are made in this process, as subflows of the queue run (docs/decisions/0003).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from prefect import State, flow
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows import rates
from flows.agreement import agreed
from flows.outlook import show_findings, show_forecast, show_services
from flows.redaction import redact_logs
from flows.retire_learner import Workshop, run_learner
from flows.secret_blocks import secret_block
from flows.stopping import put_away, stoppable
from retirement import reports
from retirement.config import Configuration
from retirement.endings import Ending, Report
from retirement.errors import Defect, Held, Interrupted, LeaseLost, RetirementError, StateConflict
from retirement.intake import Intake, take_in
from retirement.learner import Learner
from retirement.ledger import Lease
from retirement.reconciler import Finding, Verdict, reconcile
from retirement.site import ready

#: Seconds between two updates of the progress artifact.
PROGRESS_EVERY = 2.0


@dataclass
class QueueRun:
    """What a queue run has done so far; the command line looks at it while it runs."""

    depth: int = 0
    batch: int = 0
    reports: list[Report] = field(default_factory=list)
    flow_run_id: str = ""
    error: RetirementError | None = None
    mended: list[Finding] = field(default_factory=list)  #: what dead runs had left behind
    unreadable: list[str] = field(default_factory=list)  #: rows that the LMS lists and nobody can read
    asking: Callable[["QueueRun", Intake], None] | None = None  #: called before the run waits for a person


# Set by a caller in this process that wants to look on.
watched: ContextVar[QueueRun] = ContextVar("watched")


def _name_of_run() -> str:
    return f"queue-{datetime.now(UTC):%Y-%m-%d-%H-%M}"


@flow(name="retire-queue", flow_run_name=_name_of_run, persist_result=False)
async def retire_queue(
    limit: Annotated[int, Field(ge=1)] | None = None,
    cool_off_days: Annotated[int, Field(ge=0)] | None = None,
    config: str | None = None,
) -> State[Any]:
    """Retires the learners whose cool-off is over, at most `limit` of them, least time left first.

    `limit` and `cool_off_days` default to the configuration's. Where a guard finds the queue unusual nobody is
    called before a person has agreed.
    """
    redact_logs()
    run = watched.get(QueueRun())
    run.flow_run_id = str(_own_run().id)
    try:
        await stoppable(lambda: _run_queue(run, limit, cool_off_days, config))
    except Held as held:
        run.error = held
        return Cancelled(name="Held", message=str(held))
    except StateConflict as conflict:
        run.error = Held(str(conflict))
        return Cancelled(name="HeldElsewhere", message=str(conflict))
    except RetirementError as error:
        run.error = error
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        run.error = Defect.at(error)
    return _final_state(run)


async def _run_queue(run: QueueRun, limit: int | None, cool_off_days: int | None, path: str | None) -> None:
    async with ready(path, secret_block, rates.turn) as (configuration, site):
        days = configuration.cool_off_days if cool_off_days is None else cool_off_days
        lease = await site.ledger.lease("queue", what="the queue")
        try:
            # Whoever a dead run left in a working state is nobody's, and waits like everybody else from here on.
            run.mended = [finding async for finding in reconcile(site) if finding.verdict is not Verdict.BUSY]
            await show_findings(run.mended)
            intake = await take_in(site, configuration, days)
            run.depth, run.unreadable = intake.depth, list(intake.unreadable)
            await show_forecast(intake.forecast)
            most = configuration.queue.limit if limit is None else limit
            if intake.trips:
                if run.asking and configuration.guard.wait_hours:
                    run.asking(run, intake)
                asked = {learner.user_id for learner in intake.waiting}
                most = await agreed(site, configuration, intake, run.flow_run_id, most)
                # Hours may have passed; whoever came meanwhile was not asked about.
                intake = (await take_in(site, configuration, days)).only(asked)
            run.reports += [Report(user_id, Ending.HELD, why, (), 0.0) for user_id, why in intake.held.items()]
            batch = intake.batch(most)
            run.batch = len(batch)
            site.listed = {learner.user_id: learner for learner in batch}
            await _retire_all(Workshop(site, configuration.retry), configuration, batch, run, lease)
        finally:
            await site.ledger.release(lease)
        run.error = site.stop.reason


def _own_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("a queue run is a flow run")
    return context.flow_run


async def _retire_all(
    workshop: Workshop, configuration: Configuration, batch: Sequence[Learner], run: QueueRun, lease: Lease
) -> None:
    ledger = workshop.site.ledger
    await ledger.queue_began(run.flow_run_id, depth=run.depth, batch=len(batch))
    began = workshop.site.clock()
    progress = asyncio.create_task(_show_progress(run))
    waiting = iter(batch)

    async def lane() -> None:
        for learner in waiting:
            if workshop.site.stop:
                return
            try:
                ledger.check(lease)
            except LeaseLost as lost:
                workshop.site.stop.set(lost)
                return
            run.reports.append(await _retire_one(workshop, learner.user_id, run))

    lanes = asyncio.gather(*(lane() for _ in range(min(configuration.queue.at_once, len(batch)))))
    try:
        await put_away(lanes, workshop.site.stop)
    finally:
        progress.cancel()
        with suppress(asyncio.CancelledError):
            await progress
    counts = Counter(report.ending.value for report in run.reports)
    await ledger.queue_ended(run.flow_run_id, counts=dict(counts), seconds=workshop.site.clock() - began)
    await acreate_table_artifact(
        key="retirement-queue", table=reports.table(run.reports), description=reports.summary(run.reports)
    )
    await show_services(await ledger.breakers())


async def _retire_one(workshop: Workshop, user_id: int, run: QueueRun) -> Report:
    context = FlowRunContext.get()
    client = context.client if context else None
    if not isinstance(client, PrefectClient):
        raise TypeError("the flow runs on the asynchronous engine")
    try:
        report, _ = await run_learner(workshop, user_id, client, UUID(run.flow_run_id))
    except Exception as error:  # noqa: BLE001 - Prefect failed, not the learner; the others go on
        return Report(user_id, Ending.STRANDED, f"the flow run broke: {Defect.at(error)}", (), 0.0)
    return report or Report(user_id, Ending.STRANDED, "the flow run ended before the learner was through", (), 0.0)


async def _show_progress(run: QueueRun) -> None:
    """Keeps the progress artifact of the run up to date until it is cancelled."""
    artifact = await acreate_progress_artifact(0.0, key="retirement-progress", description=reports.summary([]))
    shown = 0
    while True:
        try:
            await asyncio.sleep(PROGRESS_EVERY)
        finally:
            if len(run.reports) != shown:
                shown = len(run.reports)
                percent = 100.0 * shown / max(run.batch, 1)
                await aupdate_progress_artifact(artifact, percent, description=reports.summary(run.reports))


def _final_state(run: QueueRun) -> State[Any]:
    summary = "; ".join([reports.summary(run.reports), *run.unreadable])
    if isinstance(run.error, Interrupted):
        # A run that is being cancelled may end in no other way.
        return Cancelled(name="Stopped", message=f"{run.error} ({summary})")
    if run.error:
        return Failed(name="Stopped", message=f"{run.error} ({summary})")
    if run.unreadable or reports.exit_code(run.reports) != reports.DONE:
        return Failed(name="SomeFailed", message=summary)
    return Completed(name="Retired", message=summary)
