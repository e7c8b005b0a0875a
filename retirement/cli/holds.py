"""Commands on holds: registered reasons to keep a learner, or one service's data, until a date."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from retirement.cli.output import (
    LARGEST_ID,
    ByOption,
    ConfigOption,
    JsonOption,
    console,
    require_keepable,
    run,
    show_json,
)
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.errors import ConfigError
from retirement.ledger import Hold, opened
from retirement.reports import DONE
from retirement.site import ledger_place

app = typer.Typer(help="Legal or operational reasons not to erase, with an end.", no_args_is_help=True)


@app.command()
def add(
    basis: Annotated[str, typer.Option(help="Legal basis or reason, such as 'Art. 17(3)(e)'. Names nobody.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of the hold.")],
    by: ByOption,
    user_id: Annotated[
        int | None, typer.Option("--user-id", min=1, max=LARGEST_ID, help="LMS user id of the learner.")
    ] = None,
    org: Annotated[str | None, typer.Option(help="Everybody enrolled in courses of this organisation.")] = None,
    service: Annotated[str | None, typer.Option(help="Keep only what this service holds; else everything.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a learner, or the learners of an organisation, wholly or in one service."""

    async def command() -> int:
        require_keepable(basis=basis.strip() or None, by=by, org=org)
        configuration = load(config, secret_block=secret_block)
        _require(configuration, user_id, org, service, basis, until.date())
        async with opened(ledger_place(configuration)) as ledger:
            number = await ledger.add_hold(
                user_id=user_id, org=org, service=service, basis=basis.strip(), until=until.date(), by=by
            )
        if as_json:
            show_json({"hold": number})
        else:
            console.print(f"hold {number}", highlight=False)
        return DONE

    run(command, as_json=as_json)


def _require(
    configuration: Configuration, user_id: int | None, org: str | None, service: str | None, basis: str, until: date
) -> None:
    if (user_id is None) == (org is None):
        raise ConfigError("--user-id, --org: give one of them")
    if service is not None and service not in configuration.services:
        raise ConfigError(f"--service: {service} is not configured; services are {', '.join(configuration.services)}")
    if not basis.strip():
        raise ConfigError("--basis: give the reason; an auditor will ask for it")
    if until < datetime.now(UTC).date():  # as the ledger counts days
        raise ConfigError("--until: this day is over")


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Released and expired ones as well.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the holds, the next to end first."""

    async def command() -> int:
        async with opened(ledger_place(load(config, secret_block=secret_block))) as ledger:
            found = sorted(await ledger.holds(active_only=not every), key=lambda hold: (hold.until, hold.id))
        rows = [_row(hold) for hold in found]
        if as_json:
            show_json({"holds": rows})
        elif rows:
            table = Table()
            for heading in rows[0]:
                table.add_column(heading, overflow="fold")
            for row in rows:
                table.add_row(*("" if cell is None else str(cell) for cell in row.values()))
            console.print(table)
        else:
            console.print("no holds", highlight=False)
        return DONE

    run(command, as_json=as_json)


def _row(hold: Hold) -> dict[str, Any]:
    return {
        "hold": hold.id,
        "learner": hold.user_id,
        "org": hold.org,
        "service": hold.service,
        "basis": hold.basis,
        "until": hold.until.isoformat(),
        "by": hold.by,
        "released": hold.released_at.isoformat() if hold.released_at else None,
    }


@app.command()
def release(
    hold: Annotated[int, typer.Argument(help="Number of the hold.")],
    by: ByOption,
    reason: Annotated[str, typer.Option(help="Why it ends early. Names nobody.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a hold now; the next queue run erases what it kept."""

    async def command() -> int:
        require_keepable(by=by, reason=reason)
        async with opened(ledger_place(load(config, secret_block=secret_block))) as ledger:
            await ledger.release_hold(hold, by=by, reason=reason)
        if as_json:
            show_json({"hold": hold, "released": True})
        else:
            console.print(f"hold {hold} is released; the next queue run goes on", highlight=False)
        return DONE

    run(command, as_json=as_json)
