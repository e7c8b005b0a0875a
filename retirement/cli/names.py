"""Options whose value is a learner's username or e-mail address: kept out of the list of processes."""

import os
import sys
from collections.abc import Collection, Sequence
from itertools import pairwise

import typer

from retirement.errors import ConfigError

#: What an operator may have of a learner in place of the user id, by the option that takes it.
NAMES = {"username": "username", "email": "e-mail address"}
#: Options whose value names a learner.
NAMING = tuple(f"--{name}" for name in NAMES)
#: Bytes of a name that are read; the LMS keeps 254 letters of an address and 150 of a username.
LONGEST_NAME = 4096


def hide_names() -> None:
    """Starts this command anew with the name of a learner on its standard input, and `-` in its place.

    Every user of the machine sees the arguments of a process for as long as it runs.
    """
    given = sys.argv[1:]
    arguments, name = without_names(given, NAMING)
    if name is None or sys.orig_argv[-len(given) :] != given:
        return
    reading, writing = os.pipe()
    # No more than a pipe takes at once: a longer text is no name.
    os.write(writing, os.fsencode(name)[:LONGEST_NAME] + b"\n")
    os.close(writing)
    os.dup2(reading, 0)
    os.execv(sys.executable, [*sys.orig_argv[: -len(given)], *arguments])  # noqa: S606 - the same command again


def without_names(arguments: Sequence[str], options: Collection[str]) -> tuple[list[str], str | None]:
    """The arguments with `-` in place of a learner's name, and that name, None where there is none."""
    hidden: str | None = None
    kept = list(arguments)
    for place, (before, argument) in enumerate(pairwise(["", *arguments])):
        option, given, value = argument.partition("=")
        if option in options and given:
            kept[place], hidden = f"{option}=-", value
        elif before in options:
            kept[place], hidden = "-", argument
    return kept, None if hidden == "-" else hidden


def asked_for(option: str, given: str | None) -> str | None:
    """The name of a learner, typed at a prompt or read from standard input; None where the option is not given.

    Raises `ConfigError` for anything but `-`, which `without_names` has put in the place of every other value.
    """
    if given is None:
        return None
    if given != "-":
        raise ConfigError(f"{option}: give - and type it when asked, or pipe it in")
    if sys.stdin.isatty():
        return str(typer.prompt(option.removeprefix("--"), hide_input=True, err=True)).strip()
    try:
        line = sys.stdin.buffer.readline(LONGEST_NAME).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{option}: standard input is no text in UTF-8") from None
    if not line:
        raise ConfigError(f"{option}: standard input has no line to read")
    return line
