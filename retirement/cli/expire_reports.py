"""`retirement expire-reports`: delete delivered files of partner reports from their sinks."""

from typing import Annotated

import typer

from retirement.cli.command import Call, code_of, command
from retirement.cli.followed import followed
from retirement.cli.options import DryRunOption
from retirement.cli.output import show_errors, tables
from retirement.errors import RetirementError
from retirement.partners.destination import destination_of
from retirement.partners.expiry import ExpiryFinding, ages_of, error_of, expire, problems, summary
from retirement.reports import DONE, SOME_FAILED
from retirement.site import opened
from retirement.site.stopping import finish_or_stop


@command()
async def expire_reports(
    call: Call,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Days since a file was delivered; default partners.expire_days."),
    ] = None,
    dry_run: DryRunOption = False,
) -> int:
    """Delete delivered files of partner reports that are old enough, and tell partners some days before."""
    configuration, found = call.configuration, list[ExpiryFinding]()
    ages, destination = ages_of(configuration, days), destination_of(configuration)
    error: RetirementError | None = None
    try:
        async with opened(configuration) as site, followed(call, site.ledger):
            batch = site.batch()
            run = expire(site, batch, destination, ages, found.append, dry_run=dry_run)
            await finish_or_stop(run, batch.stop)
    except RetirementError as raised:
        error = raised
    errors = [*error_of(error), *problems(found)]
    rows = [each.row for each in found]
    shown = tables(("sink", "file", "what", "text"), [each.values() for each in rows])
    call.show({"files": rows, "summary": summary(found), "errors": errors}, *shown, summary(found))
    show_errors(errors)
    return code_of(error, SOME_FAILED if errors else DONE)
