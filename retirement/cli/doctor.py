"""`retirement doctor`: what would go wrong on this site; changes nothing."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated

import typer
from rich.table import Table

from retirement.cli.command import Call, command
from retirement.cli.output import console, tables
from retirement.config import Configuration
from retirement.errors import ConfigError, LedgerError, ServiceError
from retirement.flows.kit.lock_checks import lock_check
from retirement.flows.kit.schedule_checks import schedule_checks
from retirement.flows.kit.server import in_use
from retirement.reports import DONE, MISCONFIGURED
from retirement.site import coverage as reach
from retirement.site import doctor as checks
from retirement.site import opened

_COLOURS = {checks.Verdict.OK: "green", checks.Verdict.WARNING: "yellow", checks.Verdict.FAILURE: "red"}


_GAPS = {
    reach.Kind.SERVICE: "Services that no step calls",
    reach.Kind.OPERATION: "Operations that are not in the pipeline",
    reach.Kind.STATE: "States of the LMS that no step uses",
    reach.Kind.STORE: "Places that hold learners, and that nothing here erases",
}

CoverageOption = Annotated[
    bool, typer.Option("--coverage", help="Instead: list what the pipeline does not reach, as far as can be told.")
]


@command()
async def doctor(call: Call, coverage: CoverageOption = False) -> int:
    """Check file, token, permission, every state and route, clock and deadline; changes nothing."""
    if coverage:
        return await _coverage(call, call.configuration)
    found: list[checks.Check] = []
    async with aclosing(_checks(call.configuration)) as every:
        async for check in every:
            found.append(check)
            _show_check(call, check)
    call.show({"checks": [each.row for each in found]})
    return MISCONFIGURED if any(each.verdict is checks.Verdict.FAILURE for each in found) else DONE


async def _checks(configuration: Configuration) -> AsyncGenerator[checks.Check, None]:
    async with aclosing(checks.every_check(configuration)) as every:
        async for check in every:
            yield check
    try:
        with in_use() as engine:
            if engine:
                for check in [await lock_check(engine), *await schedule_checks(engine.api_url)]:
                    yield check
    except ConfigError as error:
        yield checks.Check("lock", checks.Verdict.FAILURE, str(error), "start `retirement serve` again")


def _show_check(call: Call, check: checks.Check) -> None:
    """Each check as soon as it is done, since some take seconds."""
    if call.as_json:
        return
    console.print(f"{check.verdict.value:7}", style=_COLOURS[check.verdict], end="")
    console.print(f" {check.name}: {check.detail}")
    if check.fix and check.verdict is not checks.Verdict.OK:
        console.print(f"        → {check.fix}")


async def _coverage(call: Call, configuration: Configuration) -> int:
    """Lists the gaps; without an answer of the LMS about its states, the other gaps."""
    known, problem = await _known_states(configuration)
    found = [*reach.unused_states(configuration, known or ()), *reach.gaps(configuration)]
    document = {"gaps": reach.rows(found), "lms_asked": known is not None, "problem": problem}
    call.show(document, *_gap_tables(found))
    if problem:
        call.remark([problem])
    return DONE


async def _known_states(configuration: Configuration) -> tuple[list[str] | None, str | None]:
    """Which states the LMS has of those that may be unused; or None, and why it could not be asked."""
    try:
        async with opened(configuration) as site:
            return await site.lms.rows.known_states(reach.candidates(configuration)), None
    except (ServiceError, LedgerError, ConfigError) as error:
        return None, f"the LMS could not be asked for its states: {error}"


def _gap_tables(found: Sequence[reach.Gap]) -> Iterator[Table]:
    """A table for each kind of gap that there is."""
    for kind in reach.Kind:
        gaps = [(gap.name, gap.detail, gap.fix) for gap in found if gap.kind is kind]
        yield from tables(("", "what it is", "what to do"), gaps, title=_GAPS[kind])
