"""Findings of reconciler, redrive and jobs as commands show them, before they do something and after it."""

from collections.abc import Collection, Iterable
from typing import Any

from rich.table import Table

from retirement import reports
from retirement.cli.asking import agreed
from retirement.cli.command import Call
from retirement.cli.output import Streamed, show_errors, table
from retirement.followup.job import planned
from retirement.followup.move_back import Finding


def show(call: Call, found: Collection[Finding], otherwise: str, problems: Collection[str] = ()) -> None:
    """Prints what was found, and how often; `otherwise` where nothing was found; and what ended it before its end."""
    rows = Streamed(found, reports.finding)
    tables = [findings_table(rows)] if found and not call.as_json else []
    document = {"learners": rows, "errors": list(problems)} if problems else {"learners": rows}
    call.show(document, *tables, reports.findings_summary(found, "" if problems else otherwise))
    show_errors(problems)


def findings_table(rows: Iterable[dict[str, Any]]) -> Table:
    """Findings of the reconciler as `reports.finding` has them, one in a row."""
    return table(("learner", "what", "state", "target", "text"), (row.values() for row in rows))


def agreed_to(question: str, found: Iterable[Finding]) -> bool:
    """Shows the learners on a terminal and asks. Raises `ConfigError` where there is no terminal."""
    return agreed(question, findings_table(map(reports.finding, found)), dry_run_shows="the learners")


def after(previewed: list[Finding], done: list[Finding]) -> list[Finding]:
    """What became of the learners who were meant, after what the preview had to say of the others."""
    meant = planned(previewed)
    return [*(each for each in previewed if each.user_id not in meant), *done]
