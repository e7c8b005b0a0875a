"""Commands that look at a site and change nothing: doctor and plan."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from retirement import coverage as reach
from retirement import doctor as checks
from retirement.cli.output import ConfigOption, JsonOption, UserIdOption, console, errors, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.errors import ConfigError, LedgerError, ServiceError
from retirement.learner import Learner
from retirement.pipeline import COMPLETE
from retirement.reports import DONE, MISCONFIGURED, SOME_FAILED
from retirement.site import Site, opened

_MARKS = {
    checks.Verdict.OK: "[green]ok     [/]",
    checks.Verdict.WARNING: "[yellow]warning[/]",
    checks.Verdict.FAILURE: "[red]failure[/]",
}


_GAPS = {
    reach.Kind.SERVICE: "Services that no step calls",
    reach.Kind.OPERATION: "Operations that are not in the pipeline",
    reach.Kind.STATE: "States of the LMS that no step uses",
    reach.Kind.STORE: "Places that hold learners, and that nothing here erases",
}

CoverageOption = Annotated[
    bool, typer.Option("--coverage", help="Instead: list what the pipeline does not reach, as far as can be told.")
]


def doctor(config: ConfigOption = None, coverage: CoverageOption = False, as_json: JsonOption = False) -> None:
    """Check file, token, permission, every state and route, clock and deadline; changes nothing."""

    async def command() -> int:
        configuration = load(config, secret_block=secret_block)
        if coverage:
            return await _coverage(configuration, as_json=as_json)
        found: list[checks.Check] = []
        try:
            async with opened(configuration) as site:
                async for check in checks.examine(configuration, site):
                    found.append(check)
                    _show_check(check, as_json=as_json)
        except (LedgerError, ConfigError) as error:
            found.append(checks.no_ledger(error))
            _show_check(found[-1], as_json=as_json)
        if as_json:
            rows = [
                {"name": each.name, "verdict": each.verdict.value, "detail": each.detail, "fix": each.fix or None}
                for each in found
            ]
            show_json({"checks": rows})
        return MISCONFIGURED if any(each.verdict is checks.Verdict.FAILURE for each in found) else DONE

    run(command, as_json=as_json)


async def _coverage(configuration: Configuration, *, as_json: bool) -> int:
    """Lists the gaps; the LMS is asked for its states, and without an answer the rest is told all the same."""
    known: list[str] | None = None
    problem = ""
    try:
        async with opened(configuration) as site:
            known = await site.lms.known_states(reach.candidates(configuration))
    except (ServiceError, LedgerError, ConfigError) as error:
        problem = f"the LMS could not be asked for its states: {error}"
    found = [*reach.unused_states(configuration, known or ()), *reach.gaps(configuration)]
    if as_json:
        show_json({"gaps": reach.rows(found), "lms_asked": known is not None, "problem": problem or None})
        return DONE
    for kind in reach.Kind:
        if gaps := [gap for gap in found if gap.kind is kind]:
            console.print(_gap_table(_GAPS[kind], gaps))
    if problem:
        errors.print(problem, highlight=False, markup=False)
    return DONE


def _gap_table(title: str, gaps: list[reach.Gap]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("", "what it is", "what to do"):
        table.add_column(heading, overflow="fold")
    for gap in gaps:
        table.add_row(escape(gap.name), escape(gap.detail), escape(gap.fix))
    return table


def _show_check(check: checks.Check, *, as_json: bool) -> None:
    if as_json:
        return
    console.print(f"{_MARKS[check.verdict]} {check.name}: {check.detail}", highlight=False)
    if check.fix and check.verdict is not checks.Verdict.OK:
        console.print(f"        → {check.fix}", highlight=False)


def plan(config: ConfigOption = None, user_id: UserIdOption = None, as_json: JsonOption = False) -> None:
    """Print the steps and the request of each; with --user-id, which of them are behind that learner."""

    async def command() -> int:
        configuration = load(config, secret_block=secret_block)
        async with opened(configuration) as site:
            learner = await site.lms.find(user_id) if user_id else None
            if user_id and learner is None:
                problem = f"the LMS has no retirement of learner {user_id}"
                errors.print(problem, highlight=False)
                if as_json:
                    show_json({"user_id": user_id, "errors": [problem]})
                return SOME_FAILED
            rows = _plan_rows(site, learner)
        document = {
            "configuration": configuration.source,
            "user_id": user_id,
            "state": learner.state if learner else None,
            "steps": rows,
            "warnings": list(configuration.warnings),
        }
        if as_json:
            show_json(document)
            return DONE
        for warning in configuration.warnings:
            errors.print(f"warning: {warning}", highlight=False, markup=False)
        console.print(_as_table(rows, f"learner {user_id}" if user_id else configuration.source))
        return DONE

    run(command, as_json=as_json)


def _plan_rows(site: Site, learner: Learner | None) -> list[dict[str, Any]]:
    finished = site.pipeline.finished_at(learner.state) if learner else frozenset()
    rows = []
    for number, step in enumerate(site.pipeline, 1):
        connector = site.connectors[step.service]
        route = connector.route(step.operation)
        if learner and (learner.state == COMPLETE or (finished and step.name in finished)):
            what = "done"
        elif finished is None:
            what = "waits"
        else:
            what = "will run"
        rows.append(
            {
                "number": number,
                "step": step.name,
                "service": step.service,
                "operation": step.operation,
                "request": f"{route.method} {route.path}" if route else "none",
                "after": list(step.after),
                "what": what,
                "doc": connector.operations()[step.operation].doc,
            }
        )
    return rows


def _as_table(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("", "step", "service", "request", "after", "what"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        after = ", ".join(row["after"]) or "nothing"
        table.add_row(str(row["number"]), row["step"], row["service"], row["request"], after, row["what"])
    return table
