"""The artifact *Today*: one page under one key, of which each run that writes it makes a new version."""

from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.settings import get_current_settings

from retirement.certificate import markup
from retirement.certificate.page import Page
from retirement.config import Configuration
from retirement.errors import EngineLost, LedgerError, ServiceError
from retirement.flows.kit import troubles
from retirement.flows.kit.watchdog import next_runs
from retirement.reports import day
from retirement.reports.today import Today, today_of
from retirement.site import Site

KEY = "retirement-today"


async def write_today(site: Site, configuration: Configuration) -> None:
    """Leaves the page at the end of a run that was about something else; where it cannot, the run's log says so."""
    try:
        await show_today(await today_of(configuration, site), configuration)
    except (ServiceError, LedgerError) as error:
        get_run_logger().warning("the page of the day was not written: %s", error)


async def show_today(found: Today, configuration: Configuration) -> Page:
    """Leaves the page, with the next run of each schedule, and has the channels told of the troubles on it."""
    url = str(get_current_settings().api.url)
    page = day.page_of(found, await next_runs(url))
    await acreate_markdown_artifact(
        markup.markdown(page), key=KEY, description="The site now: who waits, who is late, what to do."
    )
    try:
        await troubles.tell(url, troubles.of_today(found, configuration.notifications))
    except EngineLost as error:
        get_run_logger().warning("operators were not told of troubles: %s", error)
    return page
