"""The artifact *Today*: one page under one key, of which each run that writes it makes a new version."""

from datetime import UTC, datetime

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.settings import get_current_settings

from retirement.errors import EngineLost, LedgerError, ServiceError
from retirement.flows.kit import troubles
from retirement.flows.kit.troubles import Channels
from retirement.flows.kit.watchdog import seen
from retirement.followup.today import Today, today
from retirement.site import Site

KEY = "retirement-today"


async def write_today(site: Site, channels: Channels) -> None:
    """Leaves the page at the end of a run that was about something else; where it cannot, the run's log says so."""
    try:
        await show_today(await today(site), channels)
    except (ServiceError, LedgerError) as error:
        get_run_logger().warning("the page of the day was not written: %s", error)


async def show_today(page: Today, channels: Channels) -> None:
    """Leaves the page, with the next run of each schedule, and has the channels told of the troubles on it."""
    url = str(get_current_settings().api.url)
    await acreate_markdown_artifact(
        page.markdown(await _next_runs(url)), key=KEY, description="The site now: who waits, who is late, what to do."
    )
    try:
        await troubles.tell(url, troubles.of_today(page, channels))
    except EngineLost as error:
        get_run_logger().warning("operators were not told of troubles: %s", error)


async def _next_runs(url: str) -> list[str]:
    try:
        found = await seen(url, datetime.now(UTC))
    except EngineLost as error:
        return [str(error)]
    return [f"{each.row['name']}: {each.row['schedule']}, next {_minute(each.next)}" for each in found]


def _minute(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "not planned"
