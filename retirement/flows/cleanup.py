"""The cleanup as a flow: the LMS forgets who a learner was, once everything else is proved to have gone."""

from functools import partial
from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from retirement import reports
from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.parameters import DryRun
from retirement.flows.kit.paused import is_planned, unless_paused
from retirement.flows.kit.served import served_configuration
from retirement.followup import cleanup as followup
from retirement.followup.archive import archiving
from retirement.followup.cleanup_run import Choice
from retirement.followup.clearance import CleanupFinding
from retirement.site import opened
from retirement.site.coverage import candidates
from retirement.site.stopping import finish_or_stop


@door("cleanup")
async def cleanup(dry_run: DryRun = None) -> State[Any]:
    """Has the LMS delete what it keeps of learners who have been COMPLETE for long enough.

    With `dry_run` it lists the learners, and does nothing; so does a run that a person starts, unless `dry_run` is
    off. Those without a complete certificate stay; only the command line forgets them.
    """
    found: list[CleanupFinding] = Noted(reports.cleanup_row)
    work = partial(_clean_up, found, dry_run=not is_planned() if dry_run is None else dry_run)
    return await ending(lambda: unless_paused("cleanup", work), lambda _: _show(found))


async def _clean_up(found: list[CleanupFinding], *, dry_run: bool) -> State[Any]:
    configuration = served_configuration()
    choice = Choice(configuration.cleanup_days)
    # No service but the LMS is asked anything, and the bucket of an archive.
    async with opened(configuration) as site, archiving(configuration.archive) as archive:
        batch = site.batch()
        states = candidates(configuration)
        run = followup.clean_up(site, batch, choice, found.append, states=states, archive=archive, dry_run=dry_run)
        await finish_or_stop(run, batch.stop)
        await keep_up(site.ledger)
    summary = await _show(found) or reports.cleanup_summary(found)
    if reports.cleanup_code(found):
        return Failed(name="SomeKept", message=summary)
    if dry_run:
        return Completed(name="Previewed", message=f"{summary}; no row was deleted: run it again with dry_run off")
    return Completed(name="CleanedUp", message=summary)


async def _show(found: list[CleanupFinding]) -> str:
    rows = [reports.cleanup_row(each) for each in found]
    return await show_rows("retirement-cleanup", rows, reports.cleanup_summary(found))
