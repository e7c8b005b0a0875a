"""`retirement replace-usernames`: new usernames for accounts, by a file of pairs."""

from pathlib import Path
from typing import Annotated

import typer

from retirement.cli.asking import YesOption
from retirement.cli.command import Call, command
from retirement.cli.jobs import AtMostOption, Consent, JobByOption, ReasonOption, play
from retirement.cli.options import DryRunOption
from retirement.cli.secrets import secret_block
from retirement.errors import ConfigError
from retirement.followup.name_list import read_names
from retirement.followup.name_pairs import COLUMNS, pairs_of, require_private
from retirement.followup.replace_usernames import RESULTS, looked_up
from retirement.site import ready


@command()
async def replace_usernames(
    call: Call,
    csv: Annotated[Path, typer.Option(help="File with the columns current and desired; headings may be left out.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help=f"Folder for {RESULTS}, which holds usernames; default username_replacements.", show_default=False
        ),
    ] = None,
    at_most: AtMostOption = 50,
    reason: ReasonOption = None,
    by: JobByOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Give accounts new usernames in the LMS, then in each service and the forum; shows them and asks first."""
    consent = Consent.of(by, reason, at_most=at_most, yes=yes, dry_run=dry_run)
    pairs = pairs_of(csv, read_names(csv, COLUMNS, COLUMNS))
    given = output or call.configuration.username_replacements
    if given is None:
        raise ConfigError("--output: name the folder for the results, or set username_replacements")
    folder = require_private(Path(given), "--output" if output else "username_replacements")
    async with ready(call.config, secret_block) as (_, site):
        job = await looked_up(site, pairs, folder)
        del pairs  # the job has them
        code = await play(call, job, consent, "the file has no pair")
    if not dry_run:
        call.remark([f"{folder / RESULTS} holds usernames: delete it once it has been read"])
    return code
