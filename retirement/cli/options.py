"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from retirement.errors import ConfigError
from retirement.privacy import REFUSAL, keepable

#: The largest id that the LMS and the ledger can keep, in 64 bits with a sign.
LARGEST_ID = 2**63 - 1


def within_ids(number: int | None) -> int | None:
    """Refuses a number that neither LMS nor ledger can keep; as a range it would be in every help."""
    if number is not None and number > LARGEST_ID:
        raise typer.BadParameter(f"the largest number is {LARGEST_ID}")
    return number


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration file; default RETIREMENT_CONFIG, else retirement.yaml.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
ByOption = Annotated[str, typer.Option("--by", help="Your role or login; kept in the ledger.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


def require_keepable(**options: str | None) -> None:
    """Raises `ConfigError` for a text that may not be kept, and does not repeat it; options by their names."""
    for option, text in options.items():
        if text is not None and not keepable(text):
            raise ConfigError(f"--{option}: {REFUSAL}")
