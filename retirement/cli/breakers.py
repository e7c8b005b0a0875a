"""Commands on breakers: stop calling a service, or call it again, by hand and with a reason."""

from typing import Annotated

import typer

from retirement.cli.output import ByOption, ConfigOption, JsonOption, console, require_keepable, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import load
from retirement.errors import ConfigError
from retirement.ledger import opened
from retirement.reports import DONE
from retirement.site import ledger_place

app = typer.Typer(help="Stop calling a service, or call it again.", no_args_is_help=True)

ServiceArgument = Annotated[str, typer.Argument(help="Service, such as CREDENTIALS.")]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the ledger. Names nobody.")]


@app.command("open")
def open_(
    service: ServiceArgument,
    reason: ReasonOption,
    by: ByOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call this service no more until somebody closes the breaker; learners wait before its steps."""
    _set(service, reason, by, config, open_it=True, as_json=as_json)


@app.command()
def close(
    service: ServiceArgument,
    reason: ReasonOption,
    by: ByOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call this service again at once."""
    _set(service, reason, by, config, open_it=False, as_json=as_json)


def _set(service: str, reason: str, by: str, config: ConfigOption, *, open_it: bool, as_json: bool) -> None:
    async def command() -> int:
        require_keepable(reason=reason, by=by)
        configuration = load(config, secret_block=secret_block)
        if service not in configuration.services:
            known = ", ".join(configuration.services)
            raise ConfigError(f"SERVICE: {service} is not configured; services are {known}")
        async with opened(ledger_place(configuration)) as ledger:
            change = ledger.open_breaker if open_it else ledger.close_breaker
            await change(service, reason=reason, by=by)
        state = "open" if open_it else "closed"
        if as_json:
            show_json({"service": service, "breaker": state})
        else:
            console.print(f"{service}: {state}", highlight=False)
        return DONE

    run(command, as_json=as_json)
