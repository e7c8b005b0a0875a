"""How commands speak: one JSON document on stdout, or text; errors as one line each on stderr; exit codes."""

import asyncio
import json
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from retirement.errors import ConfigError, Defect, Held, RetirementError, ServiceError
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
        code = _run_beside_signals(command)
    except RetirementError as error:
        fail(error, as_json=as_json)
    except asyncio.CancelledError:
        errors.print("stopped", highlight=False)
        raise typer.Exit(SOME_FAILED) from None
    except Exception as error:  # noqa: BLE001 - its text may name a learner, and a traceback helps no operator
        fail(Defect.at(error), as_json=as_json)
    raise typer.Exit(code)


def _run_beside_signals(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Runs a command in a thread, so that SIGTERM and Ctrl-C cancel it and do nothing else.

    In the main thread Prefect would take SIGTERM for itself and break off wherever the event loop is.
    """
    ended: Future[int] = Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> int:
        task = asyncio.current_task()
        if task:
            running.append((asyncio.get_running_loop(), task))
        return await command()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                ended.set_result(runner.run(main()))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            ended.set_exception(error)

    def cancel(_number: int, _frame: object) -> None:
        for loop, task in running:
            with suppress(RuntimeError):  # the loop has closed by itself meanwhile
                loop.call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        threading.Thread(target=work, name="command", daemon=True).start()
        return ended.result()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    return MISCONFIGURED if isinstance(error, (ConfigError, ServiceError)) else SOME_FAILED


def show_json(document: Any) -> None:
    """Prints the one document of a command."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
