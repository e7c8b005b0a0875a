"""`retirement bulk-update`: move the rows of one state and some days at once, after a preview."""

from datetime import date, datetime
from typing import Annotated

import typer

from retirement.cli.asking import YesOption
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.jobs import AtMostOption, Consent, JobByOption, ReasonOption, play
from retirement.cli.options import DryRunOption
from retirement.cli.secrets import secret_block
from retirement.errors import ConfigError
from retirement.followup.bulk_update import Wanted, listed
from retirement.site import ready

_DAY = ["%Y-%m-%d"]


@command()
async def bulk_update(
    call: Call,
    initial_state: Annotated[str, typer.Option(help="State in which the rows are now, such as ERRORED.")],
    new_state: Annotated[str | None, typer.Option(help="State to move them to: PENDING, an end state, …")] = None,
    rewind_state: Annotated[
        bool, typer.Option("--rewind-state", help="Instead: each row back to the last end state that is proved.")
    ] = False,
    start_date: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="First day of the requests, UTC; default: any.")
    ] = None,
    end_date: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="Last day of the requests, UTC, included; default: today.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also past steps that no run has proved.")] = False,
    at_most: AtMostOption = 50,
    reason: ReasonOption = None,
    by: JobByOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Move the rows of one state, requested between two days, to another state; shows them and asks first."""
    if (new_state is None) != rewind_state:
        raise ConfigError("--new-state, --rewind-state: give one of them")
    consent = Consent.of(by, reason, at_most=at_most, yes=yes, dry_run=dry_run)
    wanted = Wanted(initial_state, new_state, _day(start_date), _day(end_date), force)
    async with ready(call.config, secret_block) as (_, site), followed(call, site.ledger):
        job = await listed(site, wanted, prefix="--")
        return await play(call, job, consent, f"no request of these days is in {initial_state}")


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None
