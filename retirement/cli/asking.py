"""Commands that show what they would do and ask before they do it."""

import sys
from typing import Annotated, Any

import typer

from retirement.cli.output import errors
from retirement.errors import ConfigError

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def agreed(question: str, *shown: Any, dry_run_shows: str) -> bool:
    """Shows the change on a terminal and asks; without a terminal the answer has to be given before.

    Raises `ConfigError` where there is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"--yes: there is no terminal to ask at; give it, or --dry-run to see {dry_run_shows}")
    for each in shown:
        errors.print(each)
    return typer.confirm(question, err=True)
