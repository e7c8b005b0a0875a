"""`retirement serve`: Prefect's server, and the flows by their schedules."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from retirement.api.listening import listening
from retirement.cli.automations import ui_url
from retirement.cli.command import Call, command
from retirement.cli.engine import engine_of
from retirement.cli.next_times import lines
from retirement.cli.output import console, errors
from retirement.config import Configuration
from retirement.errors import BusyElsewhere, ConfigError, LedgerError
from retirement.flows.kit import lock
from retirement.flows.kit.counted import one_line_each
from retirement.flows.kit.own_file import digest, require_own
from retirement.flows.kit.server import PrefectServer, engine_folder, restart
from retirement.flows.kit.watchdog import EngineLog, Watchdog, seen
from retirement.ledger import opened
from retirement.process import claim, home, waiting
from retirement.reports import DONE
from retirement.site import ledger_location


@command(json=False, leaves_at_once=True)
async def serve(
    call: Call,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the UI and the API.")] = 4200,
) -> int:
    """Keep server, UI and the scheduled flows running in the foreground."""
    chosen = call.configuration
    _hand_on(chosen.source)
    os.environ["PREFECT_LOGGING_LEVEL"] = os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    log = EngineLog(home() / "logs" / "engine.log")
    async with _alone(), engine_of(chosen, port, 0) as engine, listening(chosen) as at_the_door:
        # A run may go on when this process and the server were killed, and would ask who has the port then.
        os.environ["RETIREMENT_ENGINE_PORT"] = str(engine.port) if engine.is_ours else ""
        # Prefect reads its settings at import, and they are known since the server is up.
        from retirement.flows.deployments import HERE, serve_all
        from retirement.flows.kit import troubles

        for line in [*_addresses(engine, at_the_door), *lines(chosen), *await _pauses(chosen)]:
            console.print(line.removeprefix("# "))
        with one_line_each(sys.stdout, sys.stderr), suppress(asyncio.CancelledError):  # which is how it ends
            await _put_automations(chosen, engine)
            await serve_all(
                chosen.schedules,
                console.print,
                Watchdog(
                    lambda now: seen(engine.api_url, now, only=HERE),
                    errors.print,
                    home() / "healthy",
                    restart=partial(restart, engine) if engine.is_ours else None,
                    log=log if engine.is_ours else None,
                    notify=lambda silent, now: troubles.tell(
                        engine.api_url, troubles.of_schedules(silent, now, chosen.notifications)
                    ),
                ),
            )
    return DONE


def _addresses(engine: PrefectServer, at_the_door: str | None) -> list[str]:
    """Where people find the UI, its log-in, and the door."""
    login = lock.login(engine_folder()) if engine.is_ours else None
    return [f"UI: {engine.ui_url}", *filter(None, [login, at_the_door])]


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """Raises `BusyElsewhere` where another `serve` has this home: the first to end would stop the other's schedules.

    Entered before the engine is joined, or one that is refused would have started or changed what the other works with.
    """
    try:
        is_alone = claim(home() / "serve.lock")
    except OSError as error:
        raise ConfigError(
            f"RETIREMENT_HOME: {home()} cannot be written ({error.strerror}); set it to a folder of this account"
        ) from None
    if not is_alone:
        raise BusyElsewhere(f"another `retirement serve` is at work in {home()}: this one would stop its schedules")
    yield


def _hand_on(source: str) -> None:
    """Says to the runs, which are processes that start in another folder, where the configuration is.

    Beside it goes its content, so that a run says where it is another one by now. Raises `ConfigError` where other
    accounts can write it.
    """
    file = Path(source).resolve()
    require_own(file)
    os.environ |= {"RETIREMENT_CONFIG": str(file), "RETIREMENT_CONFIG_SHA256": digest(file)}


async def _put_automations(configuration: Configuration, engine: PrefectServer) -> None:
    """Puts them on the server, and sends a test message to each channel that it did not know. Raises `ConfigError`."""
    from retirement.flows.kit.automations import apply
    from retirement.flows.kit.channels import send_tests

    with waiting("Prefect's server to take the automations"):
        applied = await apply(
            configuration.notifications, source=configuration.source, ui_url=ui_url(configuration, engine)
        )
        for arrival in await send_tests(applied.new_channels, configuration.source):
            errors.print(arrival.sentence)
    if configuration.notifications:
        names = ", ".join(each.name for each in configuration.notifications)
        console.print(f"notifications: {names}; `retirement notifications test` sends a message to each")


async def _pauses(configuration: Configuration) -> list[str]:
    """The schedules that are paused in the ledger; why it cannot be read, which each run will say as well."""
    try:
        async with opened(ledger_location(configuration)) as ledger:
            paused = await ledger.pauses.all()
    except (LedgerError, ConfigError) as error:
        return [str(error)]
    return [f"{each.schedule}: {each.sentence}; `retirement resume` ends it" for each in paused]
