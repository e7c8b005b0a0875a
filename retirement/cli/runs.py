"""Commands that retire: one learner, or the queue. The same flows that a deployment runs, in this process."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.server import Engine, running
from retirement import reports
from retirement.cli.output import (
    LARGEST_ID,
    ConfigOption,
    JsonOption,
    asked_for,
    code_of,
    console,
    errors,
    run,
    show_json,
)
from retirement.cli.secrets import secret_block
from retirement.endings import Report
from retirement.errors import ConfigError, Defect, RetirementError
from retirement.intake import Intake
from retirement.reports import SOME_FAILED
from retirement.site import Site, ready

if TYPE_CHECKING:
    from flows.retire_queue import QueueRun

UsernameOption = Annotated[
    str | None,
    typer.Option(
        "--username",
        help="- to be asked for the original username, or to pipe it in. Only its user id is kept.",
    ),
]


def retire_learner(
    user_id: Annotated[
        int | None, typer.Option("--user-id", min=1, max=LARGEST_ID, help="LMS user id of the learner.")
    ] = None,
    username: UsernameOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retire one learner now, whatever the cool-off, unless the LMS says that somebody has them."""
    if (user_id is None) == (username is None):
        raise typer.BadParameter("give --user-id or --username")
    name = asked_for("--username", username, as_json=as_json)

    async def command() -> int:
        async with ready(config, secret_block) as (_, site):
            wanted = user_id or await _user_id(site, str(name))
            async with running() as engine:
                # Prefect reads its settings at import, and they are known since the server is up.
                from flows.retire_learner import retire_by_id

                report, flow_run_id = await retire_by_id(wanted)
        if report is None:
            problem = f"the LMS has no retirement of learner {wanted}"
            errors.print(problem, highlight=False)
            if as_json:
                show_json({"user_id": wanted, "errors": [problem]})
            return SOME_FAILED
        if as_json:
            show_json({**reports.document(report), "flow_run": flow_run_id, "ui": _link(engine, flow_run_id)})
        else:
            show_reports([report])
        if site.stop.reason:
            errors.print(str(site.stop.reason), highlight=False, markup=False)
            return code_of(site.stop.reason)
        return reports.exit_code([report])

    run(command, as_json=as_json)


async def _user_id(site: Site, username: str) -> int:
    learner = await site.lms.status(username)
    if learner is None:
        raise ConfigError("--username: the LMS has no retirement request under this name")
    return learner.user_id


def retire_queue(
    limit: Annotated[int | None, typer.Option(min=1, help="Learners at most; default queue.limit.")] = None,
    cool_off_days: Annotated[
        int | None, typer.Option(min=0, help="Days since the request; default cool_off_days.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Retire everybody whose cool-off is over, one flow each."""

    async def command() -> int:
        async with ready(config, secret_block), running() as engine:
            document, found, error = await queue_run(limit, cool_off_days, engine, show=not as_json)
        if as_json:
            show_json(document)
        else:
            show_reports(found)
            for each in document["mended"]:
                text = f"left behind by a dead run: learner {each['learner']} {each['what']} {each['target']}"
                console.print(text, highlight=False)
            console.print(f"{reports.summary(found)}; {document['seconds']} s", highlight=False)
        for problem in document["errors"]:
            errors.print(problem, highlight=False, markup=False)
        if error:
            return code_of(error)
        return SOME_FAILED if document["errors"] else reports.exit_code(found)

    run(command, as_json=as_json)


async def queue_run(
    limit: int | None, cool_off_days: int | None, engine: Engine, *, show: bool
) -> tuple[dict[str, Any], list[Report], RetirementError | None]:
    """Runs the queue flow in this process, with a progress line, until its records are complete."""
    # Prefect reads its settings at import, and they are known since the server is up.
    from flows.records import of_queue_run, settled
    from flows.retire_queue import QueueRun, watched
    from flows.retire_queue import retire_queue as flow

    state = QueueRun(asking=lambda run, intake: _say_that_it_waits(run, intake, engine))
    watched.set(state)
    began = time.monotonic()
    async with _progress_line(state, show):
        final = await flow(limit, cool_off_days, return_state=True)
    if state.error is None and final.name not in ("Retired", "SomeFailed"):
        state.error = Defect(f"the flow of the queue ended as {final.name}; its run in Prefect says more")
    seconds = time.monotonic() - began
    document = {
        "flow_run": state.flow_run_id,
        "ui": _link(engine, state.flow_run_id),
        "depth": state.depth,
        "batch": state.batch,
        "mended": [reports.finding(each) for each in state.mended],
        "outcomes": dict(Counter(report.ending.value for report in state.reports)),
        "seconds": round(seconds, 2),
        "records": await settled(of_queue_run(state.flow_run_id), sum(len(report.steps) for report in state.reports)),
        "learners": [reports.document(report) for report in state.reports],
        "errors": [*(str(state.error).splitlines() if state.error else []), *state.unreadable],
    }
    return document, state.reports, state.error


def _say_that_it_waits(run: "QueueRun", intake: Intake, engine: Engine) -> None:
    """Without this a terminal would show nothing for hours, and nobody there knew whom to ask."""
    for trip in intake.trips:
        errors.print(trip.sentence, highlight=False, markup=False)
    errors.print(
        f"nobody is called before somebody answers: resume the run at {_link(engine, run.flow_run_id)}, "
        f"or `retirement approve {run.flow_run_id}`, or `retirement reject`",
        highlight=False,
        markup=False,
    )


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
            while True:
                summary = reports.summary(state.reports)
                progress.update(line, total=state.batch or None, completed=len(state.reports), description=summary)
                await asyncio.sleep(0.25)

        following = asyncio.create_task(follow())
        try:
            yield
        finally:
            following.cancel()


def _link(engine: Engine, flow_run_id: str) -> str:
    return f"{engine.ui_url}/runs/flow-run/{flow_run_id}"


def show_reports(found: list[Report], cases: Mapping[int, str] | None = None) -> None:
    """The table of an ended run; `cases` says for the demo why each learner is there."""
    table = Table()
    if console.width < WIDE:
        cases = None
    headings = ("learner", "steps", "outcome", "seconds", *(("reason",) if cases is None else ("case", "reason")))
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in ("learner", "seconds") else "left")
    for report in sorted(found, key=lambda report: report.user_id):
        case = () if cases is None else (cases.get(report.user_id, ""),)
        cells = (str(report.user_id), _steps(report), report.ending.value, f"{report.seconds:.2f}")
        table.add_row(*cells, *case, report.reason)
    console.print(table)


#: Columns of a terminal on which there is room for the demo's cases.
WIDE = 110


def _steps(report: Report) -> str:
    counts = Counter(step.result for step in report.steps)
    return ", ".join(f"{count} {result}" for result, count in counts.items()) or "none"
