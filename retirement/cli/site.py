"""Commands that look at a site and change nothing: doctor, plan, status."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from retirement import doctor as checks
from retirement.cli.output import ConfigOption, JsonOption, console, errors, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import Configuration, load
from retirement.learner import Learner
from retirement.pipeline import ABORTED, COMPLETE, DEAD_ENDS, PENDING, Pipeline
from retirement.reports import DONE, MISCONFIGURED, SOME_FAILED
from retirement.site import Site, opened

UserIdOption = Annotated[int | None, typer.Option("--user-id", min=1, help="LMS user id of one learner.")]

_MARKS = {
    checks.Verdict.OK: "[green]ok     [/]",
    checks.Verdict.WARNING: "[yellow]warning[/]",
    checks.Verdict.FAILURE: "[red]failure[/]",
}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check file, token, permission, every state and route, clock and deadline; changes nothing."""

    async def command() -> int:
        configuration = load(config, secret_block=secret_block)
        found: list[checks.Check] = []
        async with opened(configuration) as site:
            async for check in checks.examine(configuration, site):
                found.append(check)
                if not as_json:
                    console.print(f"{_MARKS[check.verdict]} {check.name}: {check.detail}", highlight=False)
                    if check.fix and check.verdict is not checks.Verdict.OK:
                        console.print(f"        → {check.fix}", highlight=False)
        if as_json:
            rows = [
                {"name": each.name, "verdict": each.verdict.value, "detail": each.detail, "fix": each.fix or None}
                for each in found
            ]
            show_json({"checks": rows})
        return MISCONFIGURED if any(each.verdict is checks.Verdict.FAILURE for each in found) else DONE

    run(command, as_json=as_json)


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


def status(config: ConfigOption = None, user_id: UserIdOption = None, as_json: JsonOption = False) -> None:
    """Show how many learners are in which state and who is overdue; with --user-id, one learner."""

    async def command() -> int:
        configuration = load(config, secret_block=secret_block)
        async with opened(configuration) as site:
            if user_id:
                learner = await site.lms.find(user_id)
                document = _one(configuration, learner) if learner else {"user_id": user_id, "state": None}
            else:
                wanted = dict.fromkeys([*site.pipeline.lms_states, *(configuration.lms.states or ())])
                known = await site.lms.known_states(list(wanted))
                document = _all(configuration, site.pipeline, await site.lms.queue(known, 0))
        if as_json:
            show_json(document)
        else:
            for key, value in document.items():
                console.print(f"{key.replace('_', ' ')}: {_plain(value)}", highlight=False)
        return DONE if document.get("state", "") is not None else SOME_FAILED

    run(command, as_json=as_json)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nobody"
    return "none" if value is None else str(value)


def _one(configuration: Configuration, learner: Learner) -> dict[str, Any]:
    due = learner.requested_at + timedelta(days=configuration.deadline_days)
    return {
        "user_id": learner.user_id,
        "state": learner.state,
        "last_state": learner.last_state,
        "requested_at": learner.requested_at.isoformat(),
        "changed_at": learner.changed_at.isoformat(),
        "due_at": due.isoformat(),
    }


def _all(configuration: Configuration, pipeline: Pipeline, learners: list[Learner]) -> dict[str, Any]:
    now = datetime.now(UTC)
    cool_off, deadline = timedelta(days=configuration.cool_off_days), timedelta(days=configuration.deadline_days)
    counts = Counter(learner.state for learner in learners)
    open_ones = [learner for learner in learners if learner.state not in DEAD_ENDS]
    working = {step.start for step in pipeline}
    return {
        "states": dict(sorted(counts.items())),
        "cooling_off": sum(now - each.requested_at <= cool_off for each in open_ones if each.state == PENDING),
        "waiting": sum(now - each.requested_at > cool_off for each in open_ones if each.state not in working),
        "in_working_state": [each.user_id for each in open_ones if each.state in working],
        "errored": [each.user_id for each in learners if each.state == "ERRORED"],
        "overdue": [
            each.user_id
            for each in learners
            if each.state not in (ABORTED, COMPLETE) and now - each.requested_at > deadline
        ],
    }
