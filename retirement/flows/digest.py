"""The page of the day as a flow, and that of a month: counts, the oldest, what waits for a person. Changes nothing."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from prefect import State, get_run_logger
from prefect.states import Completed, Failed

from retirement.config import Configuration
from retirement.flows.kit import months
from retirement.flows.kit.channels import Arrival
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.parameters import MonthName, Send
from retirement.flows.kit.paused import unless_paused
from retirement.flows.kit.posting import is_month_due, send_month, send_today
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.today import show_today
from retirement.ledger import Ledger
from retirement.reports import month_page
from retirement.reports.month import Month, read_month
from retirement.reports.today import today_of
from retirement.site import ledger_location, ready


@door("digest")
async def digest(send: Send = True, month: MonthName = None) -> State[Any]:
    """Writes the artifact `retirement-today`: who waits and how long, outcomes by service, what waits for a person.

    The first run after the end of a month also writes the page of that month, `retirement-month-YYYY-MM`; with `month`
    the page of that one is written instead. With `send` each page also goes to the channels with the occasion `digest`.
    """
    work = partial(_write_month, month, send=send) if month else partial(_write, send=send)
    return await ending(lambda: unless_paused("digest", work))


async def _write(*, send: bool) -> State[Any]:
    async with ready(served_path(), secret_block) as (configuration, site):
        found = await today_of(configuration, site)
        await show_today(found, configuration)
        arrivals = await send_today(found, configuration) if send else []
        arrivals += await _last_month(configuration, site.ledger, found.now, send=send)
    return _ended(arrivals, "; ".join(found.to_do) or "nothing waits for a person")


async def _write_month(name: str, *, send: bool) -> State[Any]:
    async with ready(served_path(), secret_block) as (configuration, site):
        found = await _read(configuration, name)
        await months.show(found)
        arrivals = await send_month(found, configuration, site.ledger, anew=True) if send else []
    return _ended(arrivals, month_page.page_of(found).verdict)


async def _last_month(configuration: Configuration, ledger: Ledger, now: datetime, *, send: bool) -> list[Arrival]:
    """The page of the month before, once that is over in the ledger as well; none where the ledger begins later.

    It is written once, and sent to each channel until that has taken it: a run may have died between the two.
    """
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    name = f"{first - timedelta(days=1):%Y-%m}"
    is_shown = await months.is_shown(name)
    is_due = send and await is_month_due(name, configuration, ledger)
    if is_shown and not is_due:
        return []
    found = await _read(configuration, name, or_nothing=True)
    if not (found.is_over and found.head):
        return []
    if not is_shown:
        await months.show(found)
    return await send_month(found, configuration, ledger, anew=False) if is_due else []


async def _read(configuration: Configuration, name: str, *, or_nothing: bool = False) -> Month:
    # The whole ledger is verified, during which the run is to hear that it should stop.
    place, now = ledger_location(configuration), datetime.now(UTC)
    return await asyncio.to_thread(partial(read_month, place, name, now, key="month", or_nothing=or_nothing))


def _ended(arrivals: Sequence[Arrival], text: str) -> State[Any]:
    for each in arrivals:
        get_run_logger().info(each.sentence)
    if lost := [each.sentence for each in arrivals if each.problem]:
        return Failed(name="NotSent", message="; ".join(lost))
    return Completed(name="Written", message=text)
