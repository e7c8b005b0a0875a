"""`retirement notifications`: whether operators are reached."""

import typer

from retirement.cli.command import Call, command
from retirement.cli.engine import engine_of
from retirement.errors import ConfigError
from retirement.reports import DONE, SOME_FAILED

app = typer.Typer(help="The channels by which operators are told.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The channels by which operators are told."""


@app.command()
@command()
async def test(call: Call) -> int:
    """Send a test message to each channel from here, and say which were taken; exit code 1 if one was not."""
    chosen = call.configuration
    if not chosen.notifications:
        raise ConfigError(f"{chosen.source}: notifications: there are no channels; add one, such as {{name, url}}")
    async with engine_of(chosen):
        # Prefect reads its settings at import, and they are known since the server is up.
        from retirement.flows.kit.channels import send_tests

        found = await send_tests(chosen.notifications, chosen.source)
    call.show({"channels": [each.row for each in found]}, *(each.sentence for each in found))
    return SOME_FAILED if any(each.problem for each in found) else DONE
