"""How commands speak: one JSON document on stdout, or text; errors as one line each on stderr; exit codes."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from retirement.beside import Beside
from retirement.errors import ConfigError, Defect, Held, LedgerError, RetirementError, ServiceError
from retirement.reports import HELD, MISCONFIGURED, SOME_FAILED

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file; default RETIREMENT_CONFIG, else retirement.yaml.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def run(command: Callable[[], Coroutine[Any, Any, int]], *, as_json: bool) -> NoReturn:
    """Runs a command to its exit code; what the operator has to know of an error is one line on stderr."""
    try:
        # A second Ctrl-C does not wait for what has begun.
        beside = Beside(command, loop_factory=_loop_factory(), once=False)
        with beside.told_by_signals():
            code = beside.start().result()
    except RetirementError as error:
        fail(error, as_json=as_json)
    except asyncio.CancelledError:
        errors.print("stopped", highlight=False)
        raise typer.Exit(SOME_FAILED) from None
    except Exception as error:  # noqa: BLE001 - its text may name a learner, and a traceback helps no operator
        fail(Defect.at(error), as_json=as_json)
    raise typer.Exit(code)


async def until_told_to_stop() -> None:
    """Waits for SIGTERM or Ctrl-C, where that is how a command is meant to end."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where it is installed, asyncio's own otherwise."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def fail(error: RetirementError, *, as_json: bool) -> NoReturn:
    """Says what is wrong and ends with the exit code that belongs to it."""
    problems = str(error).splitlines()
    for problem in problems:
        errors.print(problem, highlight=False, markup=False)
    if as_json:
        show_json({"errors": problems})
    raise typer.Exit(code_of(error))


def code_of(error: RetirementError) -> int:
    """The exit code for an error that ended a command."""
    if isinstance(error, Held):
        return HELD
    return MISCONFIGURED if isinstance(error, (ConfigError, LedgerError, ServiceError)) else SOME_FAILED


def show_json(document: Any) -> None:
    """Prints the one document of a command."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
