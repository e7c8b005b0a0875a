"""`retirement redrive`: bring learners back whose step failed for good, once the cause is gone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from retirement import reports
from retirement.cli import findings
from retirement.cli.asking import YesOption
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.options import DryRunOption
from retirement.cli.secrets import secret_block
from retirement.errors import ConfigError
from retirement.followup import redrive as followup
from retirement.followup.job import planned
from retirement.followup.move_back import Finding
from retirement.followup.redrive import Choice
from retirement.pipeline import ERRORED
from retirement.reports import DONE
from retirement.site import Site, ready
from retirement.site.watch import whereabouts


@command()
async def redrive(
    call: Call,
    user_id: int | None = None,
    step: Annotated[str | None, typer.Option(help="Learners who failed in this step.")] = None,
    error: Annotated[str | None, typer.Option(help="Learners who failed with this class, such as Refused.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Learners whose state changed since, UTC."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most learners to bring back.")] = 50,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Return ERRORED learners to the last end state that is proved; shows them and asks first."""
    choice = Choice(user_id, step, error, since.replace(tzinfo=UTC) if since else None)
    async with ready(call.config, secret_block) as (_, site), followed(call, site.ledger):
        _require_step(site, step)
        found = await _redriven(site, choice, limit, dry_run=True)
        meant = planned(found)
        if meant and not dry_run:
            if not (yes or findings.agreed_to(f"bring {len(meant)} learners back?", found)):
                return DONE
            # Exactly the learners who were shown, whichever others have failed since.
            moved = await _redriven(site, replace(choice, user_ids=meant), limit, dry_run=False)
            found = findings.after(found, moved)
        nothing = "" if found else await _nothing_to_redrive(site, user_id)
    findings.show(call, found, nothing)
    return reports.findings_code(found)


def _require_step(site: Site, step: str | None) -> None:
    if step and step not in site.pipeline.working_states:
        raise ConfigError(f"--step: {step} is no step; steps are {', '.join(site.pipeline.working_states)}")


async def _redriven(site: Site, choice: Choice, limit: int, *, dry_run: bool) -> list[Finding]:
    return [each async for each in followup.redrive(site, choice, limit=limit, dry_run=dry_run)]


async def _nothing_to_redrive(site: Site, user_id: int | None) -> str:
    """An empty choice does not say that no learner is ERRORED."""
    if user_id:
        return f"{await whereabouts(site, user_id)}: not brought back"
    errored = len((await site.lms.rows.queue([ERRORED], 0)).learners)
    return (
        f"{errored} learners are {ERRORED}, and these options mean none of them"
        if errored
        else f"no learner is {ERRORED}"
    )
