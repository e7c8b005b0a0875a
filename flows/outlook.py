"""Artifacts about more than this run: who will be late, which services are down, what dead runs had left behind."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from retirement import reports
from retirement.deadlines import Forecast
from retirement.ledger import Breaker
from retirement.reconciler import Finding

#: Rows of the table of those who will be late; the sentence above it counts everybody.
ROWS = 100


async def show_forecast(forecast: Forecast) -> None:
    """A warning on the run where the queue, at the measured rate, breaks somebody's deadline."""
    if not forecast.breaches:
        return
    rows = [
        {"learner": each.user_id, "due": _day(each.due), "expected": _day(each.expected)}
        for each in forecast.breaches[:ROWS]
    ]
    text = f"{len(forecast.breaches)} learners will be late at the present rate: raise queue.limit, or run more often"
    await acreate_table_artifact(key="retirement-deadlines", table=rows, description=text)


async def show_services(breakers: Iterable[Breaker]) -> None:
    """Which services are down, where any is."""
    down = [breaker for breaker in breakers if breaker.state == "open"]
    if down:
        lines = [f"- **{each.service}** since {each.since:%Y-%m-%d %H:%M} UTC: {each.reason}" for each in down]
        text = "Learners wait before the steps of these services; others go on.\n\n" + "\n".join(lines)
        await acreate_markdown_artifact(key="retirement-services", markdown=text)


async def show_findings(findings: Sequence[Finding]) -> None:
    """Whom the reconciler has looked at, where it had to."""
    if findings:
        table = [reports.finding(each) for each in findings]
        text = reports.findings_summary(findings)
        await acreate_table_artifact(key="retirement-reconcile", table=table, description=text)


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
