"""The partner report as a flow: files for the partners, and a summary that names organisations only."""

from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending, state_of
from retirement.flows.kit.logs import log_rows
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.partners import report as partners
from retirement.partners.destination import destination_of
from retirement.partners.report import Delivery
from retirement.site import ready
from retirement.site.stopping import finish_or_stop


@door("partner-report")
async def partner_report() -> State[Any]:
    """Writes one file per organisation with its learners who were retired, into the configured folder."""
    return await ending(_deliver)


async def _deliver() -> State[Any]:
    async with ready(served_path(), secret_block) as (configuration, site):
        batch = site.batch()
        destination = destination_of(configuration)
        delivery = await finish_or_stop(partners.deliver(site, batch, destination), batch.stop)
        await keep_up(site.ledger)
    summary = await _show(delivery)
    if batch.stop and delivery.error:
        return state_of(delivery.error, summary)
    if found := partners.document(delivery)["errors"]:
        return Failed(name="SomeDue", message="; ".join([summary, *found]))
    return Completed(name="Reported", message=summary)


async def _show(delivery: Delivery) -> str:
    """Leaves the table of a run; its summary."""
    summary = partners.summary(delivery)
    table = [{"organisation": org, "learners": count} for org, count in sorted(delivery.orgs.items())]
    log_rows(table)
    await show_rows("retirement-partner-report", table, summary)
    return summary
