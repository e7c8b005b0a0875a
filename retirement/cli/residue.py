"""`retirement residue`: look into the site's databases for what is left of one learner."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from retirement.cli.output import LARGEST_ID, ConfigOption, JsonOption, console, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.errors import ConfigError
from retirement.reports import DONE, SOME_FAILED
from retirement.residue import DATABASES, Finding, State, Who, search
from retirement.residue.searching import LIMIT
from retirement.site import opened

#: What is worth a line on a terminal; the rest is counted.
_SHOWN = (State.FOUND, State.UNANSWERED, State.NOT_ASKED)


def residue(
    user_id: Annotated[int, typer.Option("--user-id", min=1, max=LARGEST_ID, help="LMS user id of one learner.")],
    database: Annotated[
        list[str] | None,
        typer.Option("--database", help=f"Look there only: {', '.join(DATABASES)}; repeatable.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is left of one learner in the databases of the configuration; reads only, names places only."""

    async def command() -> int:
        configuration = load(config, secret_block=secret_block)
        addresses = _addresses(configuration, database)
        async with opened(configuration) as site:
            learner = await site.lms.find(user_id)
        who = Who.of(learner) if learner else Who(user_id)
        found = await asyncio.to_thread(_searched, addresses, who)
        if as_json:
            known = learner is not None
            show_json({"user_id": user_id, "known_to_the_lms": known, "places": [_row(each) for each in found]})
        else:
            _show(found, len(addresses))
        bad = (State.FOUND, State.UNANSWERED)
        return SOME_FAILED if any(each.state in bad for each in found) else DONE

    run(command, as_json=as_json)


def _addresses(configuration: Configuration, wanted: list[str] | None) -> dict[str, str]:
    given = configuration.databases.given()
    names = list(dict.fromkeys(wanted or given))
    if not names:
        raise ConfigError("the configuration names no database to look into: give databases.lms")
    if unknown := [name for name in names if name not in DATABASES]:
        raise ConfigError(f"--database: there is no {unknown[0]}; known are {', '.join(DATABASES)}")
    if missing := [name for name in names if name not in given]:
        raise ConfigError(f"--database: the configuration has no address of it: give databases.{missing[0]}")
    return {name: given[name] for name in names}


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


def _show(found: list[Finding], databases: int) -> None:
    listed = [each for each in found if each.state in _SHOWN]
    if listed:
        table = Table()
        for heading in ("place", "where", "state", "rows", "what to do"):
            table.add_column(heading, overflow="fold")
        for each in listed:
            where = f"{each.place.database}.{each.place.table}: {', '.join(each.place.columns)}"
            rows = f"{each.count}{' or more' if each.count >= LIMIT else ''}" if each.count else ""
            remedy = f"{each.place.why} {each.place.remedy}" if each.state is State.FOUND else each.text
            table.add_row(each.place.name, where, each.state.value, rows, remedy)
        console.print(table)
    count = {state: sum(each.state is state for each in found) for state in State}
    parts = [f"{count[state]} {state.value}" for state in State if count[state]]
    console.print(f"{len(found)} places in {databases} databases: {', '.join(parts)}", highlight=False)
