"""`retirement request`: put one account, or those of a file, into the queue."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from retirement.cli.asking import YesOption
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.jobs import AtMostOption, Consent, JobByOption, ReasonOption, play
from retirement.cli.names import asked_for
from retirement.cli.options import DryRunOption
from retirement.cli.secrets import secret_block
from retirement.errors import ConfigError
from retirement.followup.name_list import read_names
from retirement.followup.request import COLUMNS, DEFAULT, Entry, entries_of, looked_up
from retirement.site import ready

_TYPED = "- to be asked for the account's {}, or to pipe it in; it is not kept."


@command()
def request(
    call: Call,
    user_id: int | None = None,
    username: Annotated[str | None, typer.Option(help=_TYPED.format("username"))] = None,
    email: Annotated[str | None, typer.Option(help=_TYPED.format("e-mail address"))] = None,
    csv: Annotated[
        Path | None, typer.Option(help="File with user_id, username or email; without headings: username,email.")
    ] = None,
    at_most: AtMostOption = 50,
    reason: ReasonOption = None,
    by: JobByOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> Coroutine[Any, Any, int]:
    """Have the LMS make a request to retire for an account, or for each of a file; shows them and asks first."""
    ways = {"--user-id": user_id, "--username": username, "--email": email, "--csv": csv}
    if sum(each is not None for each in ways.values()) != 1:
        raise ConfigError(f"{', '.join(ways)}: give one of them")
    consent = Consent.of(by, reason, at_most=at_most, yes=yes, dry_run=dry_run)
    if csv:
        entries = entries_of(csv, read_names(csv, COLUMNS, DEFAULT))
    else:
        names = asked_for("--username", username) or "", asked_for("--email", email) or ""
        entries = [Entry(None, user_id, *names)]
    return _request(call, entries, consent)


async def _request(call: Call, entries: list[Entry], consent: Consent) -> int:
    async with ready(call.config, secret_block) as (configuration, site), followed(call, site.ledger):
        job = await looked_up(site, configuration.guard, entries)
        return await play(call, job, consent, "the file names no account")
