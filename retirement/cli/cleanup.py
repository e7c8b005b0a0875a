"""`retirement cleanup`: the LMS deletes the rows of learners whose erasure is proved everywhere else."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import typer

from retirement import reports
from retirement.cli.command import Call, code_of, command
from retirement.cli.followed import followed
from retirement.cli.options import DryRunOption, require_keepable
from retirement.cli.output import Streamed, console, errors, show_errors, tables
from retirement.errors import ConfigError, Defect, RetirementError
from retirement.followup import cleanup as followup
from retirement.followup.archive import archiving
from retirement.followup.cleanup_run import AT_ONCE, Choice
from retirement.followup.clearance import CleanupFinding, CleanupResult, Override
from retirement.privacy.spool import Spool
from retirement.site import opened
from retirement.site.coverage import candidates
from retirement.site.stopping import finish_or_stop

#: The rows of these are gone, or would be; a terminal is shown the others.
_CLEARED = (CleanupResult.CLEARED, CleanupResult.WOULD_CLEAR)


@command()
async def cleanup(
    call: Call,
    user_id: int | None = None,
    days: Annotated[
        int | None,
        typer.Option(min=0, max=3650, help="Days since the learner became COMPLETE; default `cleanup_days`."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most learners to clean up.")] = None,
    incomplete: Annotated[
        bool,
        typer.Option("--incomplete", help="Also learners whose erasure is not proved; needs --reason and --by."),
    ] = False,
    receipts: Annotated[
        bool,
        typer.Option("--open-receipts", help="Also learners with an open receipt; needs --reason and --by."),
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why rows are deleted without proof. Names no learner.")] = None,
    by: Annotated[str | None, typer.Option(help="Your role or login; kept in the ledger.")] = None,
    dry_run: DryRunOption = False,
) -> int:
    """Have the LMS delete the rows of learners who are long COMPLETE and whose certificate is complete."""
    override = _override(reason, by, incomplete=incomplete, receipts=receipts)
    configuration = call.configuration
    chosen = Choice(configuration.cleanup_days if days is None else days, user_id, limit, override)
    found = Spool[CleanupFinding]()
    error: RetirementError | None = None
    try:
        await _clean_up(call, chosen, _collecting(found), dry_run=dry_run)
    except RetirementError as raised:
        error = raised
    except Exception as odd:  # noqa: BLE001 - what was done before it has to be said
        error = Defect.at(odd)
    except asyncio.CancelledError:
        _show(call, found, None)
        raise
    _show(call, found, error)
    return code_of(error, reports.cleanup_code(found))


def _override(reason: str | None, by: str | None, *, incomplete: bool, receipts: bool) -> Override | None:
    require_keepable(reason=reason, by=by)
    given = {"--incomplete": incomplete, "--open-receipts": receipts}
    options = [option for option, is_given in given.items() if is_given]
    if not options:
        _require_nothing_said(reason, by)
        return None
    why, who = _unless_blank(reason), _unless_blank(by)
    if not (why and who):
        raise ConfigError(f"{options[0]}: say why with --reason and who says so with --by; both are kept in the ledger")
    return Override(why, who, incomplete=incomplete, receipts=receipts)


def _require_nothing_said(reason: str | None, by: str | None) -> None:
    if reason or by:
        raise ConfigError("--reason and --by belong to --incomplete and --open-receipts; nothing else needs them")


def _unless_blank(text: str | None) -> str | None:
    return text if text and text.strip() else None


def _collecting(found: Spool[CleanupFinding]) -> Callable[[CleanupFinding], None]:
    """Fills `found` as the run goes, since what was done before an error counts too."""

    def tell(each: CleanupFinding) -> None:
        found.append(each)
        if console.is_terminal and len(found) % AT_ONCE == 0:
            errors.print(reports.cleanup_summary(found))

    return tell


async def _clean_up(call: Call, choice: Choice, tell: Callable[[CleanupFinding], None], *, dry_run: bool) -> None:
    # Only the LMS is asked, and the bucket of an archive.
    configuration = call.configuration
    async with (
        opened(configuration) as site,
        followed(call, site.ledger),
        archiving(configuration.archive) as archive,
    ):
        batch, states = site.batch(), candidates(configuration)
        run = followup.clean_up(site, batch, choice, tell, states=states, archive=archive, dry_run=dry_run)
        await finish_or_stop(run, batch.stop)


def _show(call: Call, found: Spool[CleanupFinding], error: RetirementError | None) -> None:
    summary, problems = reports.cleanup_summary(found), str(error).splitlines() if error else []
    left = () if call.as_json else (reports.cleanup_row(each).values() for each in found if each.what not in _CLEARED)
    shown = tables(("learner", "what", "text"), list(left))
    call.show(
        {"learners": Streamed(found, reports.cleanup_row), "summary": summary, "errors": problems}, *shown, summary
    )
    show_errors(problems)
