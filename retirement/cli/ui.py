"""`retirement ui`: Prefect's UI in a browser, signed in."""

import asyncio
import webbrowser

from retirement.cli.command import Call, command
from retirement.cli.output import console
from retirement.errors import ConfigError
from retirement.flows.kit import lock
from retirement.flows.kit.server import engine_folder, in_use
from retirement.reports import DONE


@command(configured=False, json=False)
async def ui(_call: Call) -> int:
    """Open Prefect's UI in the browser of this account, signed in."""
    with in_use() as engine:
        if engine is None:
            raise ConfigError("no Prefect server is up; `retirement serve` starts one")
        address = engine.ui_url
        if engine.is_ours:
            # A file and no address: other accounts see the addresses that a browser is started with.
            address = lock.write_page(engine_folder(), engine.ui_url).as_uri()
    if not await asyncio.to_thread(webbrowser.open, address):
        console.print(f"UI: {engine.ui_url}")
        if engine.is_ours:
            console.print(lock.login(engine_folder()))
    return DONE
