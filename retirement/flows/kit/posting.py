"""Pages, sent to the channels that ask for them: as text, and as files where the service takes files."""

from retirement.certificate import markup, paper
from retirement.config import ChannelSettings, Configuration, Occasion
from retirement.flows.kit.channels import Arrival, Letter, require_known, send
from retirement.ledger import Ledger
from retirement.reports import day, month_page
from retirement.reports.month import Month
from retirement.reports.today import Today

#: Begins a letter that may have come before.
MAYBE_SENT = (
    "This letter may have come before: the run that sent it was ended before it could say so. "
    "The page and its file are the same."
)


async def send_today(found: Today, configuration: Configuration) -> list[Arrival]:
    """Sends the page, without what was typed freely; none where no channel asks for it. Raises `ConfigError`."""
    page = day.page_of(found, with_reasons=False)
    files = {f"retirements-{found.now:%Y-%m-%d}.html": markup.html(page).encode()}
    letter = Letter(f"Retirement: the day of {found.now:%Y-%m-%d}", markup.plain(page), files)
    return await _send(letter, configuration, "the page of the day")


async def send_month(found: Month, configuration: Configuration, ledger: Ledger, *, anew: bool) -> list[Arrival]:
    """Sends the page of a month with its PDF, which has no reasons; none where no channel asks for it.

    What each channel takes is entered in the ledger; one that has taken the page before gets it only `anew`. Mail
    cannot say whether a letter came whose run died, so such a letter is sent again and says so itself: the file is the
    same, byte for byte. Raises `BusyElsewhere` while another run sends a month, and `ConfigError`.
    """
    # Before a letter is entered as begun: of one that was not sent it would be said later that it may have come.
    require_known(_channels(configuration), configuration.source)
    lease = await ledger.leases.take("letters", what="the letters of a month")
    try:
        return [
            await _send_once(found, channel, configuration.source, ledger)
            for channel in _channels(configuration)
            if anew or not await _has(_page(found), channel, ledger)
        ]
    finally:
        await ledger.leases.release(lease)


async def is_month_due(name: str, configuration: Configuration, ledger: Ledger) -> bool:
    """Whether a channel that asks for pages has not taken that of a month, as YYYY-MM."""
    return not all([await _has(name, each, ledger) for each in _channels(configuration)])


async def _send_once(found: Month, channel: ChannelSettings, source: str, ledger: Ledger) -> Arrival:
    key = (_page(found), channel.name, _address(channel, ledger))
    posted = await ledger.letters.posted(*key)
    page = month_page.page_of(found)
    text = markup.plain(page)
    if posted.is_in_doubt:
        text = f"{MAYBE_SENT}\n\n{text}"
    letter = Letter(f"Retirement: the month {found.name}", text, {f"retirements-{found.name}.pdf": paper.pdf(page)})
    number = await ledger.letters.began(*key)
    (arrival,) = await send([channel], letter, source, f"the page of {found.name}")
    await ledger.letters.ended(number, taken=arrival.problem is None)
    return arrival


def _page(month: Month) -> str:
    """What the ledger calls the page: that of a month that goes on is not the one for the record."""
    return month.name if month.is_over else f"{month.name}, so far"


async def _has(page: str, channel: ChannelSettings, ledger: Ledger) -> bool:
    return (await ledger.letters.posted(page, channel.name, _address(channel, ledger))).taken_at is not None


def _address(channel: ChannelSettings, ledger: Ledger) -> str:
    return ledger.letters.address(channel.url.get_secret_value() if channel.url else None)


def _channels(configuration: Configuration) -> list[ChannelSettings]:
    return [each for each in configuration.notifications if Occasion.DIGEST in each.occasions]


async def _send(letter: Letter, configuration: Configuration, what: str) -> list[Arrival]:
    return await send(_channels(configuration), letter, configuration.source, what)
