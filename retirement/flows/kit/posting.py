"""The page of the day, sent to the channels that ask for it: as text, and as a file where the service takes files."""

from retirement.certificate import markup
from retirement.config import Configuration, Occasion
from retirement.flows.kit.channels import Arrival, Letter, send
from retirement.reports import day
from retirement.reports.today import Today


async def send_today(found: Today, configuration: Configuration) -> list[Arrival]:
    """Sends the page, without what was typed freely; none where no channel asks for it. Raises `ConfigError`."""
    channels = [each for each in configuration.notifications if Occasion.DIGEST in each.occasions]
    page = day.page_of(found, with_reasons=False)
    files = {f"retirements-{found.now:%Y-%m-%d}.html": markup.html(page).encode()}
    letter = Letter(f"Retirement: the day of {found.now:%Y-%m-%d}", markup.plain(page), files)
    return await send(channels, letter, configuration.source, "the page of the day")
