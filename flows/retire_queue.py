"""The queue: list who waits, hold when there are suspiciously many, retire a batch, one flow each.

Runs of learners are made in this process, as subflows of the queue run (docs/decisions/0003).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from prefect import State, flow
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from prefect.client.orchestration import PrefectClient
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows.retire_learner import Workshop, run_learner
from flows.secret_blocks import secret_block
from retirement import reports
from retirement.config import Configuration
from retirement.engine import Ending, Report, carefully
from retirement.errors import Defect, Held, RetirementError
from retirement.learner import Learner
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
    unreadable: list[str] = field(default_factory=list)  #: rows that the LMS lists and nobody can read


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
    """Retires the learners whose cool-off is over, at most `limit` of them, oldest request first.

    `limit` and `cool_off_days` default to the configuration's. Above the configured threshold of waiting
    learners nothing is called.
    """
    return await _run_queue(watched.get(QueueRun()), limit, cool_off_days, config)


async def _run_queue(run: QueueRun, limit: int | None, cool_off_days: int | None, path: str | None) -> State[Any]:
    run.flow_run_id = _own_run_id()
    try:
        async with ready(path, secret_block) as (configuration, site):
            days = configuration.cool_off_days if cool_off_days is None else cool_off_days
            waiting = await site.lms.queue(site.pipeline.queue_states, days)
            run.unreadable = site.lms.unreadable
            run.depth = len(waiting) + len(run.unreadable)
            require_depth_below(configuration, run.depth)
            batch = waiting[: configuration.queue.limit if limit is None else limit]
            run.batch = len(batch)
            site.listed = {learner.user_id: learner for learner in batch}
            await _retire_all(Workshop(site, configuration.retry), configuration, batch, run)
            run.error = site.stop.reason
    except Held as held:
        run.error = held
        return Cancelled(name="Held", message=str(held))
    except RetirementError as error:
        run.error = error
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        run.error = Defect.at(error)
    return _final_state(run)


def require_depth_below(configuration: Configuration, depth: int) -> None:
    """The guard against a mass request: raises `Held` when more learners wait than a site calls normal."""
    if depth > (threshold := configuration.queue.threshold):
        raise Held(
            f"{depth} learners wait, more than the threshold of {threshold}: nothing was called; "
            "raise queue.threshold if that many requests are genuine"
        )


def _own_run() -> FlowRunContext:
    context = FlowRunContext.get()
    if context is None:
        raise RuntimeError("a queue run is a flow run")
    return context


def _own_run_id() -> str:
    flow_run = _own_run().flow_run
    return str(flow_run.id) if flow_run else ""


async def _retire_all(
    workshop: Workshop, configuration: Configuration, batch: Sequence[Learner], run: QueueRun
) -> None:
    progress = asyncio.create_task(_show_progress(run))
    waiting = iter(batch)

    async def lane() -> None:
        for learner in waiting:
            if workshop.site.stop:
                return
            run.reports.append(await _retire_one(workshop, learner.user_id, run))

    lanes = asyncio.gather(*(lane() for _ in range(min(configuration.queue.at_once, len(batch)))))
    try:
        await carefully(lanes, workshop.site.stop)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or not lanes.done() or lanes.cancelled():
            raise
        # Everybody is put away, and the run goes on to say so.
        task.uncancel()
    finally:
        progress.cancel()
        with suppress(asyncio.CancelledError):
            await progress
    await acreate_table_artifact(
        key="retirement-queue", table=reports.table(run.reports), description=reports.summary(run.reports)
    )


async def _retire_one(workshop: Workshop, user_id: int, run: QueueRun) -> Report:
    client = _own_run().client
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
    if run.error:
        return Failed(name="Stopped", message=f"{run.error} ({summary})")
    if run.unreadable or reports.exit_code(run.reports) != reports.DONE:
        return Failed(name="SomeFailed", message=summary)
    return Completed(name="Retired", message=summary)
