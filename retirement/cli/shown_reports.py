"""The reports of learners' runs as a table, and where the runs are in Prefect's UI."""

from collections.abc import Mapping

from rich.table import Table

from retirement.cli.output import MOST_ROWS, console, more
from retirement.flows.kit.server import PrefectServer, ends_with_us
from retirement.pipeline.endings import Report
from retirement.reports import steps, urgent_first

#: Columns of a terminal on which there is room for the demo's cases.
WIDE = 110


def link(engine: PrefectServer, flow_run_id: str) -> str:
    """The page of a run."""
    return f"{engine.ui_url}/runs/flow-run/{flow_run_id}"


def run_lines(engine: PrefectServer, flow_run_id: str) -> list[str]:
    """Where the page of a run is, for a server that does not stop with this command; else nothing."""
    return [] if not flow_run_id or ends_with_us(engine) else [f"run: {link(engine, flow_run_id)}"]


def reports_table(found: list[Report], cases: Mapping[int, str] | None = None) -> Table:
    """The table of an ended run; `cases` says for the demo why each learner is there."""
    table = Table(caption=more(max(0, len(found) - MOST_ROWS), "learners"))
    if console.width < WIDE:
        cases = None
    case = () if cases is None else ("case",)
    for heading in ("learner", "steps", "outcome", "seconds", *case, "reason"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("learner", "seconds") else "left")
    shown = sorted(found, key=lambda report: report.user_id)
    if table.caption:
        shown = urgent_first(found)[:MOST_ROWS]
    for report in shown:
        table.add_row(*_cells(report, cases))
    return table


def _cells(report: Report, cases: Mapping[int, str] | None) -> list[str]:
    case = [] if cases is None else [cases.get(report.user_id, "")]
    cells = (str(report.user_id), steps(report), report.ending.value, f"{report.seconds:.2f}")
    return [*cells, *case, report.reason]
