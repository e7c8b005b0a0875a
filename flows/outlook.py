"""Artifacts that look ahead: who will not be done in time, and which services are down."""

from collections.abc import Iterable
from datetime import datetime

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from retirement.deadlines import Forecast
from retirement.ledger import Breaker

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


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
