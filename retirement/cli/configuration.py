"""`retirement config`: what a configuration file means, in our dialect, and the states it needs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax

from retirement.cli.output import ConfigOption, JsonOption, console, errors, fail, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, as_own_dialect, describe, load
from retirement.errors import ConfigError, RetirementError, ServiceError
from retirement.reports import DONE
from retirement.site import opened

app = typer.Typer(help="Show, convert and check configuration files.", no_args_is_help=True)


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the configuration as it is understood, secrets masked."""
    configuration = _load(config, as_json)
    if as_json:
        show_json(describe(configuration))
        return
    _warn(configuration)
    console.print(Syntax(as_own_dialect(configuration), "yaml", background_color="default"))


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A configuration of tubular, the Ansible role or Tutor.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write; default stdout.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Rewrite another tool's configuration in our dialect, with secrets as ${VARIABLES}."""
    configuration = _load(source, as_json)
    _warn(configuration)
    text = as_own_dialect(configuration)
    if output:
        _write(output, text, as_json)
    if as_json:
        show_json(describe(configuration))
    elif output is None:
        typer.echo(text, nl=False)


def _write(output: Path, text: str, as_json: bool) -> None:
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        fail(ConfigError(f"{output}: cannot be written: {error.strerror}; name a new file"), as_json=as_json)


@app.command()
def states(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the RETIREMENT_STATES that the LMS needs, and what it lacks when it can be asked."""
    configuration = _load(config, as_json)

    async def command() -> int:
        wanted = configuration.pipeline.lms_states
        known: list[str] | None = None
        problem = ""
        async with opened(configuration) as site:
            try:
                known = await site.lms.known_states(wanted)
            except ServiceError as error:
                problem = str(error)
        lacking = None if known is None else [state for state in wanted if state not in known]
        if as_json:
            show_json({"states": wanted, "lms_has": known, "lms_lacks": lacking, "problem": problem or None})
            return DONE
        typer.echo("RETIREMENT_STATES:")
        for state in wanted:
            missing = "    # the LMS lacks it" if lacking and state in lacking else ""
            typer.echo(f"  - {state}{missing}")
        if problem:
            errors.print(f"the LMS could not be asked: {problem}", highlight=False)
        return DONE

    run(command, as_json=as_json)


def _load(path: Path | None, as_json: bool) -> Configuration:
    try:
        return load(path, secret_block=secret_block)
    except RetirementError as error:
        fail(error, as_json=as_json)


def _warn(configuration: Configuration) -> None:
    for warning in configuration.warnings:
        errors.print(f"warning: {warning}", highlight=False, markup=False)
