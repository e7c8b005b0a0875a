"""The page of the day as a flow: counts, the oldest, what waits for a person. Changes nothing."""

from functools import partial
from typing import Any

from prefect import State, get_run_logger
from prefect.states import Completed, Failed

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.parameters import Send
from retirement.flows.kit.paused import unless_paused
from retirement.flows.kit.posting import send_today
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.today import show_today
from retirement.reports.today import today_of
from retirement.site import ready


@door("digest")
async def digest(send: Send = True) -> State[Any]:
    """Writes the artifact `retirement-today`: who waits and how long, outcomes by service, what waits for a person.

    With `send` the page also goes to the channels that have the occasion `digest`.
    """
    return await ending(lambda: unless_paused("digest", partial(_write, send=send)))


async def _write(*, send: bool) -> State[Any]:
    async with ready(served_path(), secret_block) as (configuration, site):
        found = await today_of(configuration, site)
        await show_today(found, configuration)
        arrivals = await send_today(found, configuration) if send else []
    for each in arrivals:
        get_run_logger().info(each.sentence)
    if lost := [each.sentence for each in arrivals if each.problem]:
        return Failed(name="NotSent", message="; ".join(lost))
    return Completed(name="Written", message="; ".join(found.to_do) or "nothing waits for a person")
