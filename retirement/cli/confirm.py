"""`retirement confirm`: close a receipt by what a person has seen."""

from typing import Annotated

import typer

from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.options import ByOption, require_keepable, within_ids
from retirement.errors import ConfigError
from retirement.followup.verify import CONFIRMED
from retirement.ledger import Receipt, opened
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
        found = next((each for each in await ledger.receipts.find() if each.id == receipt and each.operation), None)
        if found is None:
            raise ConfigError(
                f"--receipt: there is no receipt {receipt}; `retirement verify --all` lists the open ones"
            )
        if not await ledger.receipts.checked(receipt, result=CONFIRMED, confirmed=True, evidence=(evidence, by)):
            raise ConfigError(f"--receipt: receipt {receipt} is settled already{_by_whom(found)}")
    call.show({"receipt": receipt, "result": CONFIRMED}, f"receipt {receipt} is confirmed by {by}")
    return DONE


def _by_whom(receipt: Receipt) -> str:
    return f", by {receipt.evidence_by}" if receipt.evidence_by else ""
