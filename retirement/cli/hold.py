"""Commands on holds: registered reasons to keep a learner, or one service's data, until a date."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from retirement import reports
from retirement.cli.command import Call, command
from retirement.cli.followed import followed
from retirement.cli.options import ByOption, require_keepable
from retirement.cli.output import table
from retirement.errors import ConfigError
from retirement.ledger import opened
from retirement.ledger.holds import Wanted, nothing_waits
from retirement.reports import DONE
from retirement.site import ledger_location

app = typer.Typer(help="Legal or operational reasons not to erase, with an end.", no_args_is_help=True)


@app.command()
@command()
async def add(
    call: Call,
    basis: Annotated[str, typer.Option(help="Legal basis or reason, such as 'Art. 17(3)(e)'. Names no learner.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of the hold.")],
    by: ByOption,
    user_id: int | None = None,
    org: Annotated[str | None, typer.Option(help="All learners enrolled in courses of this organisation.")] = None,
    service: Annotated[
        str | None, typer.Option(help="Keep only the data in this service; default: all services.")
    ] = None,
) -> int:
    """Keep a learner, or the learners of an organisation, wholly or in one service."""
    require_keepable(basis=basis, by=by, org=org)
    # The day as the ledger counts days.
    Wanted(user_id, org, service, until.date()).require(
        call.configuration.services, datetime.now(UTC).date(), prefix="--"
    )
    async with opened(ledger_location(call.configuration)) as ledger, followed(call, ledger):
        number = await ledger.holds.add(
            user_id=user_id, org=org, service=service, basis=basis.strip(), until=until.date(), by=by
        )
    call.show({"hold": number}, f"hold {number}")
    return DONE


@app.command("list")
@command()
async def list_(
    call: Call,
    every: Annotated[bool, typer.Option("--all", help="Released and expired holds as well.")] = False,
) -> int:
    """Show the holds, the next to end first."""
    async with opened(ledger_location(call.configuration)) as ledger:
        rows = reports.holds(await ledger.holds.find(active_only=not every))
    call.show({"holds": rows}, table(rows[0], (row.values() for row in rows)) if rows else "no holds")
    return DONE


@app.command()
@command()
async def release(
    call: Call,
    hold: Annotated[int, typer.Argument(help="Number of the hold.")],
    by: ByOption,
    reason: Annotated[str, typer.Option(help="Why the hold ends early. Names no learner.")],
) -> int:
    """End a hold now; the next queue run erases what it kept."""
    require_keepable(by=by, reason=reason)
    async with opened(ledger_location(call.configuration)) as ledger, followed(call, ledger):
        two = call.configuration.guard.two_for_holds
        released = await ledger.holds.release(hold, by=by, reason=reason, two_people=two)
    waits = (
        f"hold {hold} stays, 1 of 2: it needs another person, within {call.configuration.guard.answer_hours:g} hours"
    )
    text = f"hold {hold} is released; the next queue run goes on" if released else waits
    call.show({"hold": hold, "released": released}, text)
    return DONE


@app.command()
@command()
async def keep(
    call: Call,
    hold: Annotated[int, typer.Argument(help="Number of the hold.")],
    by: ByOption,
    reason: Annotated[str, typer.Option(help="Why the hold stays. Names no learner.")],
) -> int:
    """Say no to the end of a hold, where the yes of one person waits for that of another."""
    require_keepable(by=by, reason=reason)
    async with opened(ledger_location(call.configuration)) as ledger:
        if not await ledger.holds.keep(hold, by=by, reason=reason):
            raise ConfigError(nothing_waits(hold))
    call.show({"hold": hold, "released": False}, f"hold {hold} stays; its end takes two people anew")
    return DONE
