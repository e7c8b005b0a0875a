"""`retirement plan`: the steps of the pipeline, and what is left of them for one learner."""

from typing import Any

from rich.table import Table

from retirement.cli.command import Call, command
from retirement.cli.next_times import lines, next_times
from retirement.cli.output import table
from retirement.learner import Learner
from retirement.pipeline import COMPLETE, Pipeline
from retirement.pipeline.strays import is_stray, stray_text
from retirement.reports import DONE, SOME_FAILED
from retirement.site import Site, opened
from retirement.site.watch import absence, locate


@command()
async def plan(call: Call, user_id: int | None = None) -> int:
    """Print the steps and the request of each; with --user-id, which steps that learner has passed."""
    configuration = call.configuration
    async with opened(configuration) as site:
        learner = await locate(site, user_id) if user_id else None
        if user_id and learner is None:
            call.show_failure(user_id, await absence(site, user_id))
            return SOME_FAILED
        rows = _rows(site, learner)
    hints = _hints(configuration.pipeline, learner)
    document = {
        "configuration": configuration.source,
        "user_id": user_id,
        "state": learner.state if learner else None,
        "steps": rows,
        "warnings": [*configuration.warnings, *hints],
        "next_times": next_times(configuration),
    }
    call.show_warnings()
    call.remark(hints)
    if user_id:
        call.show(document, _table(rows, f"learner {user_id}"))
    else:
        call.show(document, _table(rows, configuration.source), *lines(configuration))
    return DONE


def _hints(pipeline: Pipeline, learner: Learner | None) -> list[str]:
    """What to say of a learner whose state no step has."""
    if learner is None or not is_stray(pipeline, learner.state):
        return []
    return [stray_text(learner.user_id, learner.state)]


def _rows(site: Site, learner: Learner | None) -> list[dict[str, Any]]:
    finished = site.pipeline.finished_at(learner.state) if learner else frozenset()
    rows = []
    for number, step in enumerate(site.pipeline, 1):
        connector = site.connectors[step.service]
        route = connector.route(step.operation)
        rows.append(
            {
                "number": number,
                "step": step.name,
                "service": step.service,
                "operation": step.operation,
                "request": f"{route.method} {route.path}" if route else "none",
                "after": list(step.after),
                "what": _what(step.name, learner, finished),
                "doc": connector.operations()[step.operation].doc,
            }
        )
    return rows


def _what(step: str, learner: Learner | None, finished: frozenset[str] | None) -> str:
    if learner and (learner.state == COMPLETE or (finished and step in finished)):
        return "done"
    return "waits" if finished is None else "will run"


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    cells = (
        (row["number"], row["step"], row["service"], row["request"], ", ".join(row["after"]) or "nothing", row["what"])
        for row in rows
    )
    return table(("", "step", "service", "request", "after", "what"), cells, title=title)
