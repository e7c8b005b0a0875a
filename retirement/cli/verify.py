"""`retirement verify`: check pending erasures with the services."""

from typing import Annotated

import typer

from retirement import reports
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.output import tables
from retirement.followup import verify as followup
from retirement.followup.questions import Checked
from retirement.site import opened

_HEADINGS = ("receipt", "learner", "step", "service", "what", "overdue", "text")


@command()
async def verify(
    call: Call,
    user_id: int | None = None,
    every: Annotated[bool, typer.Option("--all", help="Check every open receipt now, due or not.")] = False,
) -> int:
    """Check pending erasures with each service; repeat those whose data is still there."""
    # Services are not checked beforehand: a wrong key of one must not keep the others from answering.
    async with opened(call.configuration) as site, followed(call, site.ledger):
        found = [each async for each in followup.verify(site, site.batch(), user_id=user_id, every=every)]
    shown = tables(_HEADINGS, list(map(_cells, found)))
    call.show({"receipts": [reports.checked(each) for each in found]}, *shown, reports.checked_summary(found))
    return reports.checked_code(found)


def _cells(each: Checked) -> list[object]:
    return ["yes" if cell is True else "" if cell is False else cell for cell in reports.checked(each).values()]
