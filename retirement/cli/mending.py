"""Commands that bring learners back: reconcile, redrive, cancel."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from retirement import reconciler, reports
from retirement.cli.output import (
    LARGEST_ID,
    ConfigOption,
    JsonOption,
    UserIdOption,
    console,
    errors,
    run,
    show_json,
)
from retirement.cli.secrets import secret_block
from retirement.config import load
from retirement.errors import ConfigError, StateConflict
from retirement.reconciler import Choice, Finding, Verdict
from retirement.reports import DONE, SOME_FAILED
from retirement.site import opened, ready

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


def reconcile(
    user_id: UserIdOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give back learners in a working state whom no live run has, to the last proved end state."""

    async def command() -> int:
        async with ready(config, secret_block) as (_, site):
            found = [each async for each in reconciler.reconcile(site, user_id=user_id, dry_run=dry_run)]
        _show(found, as_json=as_json)
        return reports.findings_code(found)

    run(command, as_json=as_json)


def redrive(
    user_id: UserIdOption = None,
    step: Annotated[str | None, typer.Option(help="Those who failed in this step.")] = None,
    error: Annotated[str | None, typer.Option(help="Those who failed with this class, such as Refused.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Those whose state changed since, UTC."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most learners to bring back.")] = 50,
    dry_run: DryRunOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring ERRORED learners back to the last proved end state; shows whom and asks first."""
    moment = since.replace(tzinfo=UTC) if since else None
    choice = Choice(user_id, step, error, moment)

    async def command() -> int:
        async with ready(config, secret_block) as (_, site):
            if step and step not in site.pipeline.working_states:
                raise ConfigError(f"--step: {step} is no step; steps are {', '.join(site.pipeline.working_states)}")
            found = [each async for each in reconciler.redrive(site, choice, limit=limit, dry_run=True)]
            meant = {each.user_id for each in found if each.verdict is Verdict.WOULD_MOVE and each.user_id}
            if not dry_run and meant:
                if not (yes or _agreed(found, len(meant))):
                    return DONE
                # Exactly those who were shown, whoever has failed since.
                exactly = replace(choice, user_ids=frozenset(meant))
                found = [each for each in found if each.user_id not in meant]
                found += [each async for each in reconciler.redrive(site, exactly, limit=limit)]
        _show(found, as_json=as_json)
        return reports.findings_code(found)

    run(command, as_json=as_json)


def _agreed(found: list[Finding], meant: int) -> bool:
    """Previews on a terminal and asks; whoever cannot be asked has to say so before."""
    if not sys.stdin.isatty():
        raise ConfigError("--yes: nobody can be asked here; give it, or --dry-run to see whom it concerns")
    errors.print(_table(found))
    return typer.confirm(f"bring {meant} learners back?", err=True)


def _show(found: list[Finding], *, as_json: bool) -> None:
    if as_json:
        show_json({"learners": [reports.finding(each) for each in found]})
        return
    if found:
        console.print(_table(found))
    console.print(reports.findings_summary(found), highlight=False)


def _table(found: list[Finding]) -> Table:
    table = Table()
    for heading in ("learner", "what", "state", "target", "text"):
        table.add_column(heading, overflow="fold")
    for each in found:
        table.add_row(*("" if cell is None else str(cell) for cell in reports.finding(each).values()))
    return table


def cancel(
    user_id: Annotated[int, typer.Option("--user-id", min=1, max=LARGEST_ID, help="LMS user id of the learner.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back the request of a learner who is still PENDING: they keep their account."""

    async def command() -> int:
        # Whoever may cancel may be nobody to the other services, so nobody asks them.
        async with opened(load(config, secret_block=secret_block)) as site:
            problem = None
            try:
                await reconciler.cancel(site, user_id)
            except StateConflict as error:
                problem = str(error)
        if as_json:
            show_json({"user_id": user_id, "cancelled": problem is None, "errors": [problem] if problem else []})
        elif problem:
            errors.print(problem, highlight=False)
        else:
            console.print(f"learner {user_id} keeps the account; they have to set a new password", highlight=False)
        return SOME_FAILED if problem else DONE

    run(command, as_json=as_json)
