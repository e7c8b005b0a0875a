"""`retirement archive`: the LMS forgets who somebody was, once everything else is proved to have gone."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from retirement import archive as archives
from retirement import reports
from retirement.archive import Choice
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
from retirement.coverage import candidates
from retirement.engine import carefully
from retirement.errors import ConfigError, Defect, RetirementError
from retirement.forgetting import Archived, Told, What
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
    receipts: Annotated[
        bool, typer.Option("--open-receipts", help="Also those whom a service only promised; takes --reason and --by.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why they are forgotten without proof. Names nobody.")] = None,
    by: Annotated[str | None, typer.Option(help="Who says so; a role or a login, kept in the ledger.")] = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the LMS delete what it keeps of learners who are long COMPLETE and whose certificate is complete."""

    async def command() -> int:
        told = _told(reason, by, incomplete=incomplete, receipts=receipts)
        configuration = load(config, secret_block=secret_block)
        chosen = Choice(configuration.archive_days if days is None else days, user_id, limit, told)
        found: list[Archived] = []
        error: RetirementError | None = None
        try:
            await _archive(configuration, chosen, found, dry_run=dry_run)
        except RetirementError as raised:
            error = raised
        except Exception as odd:  # noqa: BLE001 - what was done before it has to be said
            error = Defect.at(odd)
        except asyncio.CancelledError:
            _show(found, None, as_json=as_json)
            raise
        _show(found, error, as_json=as_json)
        return code_of(error) if error else reports.archived_code(found)

    run(command, as_json=as_json)


def _told(reason: str | None, by: str | None, *, incomplete: bool, receipts: bool) -> Told | None:
    require_keepable(reason=reason, by=by)
    if not (incomplete or receipts):
        if reason or by:
            raise ConfigError("--reason and --by belong to --incomplete and --open-receipts; nothing else needs them")
        return None
    if not (reason and reason.strip() and by and by.strip()):
        option = "--incomplete" if incomplete else "--open-receipts"
        raise ConfigError(f"{option}: say why with --reason and who says so with --by; both are kept in the ledger")
    return Told(reason, by, incomplete=incomplete, receipts=receipts)


async def _archive(configuration: Configuration, choice: Choice, found: list[Archived], *, dry_run: bool) -> None:
    """Fills `found` as it goes: what was done before an error counts too."""

    def tell(each: Archived) -> None:
        found.append(each)
        if console.is_terminal and len(found) % archives.AT_ONCE == 0:
            errors.print(reports.archived_summary(found), highlight=False)

    # No service but the LMS is asked anything.
    async with opened(configuration) as site:
        run = archives.archive(site, choice, tell, states=candidates(configuration), dry_run=dry_run)
        await carefully(run, site.stop)


def _show(found: list[Archived], error: RetirementError | None, *, as_json: bool) -> None:
    summary, problems = reports.archived_summary(found), str(error).splitlines() if error else []
    if as_json:
        show_json({"learners": [reports.archived(each) for each in found], "summary": summary, "errors": problems})
    else:
        if left := [each for each in found if each.what not in (What.CLEARED, What.WOULD_CLEAR)]:
            console.print(_table(left))
        console.print(summary, highlight=False)
    for problem in problems:
        errors.print(problem, highlight=False, markup=False)


def _table(found: list[Archived]) -> Table:
    table = Table()
    for heading in ("learner", "what", "text"):
        table.add_column(heading, overflow="fold")
    for each in found:
        table.add_row(*("" if cell is None else str(cell) for cell in reports.archived(each).values()))
    return table
