"""The expiry of partner reports as a flow: files are deleted from their sinks, and partners told some days before."""

from functools import partial
from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.parameters import DryRun
from retirement.flows.kit.paused import is_planned, unless_paused
from retirement.flows.kit.served import served_configuration
from retirement.partners.destination import destination_of
from retirement.partners.expiry import ExpiryFinding, ages_of, expire, problems, summary
from retirement.site import opened
from retirement.site.stopping import finish_or_stop


@door("expire-reports")
async def expire_reports(dry_run: DryRun = None) -> State[Any]:
    """Deletes delivered files of partner reports from their sinks once they are old enough, and only those.

    With `dry_run` it lists the files, and does nothing; so does a run that a person starts, unless `dry_run` is off.
    """
    found: list[ExpiryFinding] = Noted(lambda each: each.row)
    work = partial(_expire, found, dry_run=not is_planned() if dry_run is None else dry_run)
    return await ending(lambda: unless_paused("expire-reports", work), lambda _: _show(found))


async def _expire(found: list[ExpiryFinding], *, dry_run: bool) -> State[Any]:
    configuration = served_configuration()
    ages, destination = ages_of(configuration), destination_of(configuration)
    # The LMS is asked nothing.
    async with opened(configuration) as site:
        batch = site.batch()
        run = expire(site, batch, destination, ages, found.append, dry_run=dry_run)
        await finish_or_stop(run, batch.stop)
    told = await _show(found)
    if lines := problems(found):
        return Failed(name="SomeKept", message="; ".join([told, *lines]))
    if dry_run:
        return Completed(name="Previewed", message=f"{told}; no file was deleted: run it again with dry_run off")
    return Completed(name="Expired", message=told)


async def _show(found: list[ExpiryFinding]) -> str:
    return await show_rows("retirement-expired-reports", [each.row for each in found], summary(found)) or summary(found)
