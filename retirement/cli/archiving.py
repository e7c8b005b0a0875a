"""`retirement archive`: the LMS forgets who somebody was, once everything else is proved to have gone."""

from typing import Annotated

import typer
from rich.table import Table

from retirement import archive as archives
from retirement import reports
from retirement.archive import Archived, Choice, Told
from retirement.cli.mending import DryRunOption
from retirement.cli.output import (
    ConfigOption,
    JsonOption,
    UserIdOption,
    code_of,
    console,
    errors,
    require_keepable,
    run,
    show_json,
)
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.errors import ConfigError, RetirementError
from retirement.site import opened


def archive(
    user_id: UserIdOption = None,
    days: Annotated[
        int | None,
        typer.Option(min=0, max=3650, help="Days that they have been COMPLETE; default `archive_days`."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most learners to forget.")] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Also those whose erasure is not proved; takes --reason and --by.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why they are forgotten without proof. Names nobody.")] = None,
    by: Annotated[str | None, typer.Option(help="Who says so; a role or a login, kept in the ledger.")] = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the LMS delete what it keeps of learners who are long COMPLETE and whose certificate is complete."""

    async def command() -> int:
        told = _told(reason, by, incomplete=incomplete)
        configuration = load(config, secret_block=secret_block)
        chosen = Choice(configuration.archive_days if days is None else days, user_id, limit, told)
        found, error = await _archived(configuration, chosen, dry_run=dry_run)
        if as_json:
            show_json(
                {
                    "learners": [reports.archived(each) for each in found],
                    "summary": reports.archived_summary(found),
                    "errors": [str(error)] if error else [],
                }
            )
        else:
            _show(found)
        if error:
            errors.print(str(error), highlight=False, markup=False)
            return code_of(error)
        return reports.archived_code(found)

    run(command, as_json=as_json)


def _told(reason: str | None, by: str | None, *, incomplete: bool) -> Told | None:
    require_keepable(reason=reason, by=by)
    if not incomplete:
        if reason or by:
            raise ConfigError("--reason and --by belong to --incomplete; nothing else needs them")
        return None
    if not (reason and reason.strip() and by and by.strip()):
        raise ConfigError("--incomplete: say why with --reason and who says so with --by; both are kept in the ledger")
    return Told(reason, by)


async def _archived(
    configuration: Configuration, choice: Choice, *, dry_run: bool
) -> tuple[list[Archived], RetirementError | None]:
    """What was done, and the error that ended it: what was done before it counts too."""
    found: list[Archived] = []
    # No service but the LMS is asked anything.
    async with opened(configuration) as site:
        try:
            async for each in archives.archive(site, choice, dry_run=dry_run):
                found.append(each)
                if console.is_terminal and len(found) % archives.AT_ONCE == 0:
                    errors.print(reports.archived_summary(found), highlight=False)
        except RetirementError as error:
            return found, error
    return found, None


def _show(found: list[Archived]) -> None:
    left = [each for each in found if each.what not in (archives.What.CLEARED, archives.What.WOULD_CLEAR)]
    if left:
        table = Table()
        for heading in ("learner", "what", "text"):
            table.add_column(heading, overflow="fold")
        for each in left:
            table.add_row(*(str(cell) for cell in reports.archived(each).values()))
        console.print(table)
    console.print(reports.archived_summary(found), highlight=False)
