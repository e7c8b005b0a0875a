"""`retirement retire-learner`: the flow of one learner, in this process."""

import sys
from datetime import timedelta
from typing import Annotated

import typer

from retirement import reports
from retirement.cli.asking import YesOption, agreed
from retirement.cli.command import Call, code_of, command
from retirement.cli.engine import engine_of
from retirement.cli.options import DryRunOption, require_keepable
from retirement.cli.output import errors
from retirement.cli.secrets import secret_block
from retirement.cli.shown_reports import link, reports_table, run_lines
from retirement.config import Configuration
from retirement.reports import DONE, SOME_FAILED
from retirement.retire.preview import let_through, preview
from retirement.site import Site, ready
from retirement.site.watch import absence, locate

EarlyOption = Annotated[
    str | None,
    typer.Option(
        "--before-cool-off-is-over",
        help="Why the learner is retired although the cool-off goes on; kept in the ledger.",
    ),
]


@command()
async def retire_learner(
    call: Call,
    user_id: int,
    before_cool_off_is_over: EarlyOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Retire one learner now; shows the learner and asks first where a terminal is there."""
    require_keepable(**{"before-cool-off-is-over": before_cool_off_is_over})
    async with ready(call.config, secret_block) as (configuration, site):
        learner = await locate(site, user_id)
        if learner is None:
            call.show_failure(user_id, await absence(site, user_id))
            return SOME_FAILED
        cool_off = timedelta(days=configuration.cool_off_days)
        if dry_run or (sys.stdin.isatty() and not yes):
            shown = await preview(site, site.batch(), learner, cool_off)
            if dry_run or not agreed(f"retire learner {user_id}?", *shown.lines, dry_run_shows="the learner"):
                call.show({"user_id": user_id, "preview": shown.lines}, *shown.lines)
                return DONE
        await let_through(site, learner, cool_off, before_cool_off_is_over)
        return await _retire(call, site, user_id, configuration)


async def _retire(call: Call, site: Site, user_id: int, configuration: Configuration) -> int:
    async with engine_of(configuration) as engine:
        # Prefect reads its settings at import, and they are known since the server is up.
        from retirement.flows.retire_learner import retire_by_id

        report, flow_run_id, stopped_by = await retire_by_id(user_id)
        where = run_lines(engine, flow_run_id)
    missing = "" if report or stopped_by else await absence(site, user_id)
    if report is None:
        call.show_failure(user_id, str(stopped_by or missing))
        return code_of(stopped_by, SOME_FAILED)
    document = {
        **reports.document(report),
        "flow_run": flow_run_id,
        "ui": link(engine, flow_run_id) if flow_run_id else None,
    }
    call.show(document, reports_table([report]), *where)
    if stopped_by:
        errors.print(str(stopped_by))
    return code_of(stopped_by, reports.exit_code([report]))
