"""The replay as a flow: what a service has back from a backup is erased again after a preview and a form."""

from typing import Any

from prefect import State

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.jobs import JobRun
from retirement.flows.kit.parameters import AtMost, BackupMoment, Preview, RestoredServices, RestoreMoment
from retirement.followup.replay import Restored, forgotten


@door("replay")
async def replay(
    services: RestoredServices = (),
    since: BackupMoment = None,
    restored_at: RestoreMoment = None,
    at_most: AtMost = 50,
    dry_run: Preview = True,
) -> State[Any]:
    """Erases again the learners that services have back since they were restored from a backup.

    While `dry_run` is on, the table shows them and nothing is called. Else the run asks in a form for who asks for it
    and why, unless there are more than `at_most`.
    """
    restored = Restored(tuple(dict.fromkeys(services)), since, restored_at)
    run = JobRun("retirement-replay", "Replayed", "the ledger has no erasure there that was lost", at_most, dry_run)
    return await ending(lambda: run.play(lambda _, site: forgotten(site, restored)), run.account)
