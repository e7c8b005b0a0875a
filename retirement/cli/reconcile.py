"""`retirement reconcile`: bring learners back whose run died, and adopt those in states that no step has."""

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
from retirement.followup import reconcile as followup
from retirement.followup.adopt import adopt as adopted
from retirement.followup.job import planned
from retirement.reports import DONE
from retirement.site import Site, ready
from retirement.site.watch import watch, whereabouts


@command()
async def reconcile(
    call: Call,
    user_id: int | None = None,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="Instead: move learners in states that no step has; shows them and asks first."),
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Return learners whose run died to the last end state that is proved."""
    if yes and not adopt:
        raise ConfigError("--yes: it answers the question of --adopt, which is not given")
    async with ready(call.config, secret_block) as (_, site), followed(call, site.ledger):
        if adopt:
            return await _adopt(call, site, user_id, dry_run=dry_run, yes=yes)
        watched = await watch(site)
        run = followup.reconcile(site, user_id=user_id, dry_run=dry_run, watched=watched)
        found = [each async for each in run]
        nothing = await whereabouts(site, user_id) if user_id and not found else reports.nothing_stuck(watched)
        findings.show(call, found, nothing)
    return reports.findings_code(found)


async def _adopt(call: Call, site: Site, user_id: int | None, *, dry_run: bool, yes: bool) -> int:
    found = [each async for each in adopted(site, user_id=user_id, dry_run=True)]
    meant = frozenset() if dry_run else planned(found)
    if meant and not (yes or findings.agreed_to(f"move {len(meant)} learners?", found)):
        return DONE
    if meant:
        # Exactly the learners who were shown.
        found = findings.after(found, [each async for each in adopted(site, user_ids=meant)])
    nothing = "" if found else await _nothing_to_adopt(site, user_id)
    findings.show(call, found, nothing)
    return reports.findings_code(found)


async def _nothing_to_adopt(site: Site, user_id: int | None) -> str:
    if user_id:
        return await whereabouts(site, user_id)
    return f"no learner is in a state that no step has; {(await watch(site)).standing}"
