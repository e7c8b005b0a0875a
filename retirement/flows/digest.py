"""The page of the day as a flow: counts, the oldest, what waits for a person. Changes nothing."""

from typing import Any

from prefect import State
from prefect.states import Completed

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.today import show_today
from retirement.reports.today import today_of
from retirement.site import ready


@door("digest")
async def digest() -> State[Any]:
    """Writes the artifact `retirement-today`: who waits and how long, outcomes by service, what waits for a person."""
    return await ending(_write)


async def _write() -> State[Any]:
    async with ready(served_path(), secret_block) as (configuration, site):
        found = await today_of(configuration, site)
        await show_today(found, configuration)
    return Completed(name="Written", message="; ".join(found.to_do) or "nothing waits for a person")
