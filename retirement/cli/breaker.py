"""Commands on breakers: stop calling a service, or call it again, by hand and with a reason."""

from typing import Annotated

import typer

from retirement.cli.command import Call, command
from retirement.cli.options import ByOption, require_keepable
from retirement.errors import ConfigError
from retirement.ledger import opened
from retirement.reports import DONE
from retirement.site import ledger_location

app = typer.Typer(help="Stop calling a service, or call it again.", no_args_is_help=True)

ServiceArgument = Annotated[str, typer.Argument(help="Service, such as CREDENTIALS.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the ledger. Names no learner.")]


@app.command("open")
@command()
async def open_(call: Call, service: ServiceArgument, reason: ReasonOption, by: ByOption) -> int:
    """Stop calling this service until the breaker is closed by hand; learners wait before its steps."""
    return await _set(call, service, reason, by, open_it=True)


@app.command()
@command()
async def close(call: Call, service: ServiceArgument, reason: ReasonOption, by: ByOption) -> int:
    """Call this service again at once."""
    return await _set(call, service, reason, by, open_it=False)


async def _set(call: Call, service: str, reason: str, by: str, *, open_it: bool) -> int:
    require_keepable(reason=reason, by=by)
    if service not in call.configuration.services:
        known = ", ".join(call.configuration.services)
        raise ConfigError(f"SERVICE: {service} is not configured; services are {known}")
    async with opened(ledger_location(call.configuration)) as ledger:
        change = ledger.breakers.open if open_it else ledger.breakers.close
        await change(service, reason=reason, by=by)
    state = "open" if open_it else "closed"
    call.show({"service": service, "breaker": state}, f"{service}: {state}")
    return DONE
