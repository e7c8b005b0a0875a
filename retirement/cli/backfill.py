"""`retirement backfill`: a step that was added, for learners who went through without it."""

from typing import Annotated

import typer

from retirement.cli.asking import YesOption
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.jobs import AtMostOption, Consent, JobByOption, ReasonOption, play
from retirement.cli.options import DryRunOption
from retirement.cli.secrets import secret_block
from retirement.followup.backfill import lacking
from retirement.site import ready


@command()
async def backfill(
    call: Call,
    step: Annotated[str, typer.Option(help="Step of the pipeline, such as RETIRING_BRAZE.")],
    at_most: AtMostOption = 50,
    reason: ReasonOption = None,
    by: JobByOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Do a step that was added for retired learners who went through without it; shows them and asks first."""
    consent = Consent.of(by, reason, at_most=at_most, yes=yes, dry_run=dry_run)
    async with ready(call.config, secret_block) as (_, site), followed(call, site.ledger):
        job = await lacking(site, step, prefix="--")
        return await play(call, job, consent, f"no retired learner lacks {step}")
