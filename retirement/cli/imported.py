"""`retirement config import`: another tool's file in our dialect, and what its jobs had on their command line."""

import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from retirement.cli.command import Call, command
from retirement.cli.output import errors, out, show_errors
from retirement.cli.secrets import secret_block
from retirement.config import Answers, Configuration, as_own_dialect, describe, load
from retirement.errors import ConfigError
from retirement.reports import DONE

_KNOWN = "Tutor's jobs pass 30, edx.org's 14; the scripts have 7 by themselves, the Ansible role 5"
_DAYS = typer.Option("--cool-off-days", min=0, max=365, help=f"Days that a request waits. {_KNOWN}.")
_BATCH = typer.Option("--batch-size", min=1, max=100_000, help="Most learners of one run: max_user_batch_size.")
_THRESHOLD = typer.Option(
    "--threshold", min=1, max=1_000_000, help="Depth of the queue that stops a run: user_count_error_threshold."
)
_ADD_MISC = typer.Option("--add-misc", help="Put the misc step before the account step, where it is missing.")


@command(configured=False)
def import_(
    call: Call,
    source: Annotated[Path, typer.Argument(help="A configuration of tubular, the Ansible role or Tutor.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; default stdout.")] = None,
    cool_off_days: Annotated[int | None, _DAYS] = None,
    batch_size: Annotated[int | None, _BATCH] = None,
    threshold: Annotated[int | None, _THRESHOLD] = None,
    add_misc: Annotated[bool, _ADD_MISC] = False,
) -> Coroutine[Any, Any, int]:
    """Rewrite another tool's configuration in our dialect, with secrets as ${VARIABLES}.

    What its jobs had on their command line is asked for on a terminal; elsewhere --cool-off-days has to be given.
    """
    answers = Answers(cool_off_days, batch_size, threshold, add_misc)
    configuration = load(source, secret_block=secret_block, answers=answers)
    if configuration.unsaid:
        answers = _completed(answers, configuration, asks=_can_ask(source) and not call.as_json)
        configuration = load(source, secret_block=secret_block, answers=answers)
    return _written(call, configuration, output, add_misc=add_misc)


def _can_ask(source: Path) -> bool:
    """Whether a person is there to answer, and the file can be read once more."""
    return sys.stdin.isatty() and sys.stderr.isatty() and source.is_file()


def _completed(answers: Answers, configuration: Configuration, *, asks: bool) -> Answers:
    """The answers with what the operator still has to say."""
    unsaid, queue = configuration.unsaid, configuration.queue
    if not asks:
        if "cool_off_days" in unsaid:
            text = "cool_off_days: not in this file, as it may have stood on a command line, and never guessed"
            raise ConfigError(f"{configuration.source}:1: {text}; give --cool-off-days N ({_KNOWN})")
        return answers
    if "cool_off_days" in unsaid:
        answers = replace(answers, cool_off_days=_ask(f"Days that a request waits ({_KNOWN})", 0, 365))
    if "queue.limit" in unsaid:
        text = "Most learners of one run (max_user_batch_size)"
        answers = replace(answers, batch_size=_ask(text, 1, 100_000, queue.limit))
    if "queue.threshold" in unsaid:
        text = "Depth of the queue that stops a run (user_count_error_threshold)"
        answers = replace(answers, threshold=_ask(text, 1, 1_000_000, queue.threshold))
    return answers


def _ask(text: str, least: int, most: int, default: int | None = None) -> int:
    def number(answer: object) -> int:
        if str(answer).strip().isdecimal() and least <= int(str(answer)) <= most:
            return int(str(answer))
        raise typer.BadParameter(f"give a whole number from {least} to {most}")

    return int(typer.prompt(text, default, value_proc=number, err=True))


async def _written(call: Call, configuration: Configuration, output: Path | None, *, add_misc: bool) -> int:
    show_errors(f"warning: {each}" for each in configuration.warnings)
    text = as_own_dialect(configuration)
    if output:
        _write(output, text)
    if add_misc:
        _show_states(configuration.pipeline.lms_states)
    if call.as_json:
        call.show(describe(configuration))
    elif output is None:
        out.write(text)
    return DONE


def _show_states(states: list[str]) -> None:
    errors.print("the LMS needs these states (RETIREMENT_STATES, then `manage.py lms populate_retirement_states`):")
    show_errors(f"  - {state}" for state in states)


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}; name a new file") from None
