"""`retirement config`: what a configuration file means, in our dialect, and the states it needs."""

import typer
from rich.syntax import Syntax

from retirement.cli.command import Call, command
from retirement.cli.imported import import_
from retirement.cli.next_times import lines, next_times
from retirement.config import Configuration, as_own_dialect, describe
from retirement.errors import ServiceError
from retirement.reports import DONE
from retirement.site import opened

app = typer.Typer(help="Show, convert and check configuration files.", no_args_is_help=True)


@app.command()
@command()
async def show(call: Call) -> int:
    """Print the configuration as it is understood, secrets masked."""
    configuration = call.configuration
    call.show_warnings()
    text = Syntax(as_own_dialect(configuration), "yaml", background_color="default")
    call.show(describe(configuration) | {"next_times": next_times(configuration)}, text, *lines(configuration))
    return DONE


app.command("import")(import_)


@app.command()
@command()
async def states(call: Call) -> int:
    """Print the RETIREMENT_STATES that the LMS needs, and those it lacks when it can be asked."""
    wanted = call.configuration.pipeline.lms_states
    known, problem = await _known_states(call.configuration, wanted)
    lacking = _lacking(wanted, known)
    marks = dict.fromkeys(lacking or (), "    # the LMS lacks it")
    document = {"states": wanted, "lms_has": known, "lms_lacks": lacking, "problem": problem}
    call.show(document, "RETIREMENT_STATES:", *(f"  - {each}{marks.get(each, '')}" for each in wanted))
    if problem:
        call.remark([f"the LMS could not be asked: {problem}"])
    return DONE


async def _known_states(configuration: Configuration, wanted: list[str]) -> tuple[list[str] | None, str | None]:
    """Which of these states the LMS has; or None, and why it could not be asked."""
    async with opened(configuration) as site:
        try:
            return await site.lms.rows.known_states(wanted), None
        except ServiceError as error:
            return None, str(error)


def _lacking(wanted: list[str], known: list[str] | None) -> list[str] | None:
    return None if known is None else [state for state in wanted if state not in known]
