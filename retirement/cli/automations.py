"""`retirement automations`: what the Prefect server does by itself, put there from the configuration."""

from dataclasses import asdict

import typer

from retirement.cli.command import Call, command
from retirement.cli.engine import engine_of
from retirement.config import Configuration
from retirement.flows.kit.server import PrefectServer
from retirement.reports import DONE

app = typer.Typer(help="What the Prefect server does by itself: end dead runs, tell operators.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """What the Prefect server does by itself: end dead runs, tell operators."""


@app.command()
@command()
async def apply(call: Call) -> int:
    """Put channels and automations on the Prefect server, as `serve` does, and remove those that left the file."""
    chosen = call.configuration
    async with engine_of(chosen) as engine:
        # Prefect reads its settings at import, and they are known since the server is up.
        from retirement.flows.kit.automations import apply as put

        done = await put(chosen.notifications, source=chosen.source, ui_url=ui_url(chosen, engine))
    found = {name: names for name, names in asdict(done).items() if name != "new_channels"}
    unchanged = len(found["unchanged"])
    lines = [f"{what}: {', '.join(names)}" for what, names in found.items() if names and what != "unchanged"]
    call.show(found, *lines, *([f"unchanged: {unchanged}"] if unchanged else []))
    return DONE


def ui_url(configuration: Configuration, engine: PrefectServer) -> str:
    """Where the links of notifications begin."""
    return (configuration.ui_url or engine.ui_url).rstrip("/")
