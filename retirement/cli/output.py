"""How commands speak: one JSON document on stdout, or text; errors as one line each on stderr; exit codes."""

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from retirement.beside import Beside
from retirement.errors import ConfigError, Defect, Held, LedgerError, RetirementError, ServiceError
from retirement.reports import HELD, MISCONFIGURED, SOME_FAILED
from retirement.typed import REFUSAL, keepable

#: The largest id that the LMS and the ledger can keep, in 64 bits with a sign.
LARGEST_ID = 2**63 - 1

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file; default RETIREMENT_CONFIG, else retirement.yaml.", show_default=False
    ),
]
UserIdOption = Annotated[
    int | None, typer.Option("--user-id", min=1, max=LARGEST_ID, help="LMS user id of one learner.")
]
ByOption = Annotated[str, typer.Option("--by", help="Who says so; a role or a login, kept in the ledger.")]
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


def require_keepable(**options: str | None) -> None:
    """Raises `ConfigError` for a text that may not be kept, and does not repeat it; options by their names."""
    for option, text in options.items():
        if text is not None and not keepable(text):
            raise ConfigError(f"--{option}: {REFUSAL}")


def without_names(arguments: Sequence[str], options: Collection[str]) -> tuple[list[str], str | None]:
    """The arguments with `-` for what a learner is called, and what it was; everybody sees a process' arguments."""
    hidden: str | None = None
    kept = list(arguments)
    for place, argument in enumerate(arguments):
        option, given, value = argument.partition("=")
        if option in options and given:
            kept[place], hidden = f"{option}=-", value
        elif place and arguments[place - 1] in options:
            kept[place], hidden = "-", argument
    return kept, None if hidden == "-" else hidden


def asked_for(option: str, given: str | None, *, as_json: bool) -> str | None:
    """What a learner is called, typed when asked or read from standard input; None where the option is not given.

    Ends the command for anything but `-`, which `without_names` has put in the place of whatever else was given.
    """
    if given is None:
        return None
    if given != "-":
        fail(ConfigError(f"{option}: give - and type it when asked, or pipe it in"), as_json=as_json)
    if sys.stdin.isatty():
        return str(typer.prompt(option.removeprefix("--"), hide_input=True, err=True)).strip()
    if line := sys.stdin.readline().strip():
        return line
    fail(ConfigError(f"{option}: standard input has no line to read"), as_json=as_json)
