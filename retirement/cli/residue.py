"""`retirement residue`: look into the site's databases for what is left of one learner."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Annotated, Any

import typer

from retirement.cli.command import Call, command
from retirement.cli.output import tables
from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.reports import DONE, SOME_FAILED
from retirement.residue import DATABASES, Finding, State, Who, search
from retirement.residue.searching import LIMIT
from retirement.site import opened
from retirement.site.watch import locate

#: What is worth a line on a terminal; the rest is counted.
_SHOWN = (State.FOUND, State.UNANSWERED, State.NOT_ASKED)
#: What has to be looked at: residue, and a database without an answer.
_BAD = {State.FOUND, State.UNANSWERED}
_HEADINGS = ("place", "where", "state", "rows", "what to do")


@command()
async def residue(
    call: Call,
    user_id: int,
    database: Annotated[
        list[str] | None,
        typer.Option("--database", help=f"Look there only: {', '.join(DATABASES)}; repeatable.", show_default=False),
    ] = None,
) -> int:
    """Look for what is left of one learner in the configured databases; reads only, prints places only."""
    addresses = _addresses(call.configuration, database)
    async with opened(call.configuration) as site:
        learner = await locate(site, user_id)
    who = Who.of(learner) if learner else Who(user_id)
    found = await asyncio.to_thread(_searched, addresses, who)
    document = {"user_id": user_id, "known_to_the_lms": learner is not None, "places": [_row(each) for each in found]}
    listed = [_cells(each) for each in found if each.state in _SHOWN]
    call.show(document, *tables(_HEADINGS, listed), _summary(found, len(addresses)))
    return _code(found)


def _code(found: list[Finding]) -> int:
    return SOME_FAILED if _BAD & {each.state for each in found} else DONE


def _addresses(configuration: Configuration, wanted: list[str] | None) -> dict[str, str]:
    given = configuration.databases.given()
    names = list(dict.fromkeys(wanted or given))
    if not names:
        raise ConfigError("the configuration names no database to look into: give databases.lms")
    if unknown := _first_outside(DATABASES, names):
        raise ConfigError(f"--database: there is no {unknown}; known are {', '.join(DATABASES)}")
    if missing := _first_outside(given, names):
        raise ConfigError(f"--database: the configuration has no address of it: give databases.{missing}")
    return {name: given[name] for name in names}


def _first_outside(known: Collection[str], names: Iterable[str]) -> str | None:
    """The first of these names that is not known, None where all are."""
    return next((name for name in names if name not in known), None)


def _searched(addresses: dict[str, str], who: Who) -> list[Finding]:
    """One database after the other."""
    return [finding for name, address in addresses.items() for finding in search(name, address, who)]


def _row(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "name": place.name,
        "database": place.database,
        "table": place.table,
        "columns": list(place.columns),
        "state": finding.state.value,
        "rows": finding.count,
        "at_least": finding.count >= LIMIT,
        "text": finding.text or None,
        "why": place.why,
        "remedy": place.remedy,
    }


def _cells(each: Finding) -> list[str]:
    where = f"{each.place.database}.{each.place.table}: {', '.join(each.place.columns)}"
    rows = f"{each.count}{' or more' if each.count >= LIMIT else ''}" if each.count else ""
    remedy = f"{each.place.why} {each.place.remedy}" if each.state is State.FOUND else each.text
    return [each.place.name, where, each.state.value, rows, remedy]


def _summary(found: list[Finding], databases: int) -> str:
    count = {state: sum(each.state is state for each in found) for state in State}
    parts = [f"{count[state]} {state.value}" for state in State if count[state]]
    return f"{len(found)} places in {databases} databases: {', '.join(parts)}"
