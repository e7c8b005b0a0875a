"""The page of the day as a flow: counts, the oldest, what waits for a person. Changes nothing."""

from typing import Any

from prefect import State, flow
from prefect.states import Completed

from retirement.flows.kit.ending import ending, run_name
from retirement.flows.kit.parameters import Config
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.today import show_today
from retirement.followup.today import today
from retirement.site import ready


@flow(name="digest", flow_run_name=run_name, persist_result=False)
async def digest(config: Config = None) -> State[Any]:
    """Writes the artifact `retirement-today`: who waits and how long, outcomes by service, what waits for a person.

    `config` is the configuration file; by default RETIREMENT_CONFIG, else retirement.yaml.
    """
    return await ending(lambda: _write(config))


async def _write(path: str | None) -> State[Any]:
    async with ready(path, secret_block) as (configuration, site):
        found = await today(site)
        await show_today(found, configuration.notifications)
    return Completed(name="Written", message="; ".join(found.to_do) or "nothing waits for a person")
