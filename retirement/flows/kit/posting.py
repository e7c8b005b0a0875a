"""Pages, sent to the channels that ask for them: as text, and as files where the service takes files."""

from retirement.certificate import markup, paper
from retirement.config import Configuration, Occasion
from retirement.flows.kit.channels import Arrival, Letter, send
from retirement.reports import day, month_page
from retirement.reports.month import Month
from retirement.reports.today import Today


async def send_today(found: Today, configuration: Configuration) -> list[Arrival]:
    """Sends the page, without what was typed freely; none where no channel asks for it. Raises `ConfigError`."""
    page = day.page_of(found, with_reasons=False)
    files = {f"retirements-{found.now:%Y-%m-%d}.html": markup.html(page).encode()}
    letter = Letter(f"Retirement: the day of {found.now:%Y-%m-%d}", markup.plain(page), files)
    return await _send(letter, configuration, "the page of the day")


async def send_month(found: Month, configuration: Configuration) -> list[Arrival]:
    """Sends the page of a month with its PDF, which has no reasons; none where no channel asks for it."""
    page = month_page.page_of(found)
    files = {f"retirements-{found.name}.pdf": paper.pdf(page)}
    letter = Letter(f"Retirement: the month {found.name}", markup.plain(page), files)
    return await _send(letter, configuration, f"the page of {found.name}")


async def _send(letter: Letter, configuration: Configuration, what: str) -> list[Arrival]:
    channels = [each for each in configuration.notifications if Occasion.DIGEST in each.occasions]
    return await send(channels, letter, configuration.source, what)
