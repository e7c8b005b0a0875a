"""The artifact *Today*: one page under one key, of which each run that writes it makes a new version."""

from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.settings import get_current_settings

from retirement.errors import EngineLost, LedgerError, ServiceError
from retirement.flows.kit.watchdog import seen
from retirement.followup.today import Today, today
from retirement.site import Site

KEY = "retirement-today"


async def write_today(site: Site) -> None:
    """Leaves the page at the end of a run that was about something else; where it cannot, the run's log says so."""
    try:
        await show_today(await today(site))
    except (ServiceError, LedgerError) as error:
        get_run_logger().warning("the page of the day was not written: %s", error)


async def show_today(page: Today) -> None:
    """Leaves the page, with the next run of each schedule."""
    await acreate_markdown_artifact(
        page.markdown(await _next_runs()), key=KEY, description="The site now: who waits, who is late, what to do."
    )


async def _next_runs() -> list[str]:
    url = get_current_settings().api.url
    try:
        rows = [each.row for each in await seen(str(url), datetime.now(UTC))] if url else []
    except EngineLost as error:
        return [str(error)]
    return [f"{each['name']}: {each['schedule']}, next {each['next'] or 'not planned'}" for each in rows]
