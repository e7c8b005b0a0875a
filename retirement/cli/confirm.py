"""`retirement confirm`: close a receipt by what a person has seen."""

from typing import Annotated

import typer

from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.options import ByOption, require_keepable, within_ids
from retirement.errors import ConfigError
from retirement.followup.confirming import confirm as confirmed
from retirement.ledger import opened
from retirement.reports import DONE
from retirement.site import ledger_location


@command()
async def confirm(
    call: Call,
    receipt: Annotated[int, typer.Option("--receipt", min=1, callback=within_ids, help="Number of the receipt.")],
    evidence: Annotated[str, typer.Option("--evidence", help="What proves it, such as a ticket. Names no learner.")],
    by: ByOption,
) -> int:
    """Close a receipt by hand: for a manual step, or a service without an API to ask."""
    require_keepable(evidence=evidence, by=by)
    async with opened(ledger_location(call.configuration)) as ledger, followed(call, ledger):
        try:
            document = await confirmed(ledger, receipt, evidence, by)
        except ConfigError as wrong:
            raise ConfigError(f"--{wrong}") from None
    call.show(document, f"receipt {receipt} is confirmed by {by}")
    return DONE
