"""What runs have come to, as rows and sentences for artifacts, the terminal and `--json`. Nothing personal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from retirement.engine import Ending, Report

#: Exit codes of every command.
DONE, SOME_FAILED, MISCONFIGURED, HELD = 0, 1, 2, 3


def table(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """One row per learner: what an operator looks for first."""
    return [
        {
            "learner": report.user_id,
            "outcome": report.ending.value,
            "steps": " ".join(f"{step.step}:{step.result}" for step in report.steps),
            "seconds": round(report.seconds, 2),
            "reason": report.reason,
        }
        for report in sorted(reports, key=lambda report: report.user_id)
    ]


def summary(reports: Sequence[Report]) -> str:
    """The endings and how often each came, in one line."""
    counts = Counter(report.ending for report in reports)
    parts = [f"{counts[ending]} {ending.value}" for ending in Ending if counts[ending]]
    return ", ".join(parts) or "nobody"


def document(report: Report) -> dict[str, Any]:
    """One learner for `--json`."""
    return {
        "user_id": report.user_id,
        "outcome": report.ending.value,
        "reason": report.reason,
        "seconds": round(report.seconds, 3),
        "steps": [
            {"step": step.step, "result": step.result, "seconds": round(step.seconds, 3)} for step in report.steps
        ],
    }


def exit_code(reports: Iterable[Report]) -> int:
    """0 when everybody is retired or took the request back, 1 when somebody failed, is parked or elsewhere."""
    fine = (Ending.RETIRED, Ending.RESCINDED)
    return DONE if all(report.ending in fine for report in reports) else SOME_FAILED
