"""What all commands share: `--config`, `--json`, an event loop beside the main thread, and the exit code."""

import asyncio
import inspect
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, NoReturn

import typer

from retirement.cli.learner import typed, user_id_of, with_names
from retirement.cli.options import ConfigOption, JsonOption
from retirement.cli.output import console, errors, out, show_errors, show_json
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.errors import Defect, RetirementError
from retirement.privacy import redact_logs
from retirement.process import Beside, acting, last_acts, left_alone, waits
from retirement.reports import DONE, SOME_FAILED

#: Seconds between two lines that say what a command waits for.
SAY_EVERY = 10.0
#: Seconds of one wait after which it is said once a minute.
OFTEN_UNTIL = 600.0


@dataclass(frozen=True)
class Call:
    """One call of a command: where its configuration is, and how its answer is printed."""

    config: Path | None
    as_json: bool

    @cached_property
    def configuration(self) -> Configuration:
        """The configuration, read once. Raises `ConfigError`."""
        return load(self.config, secret_block=secret_block)

    def show(self, document: Any, *text: Any) -> None:
        """Prints the document with `--json`, else the lines and tables of the text."""
        if self.as_json:
            show_json(document)
        else:
            for each in text:
                console.print(each)

    def remark(self, lines: Iterable[str]) -> None:
        """Prints lines on stderr; with `--json` they stand in the document."""
        if not self.as_json:
            show_errors(lines)

    def show_warnings(self) -> None:
        """Prints on stderr what is odd about the configuration; with `--json` nothing."""
        self.remark(f"warning: {each}" for each in self.configuration.warnings)

    def show_failure(self, user_id: int, problem: str) -> None:
        """Prints why there is no answer about a learner."""
        errors.print(problem)
        if self.as_json:
            show_json({"user_id": user_id, "errors": [problem]})


#: What a command does: it takes the call, then its own options, and comes to an exit code.
Body = Callable[..., Coroutine[Any, Any, int]]


def command(
    *, configured: bool = True, json: bool = True, leaves_at_once: bool = False
) -> Callable[[Body], Callable[..., None]]:
    """Makes a command of a body that returns an exit code; its docstring is the help.

    The body is an `async def`. Where it asks something at a prompt first, it is a plain function that returns the
    coroutine: it runs in the main thread, and Ctrl-C ends it. A body with `user_id` gets the options of
    `retirement.cli.learner`; without a default, one of them has to be given. `leaves_at_once` ends the
    process without waiting for threads, which Prefect's runner leaves now and then.
    """

    def made(body: Body) -> Callable[..., None]:
        _, *own = inspect.signature(body).parameters.values()

        def started(call: Call, given: dict[str, Any]) -> Coroutine[Any, Any, int]:
            name = typed(own, given)
            return _of_the_learner(body, call, given, name) if name else body(call, **given)

        @wraps(body)
        def called(**given: Any) -> None:
            call = Call(given.pop("config", None), given.pop("as_json", False))
            try:
                _run(lambda: started(call, given), call)
            except typer.Exit as end:
                if not leaves_at_once:
                    raise
                _leave(end.exit_code)

        parameters = with_names(own)
        if configured:
            parameters.append(_option("config", ConfigOption, None))
        if json:
            parameters.append(_option("as_json", JsonOption, False))
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it there
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return made


async def _of_the_learner(body: Body, call: Call, given: dict[str, Any], name: tuple[str, str]) -> int:
    """Runs a body for the learner of a name that was typed: from here on there is only the user id."""
    return await body(call, **{**given, "user_id": await user_id_of(call.configuration, *name)})


def _option(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _run(body: Callable[[], Coroutine[Any, Any, int]], call: Call) -> NoReturn:
    """Runs a body to its exit code; an error is one line on stderr for each of its problems."""
    redact_logs()
    with acting("console"):
        _acted(body, call)


def _acted(body: Callable[[], Coroutine[Any, Any, int]], call: Call) -> NoReturn:
    with _telling(call):
        work = body()
    # A second Ctrl-C does not wait for what has begun.
    beside = Beside(lambda: work, loop_factory=_loop_factory(), at_once=_end_at_once)
    with beside.told_by_signals():
        try:
            with _telling(call):
                raise typer.Exit(_printed(_result(beside.start())))
        except typer.Exit as end:
            if beside.told_by_signal or left_alone.is_set():
                _leave(end.exit_code)
            raise


@contextmanager
def _telling(call: Call) -> Iterator[None]:
    """Ends the command with the exit code of an error, and says the error."""
    try:
        yield
    except RetirementError as error:
        raise typer.Exit(_told(error, call)) from None
    except asyncio.CancelledError:
        errors.print("stopped")
        raise typer.Exit(SOME_FAILED) from None
    except (typer.Exit, typer.BadParameter, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - its text may name a learner, and a traceback helps no operator
        raise typer.Exit(_told(Defect.at(error), call)) from None


def _leave(code: int) -> NoReturn:
    """Ends the process without waiting for its threads, whose work the signal has ended or cannot reach."""
    out.flush()
    os._exit(code)


def _result(work: "Future[int]") -> int:
    """The result of work; says meanwhile what it waits for."""
    while True:
        wait([work], timeout=SAY_EVERY)
        if work.done():
            return work.result()
        # What goes on in many places at once is one line each, of the longest three.
        for each in waits(longer_than=SAY_EVERY)[:3]:
            seconds = time.monotonic() - each.since
            # Hours of waiting for an answer are a line a minute.
            if seconds < OFTEN_UNTIL or seconds % 60 < SAY_EVERY:
                errors.print(f"{each.sentence}, for {seconds:.0f} s")


def _printed(code: int) -> int:
    """The exit code of what was done: another one for an answer that was not printed is no word about the work."""
    out.flush()
    if out.problem is None:
        return code
    show_errors(
        [f"the answer could not be printed: {out.problem}; what was done is in the ledger: `retirement status`"]
    )
    return code or SOME_FAILED


def _end_at_once() -> NoReturn:
    """The end of a process that was told twice and still waits."""
    for each in last_acts:
        with suppress(Exception):
            each()
    held = ", ".join(each.what for each in waits(longer_than=0)[:3])
    errors.print(f"ended at once{f' while waiting for {held}' if held else ''}; `retirement reconcile` mends the rest")
    _leave(SOME_FAILED)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where it is installed, asyncio's own otherwise."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _told(error: RetirementError, call: Call) -> int:
    problems = str(error).splitlines()
    show_errors(problems)
    if call.as_json:
        show_json({"errors": problems})
    return code_of(error)


def code_of(error: RetirementError | None, otherwise: int = DONE) -> int:
    """The exit code for an error that ended a command; where none did, the other one."""
    return error.consequence.exit_code if error else otherwise


async def until_told_to_stop() -> None:
    """Waits for SIGTERM or Ctrl-C, where that is how a command is meant to end."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
