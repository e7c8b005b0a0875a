"""`retirement retire-queue`: the queue's flow, the same that a deployment runs, in this process."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from retirement import reports
from retirement.cli.command import Call, code_of, command
from retirement.cli.engine import engine_of
from retirement.cli.findings import findings_table
from retirement.cli.output import console, errors, show_errors
from retirement.cli.secrets import secret_block
from retirement.cli.shown_reports import link, reports_table, run_lines
from retirement.errors import Defect, EngineLost, RetirementError
from retirement.flows.kit.server import PrefectServer, ends_with_us
from retirement.ledger import Asked
from retirement.pipeline.endings import Report
from retirement.queue.consent import how_to_answer
from retirement.reports import SOME_FAILED
from retirement.site import Stop, ready

if TYPE_CHECKING:
    from retirement.flows.retire_queue import QueueRun


@command()
async def retire_queue(
    call: Call,
    limit: Annotated[int | None, typer.Option(min=1, help="Learners at most; default queue.limit.")] = None,
    cool_off_days: Annotated[
        int | None, typer.Option(min=0, help="Days since the request; default cool_off_days.")
    ] = None,
) -> int:
    """Retire all learners whose cool-off is over, one flow each."""
    async with (
        ready(call.config, secret_block) as (configuration, _),
        engine_of(configuration) as engine,
    ):
        document, found, error = await queue_run(limit, cool_off_days, engine, show=not call.as_json)
        where = run_lines(engine, document["flow_run"])
    table = [] if call.as_json else [reports_table(found)]
    mended = ["looked at before the run:", findings_table(document["mended"])] if document["mended"] else []
    call.show(document, *table, *mended, f"{reports.summary(found)}; {document['seconds']} s", *where)
    show_errors(document["errors"])
    return code_of(error, SOME_FAILED if document["errors"] else reports.exit_code(found))


async def queue_run(
    limit: int | None, cool_off_days: int | None, engine: PrefectServer, *, show: bool
) -> tuple[dict[str, Any], list[Report], RetirementError | None]:
    """Runs the queue flow in this process, with a progress line, until its records are complete."""
    # Prefect reads its settings at import, and they are known since the server is up.
    from retirement.flows.retire_queue import QueueRun, watched
    from retirement.flows.retire_queue import retire_queue as flow

    state = QueueRun(asking=lambda run, asked: _say_that_it_waits(run, asked, engine))
    # Where the server ends with this command and no person sees its address, the question is left to the next run.
    state.waits = _is_watched() or not ends_with_us(engine)
    watched.set(state)
    began = time.monotonic()
    async with _progress_line(state, show):
        try:
            await _run(state, flow(limit, cool_off_days, return_state=True))
        except EngineLost as lost:  # before the run had begun, or after it had ended
            state.error = state.error or lost
    document = await _document(state, engine, seconds=time.monotonic() - began)
    return document, state.reports, state.error


async def _document(state: "QueueRun", engine: PrefectServer, *, seconds: float) -> dict[str, Any]:
    """What the command says of a run that has ended."""
    steps = sum(len(report.steps) for report in state.reports)
    return {
        "flow_run": state.flow_run_id,
        "ui": link(engine, state.flow_run_id),
        "depth": state.depth,
        "batch": state.batch,
        "question": state.question.id if state.question else None,
        "mended": [reports.finding(each) for each in state.mended],
        "outcomes": dict(Counter(report.ending.value for report in state.reports)),
        "seconds": round(seconds, 2),
        "records": await _records(state, steps),
        "learners": state.reports,
        "errors": _problems(state),
    }


def _problems(state: "QueueRun") -> list[str]:
    """What ended the run, which rows of the queue cannot be read, and which overdue learners it did not take."""
    return [*(str(state.error).splitlines() if state.error else []), *state.unreadable, *state.behind]


async def _run(state: "QueueRun", flow: Awaitable[Any]) -> None:
    """Awaits the flow. Where the engine is lost, Prefect would try for minutes to say how the run ended."""
    from retirement.flows.kit.loss import unless_lost, until_first

    run, through = asyncio.ensure_future(flow), asyncio.ensure_future(state.through.wait())

    async def ended() -> Any:
        if not await until_first(run, through) and not isinstance(state.error, EngineLost):
            return await until_first(run, asyncio.get_running_loop().create_future()) and run.result()
        return run.result() if run.done() else None

    try:
        final = await unless_lost(ended(), Stop(), lambda: state.through.is_set() or not state.flow_run_id)
    finally:
        through.cancel()
    if state.error is None and final.name not in ("Retired", "SomeFailed"):
        state.error = Defect(f"the flow of the queue ended as {final.name}; its run in Prefect says more")


async def _records(state: "QueueRun", steps: int) -> dict[str, int]:
    """How complete Prefect's records are; nothing is known of a server that is gone."""
    from retirement.flows.kit.records import of_queue_run, wait_for_records

    if isinstance(state.error, EngineLost):
        return {"flow_runs": 0, "task_runs": 0, "task_runs_lost": steps}
    return await wait_for_records(of_queue_run(state.flow_run_id), steps)


def _say_that_it_waits(run: "QueueRun", asked: Asked, engine: PrefectServer) -> None:
    """Without this a terminal would show nothing for hours, and not say where to answer."""
    if not run.waits:
        return  # the error says it
    for trip in asked.decision.trips:
        errors.print(trip)
    errors.print(
        f"no service is called before the answer to question {asked.id}: resume the run at "
        f"{link(engine, run.flow_run_id)}, or {how_to_answer(asked)}"
    )


def _is_watched() -> bool:
    """Whether a person sees what this command prints, or can."""
    return sys.stdin.isatty() or sys.stderr.isatty()


@asynccontextmanager
async def _progress_line(state: "QueueRun", show: bool) -> AsyncIterator[None]:
    """A line that says how far the run is, on a terminal and nowhere else."""
    if not show:
        yield
        return
    columns = (
        TextColumn("retiring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        line = progress.add_task("", total=None)

        async def follow() -> None:
            tally = reports.Tally()
            while True:
                summary = tally.summary(state.reports)
                progress.update(line, total=state.batch or None, completed=len(state.reports), description=summary)
                await asyncio.sleep(0.25)

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()
