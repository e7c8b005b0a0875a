"""`retirement replay`: erase again what a service has back since it was restored from a backup."""

from datetime import datetime
from typing import Annotated

import typer

from retirement.cli.asking import YesOption
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.jobs import AtMostOption, Consent, JobByOption, ReasonOption, play
from retirement.cli.options import DryRunOption
from retirement.cli.secrets import secret_block
from retirement.followup.replay import Restored, forgotten
from retirement.site import ready

_MOMENT = ["%Y-%m-%dT%H:%M", "%Y-%m-%d"]


@command()
async def replay(
    call: Call,
    service: Annotated[list[str], typer.Option(help="Service that was restored; several: give it again.")],
    since: Annotated[datetime, typer.Option(formats=_MOMENT, help="Moment of the backup, UTC.")],
    restored_at: Annotated[
        datetime | None,
        typer.Option(formats=_MOMENT, help="Moment of the restore, UTC; default: now, or as in the run before."),
    ] = None,
    at_most: AtMostOption = 50,
    reason: ReasonOption = None,
    by: JobByOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Erase again the learners that a service has back from a backup; shows them and asks first."""
    consent = Consent.of(by, reason, at_most=at_most, yes=yes, dry_run=dry_run)
    async with ready(call.config, secret_block) as (_, site), followed(call, site.ledger):
        job = await forgotten(site, Restored(tuple(dict.fromkeys(service)), since, restored_at), prefix="--")
        return await play(call, job, consent, "the ledger has no erasure there that was lost")
