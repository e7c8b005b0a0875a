"""Artifacts about more than this run: who will be late, which services are down, what dead runs had left behind."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.settings import get_current_settings

from retirement import reports
from retirement.followup.move_back import Finding
from retirement.ledger import Breaker
from retirement.pipeline.strays import ADOPT
from retirement.privacy import as_markdown
from retirement.queue.forecast import Breach, Forecast

#: Rows of the table of those who will be late; the sentence above it counts all of them.
ROWS = 100
#: Rows of any table: a page of more is read by no person, and is held whole by this process, the server and the page.
MOST_ROWS = 1_000


def page_of(flow_run_id: str) -> str | None:
    """The address of a run's page, None where the UI has no address."""
    ui = get_current_settings().ui_url
    return f"{ui}/runs/flow-run/{flow_run_id}" if ui else None


async def show_rows(key: str, rows: Sequence[Mapping[str, Any]], summary: str) -> str:
    """Leaves the table of a run below its summary; returns the summary, "" where there are no rows."""
    if rows:
        await show_table(key, rows, summary)
    return summary if rows else ""


async def show_table(key: str, rows: Sequence[Mapping[str, Any]], summary: str, *, of: int | None = None) -> None:
    """Leaves a table of the first rows. Prefect's UI reads its cells as Markdown, so only links of ours are markup.

    `of` is how many there are, where these are only the first of them.
    """
    table = [{name: _cell(name, value) for name, value in row.items()} for row in rows[:MOST_ROWS]]
    total = len(rows) if of is None else of
    left_out = f"; the first {len(table)} of {total} rows" if total > len(table) else ""
    await acreate_table_artifact(key=key, table=table, description=f"{summary}{left_out}")


def _cell(name: str, value: Any) -> Any:
    return as_markdown(value, code=True) if isinstance(value, str) and name != reports.LINK else value


async def show_forecast(forecast: Forecast, out_of_reach: Sequence[Breach]) -> None:
    """A warning where the queue, at the measured rate, misses a deadline, or where no run takes a learner."""
    found = [*out_of_reach, *forecast.breaches]
    if not found:
        return
    rows = [{"learner": each.user_id, "due": _day(each.due), "expected": _day(each.expected)} for each in found[:ROWS]]
    texts = []
    if out_of_reach:
        texts.append(f"{len(out_of_reach)} learners are in no state that a step has, so no run takes them: {ADOPT}")
    if late := len(forecast.breaches):
        texts.append(f"{late} learners will be late at the present rate: raise queue.limit, or run more often")
    await show_table("retirement-deadlines", rows, "; ".join(texts))


async def show_services(down: Sequence[Breaker]) -> None:
    """Which services are down, where any is: those of the breakers."""
    if down:
        lines = [f"- **{as_markdown(each.service)}** since {_stays(each)}" for each in down]
        text = "Learners wait before the steps of these services; others go on.\n\n" + "\n".join(lines)
        await acreate_markdown_artifact(key="retirement-services", markdown=text)


def _stays(down: Breaker) -> str:
    return f"{down.since:%Y-%m-%d %H:%M} UTC: {as_markdown(down.reason, code=True)}"


async def show_findings(findings: Sequence[Finding]) -> str:
    """The learners that the reconciler has looked at; the summary, "" where there were none."""
    rows = [reports.finding(each) for each in findings]
    return await show_rows("retirement-reconcile", rows, reports.findings_summary(findings, ""))


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
