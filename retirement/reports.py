"""What runs have come to, as rows and sentences for artifacts, the terminal and `--json`. Nothing personal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from retirement import forgetting
from retirement.confirmation import Checked, What
from retirement.endings import Ending, Report
from retirement.forgetting import Archived
from retirement.reconciler import Finding, Verdict

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
    """0 when everybody is retired, held or took the request back; 1 when somebody failed, is parked or elsewhere."""
    fine = (Ending.RETIRED, Ending.RESCINDED, Ending.HELD)
    return DONE if all(report.ending in fine for report in reports) else SOME_FAILED


def finding(found: Finding) -> dict[str, Any]:
    """One learner of a reconciliation or a redrive, as a row."""
    return {
        "learner": found.user_id,
        "what": found.verdict.value,
        "state": found.state,
        "target": found.target or "",
        "text": found.text,
    }


def findings_summary(findings: Sequence[Finding]) -> str:
    """What was found and how often, in one line."""
    counts = Counter(each.verdict for each in findings)
    return ", ".join(f"{counts[each]} {each.value}" for each in Verdict if counts[each]) or "nobody is stuck"


def findings_code(findings: Iterable[Finding]) -> int:
    """0 when everybody who was looked at is fine or on the way, 1 when somebody could not be brought back."""
    bad = (Verdict.FAILED, Verdict.LEFT)
    return SOME_FAILED if any(each.verdict in bad for each in findings) else DONE


def checked(answer: Checked) -> dict[str, Any]:
    """What asking about one receipt came to, as a row."""
    return {
        "receipt": answer.receipt,
        "learner": answer.user_id,
        "step": answer.step,
        "service": answer.service,
        "what": answer.what.value,
        "overdue": answer.overdue,
        "text": answer.text,
    }


def checked_summary(answers: Sequence[Checked]) -> str:
    """What the services said and how often, in one line."""
    counts = Counter(each.what for each in answers)
    parts = [f"{counts[what]} {what.value}" for what in What if counts[what]]
    if overdue := sum(each.overdue for each in answers):
        parts.append(f"{overdue} overdue")
    return ", ".join(parts) or "nothing to ask about"


def checked_code(answers: Iterable[Checked]) -> int:
    """0 while services confirm or work on it, 1 when a person has to look."""
    return SOME_FAILED if any(each.troubles for each in answers) else DONE


def archived(each: Archived) -> dict[str, Any]:
    """What came of one learner in the archive, as a row."""
    return {"learner": each.user_id, "what": each.what.value, "text": each.text}


def archived_summary(found: Sequence[Archived]) -> str:
    """Who was forgotten and who was not, in one line."""
    counts = Counter(each.what for each in found)
    parts = [f"{counts[what]} {what.value}" for what in forgetting.What if counts[what]]
    return ", ".join(parts) or "nobody's time has come"


def archived_code(found: Iterable[Archived]) -> int:
    """0 while all are forgotten, or wait for a service or a hold; 1 when a person has to look."""
    return SOME_FAILED if any(each.what in forgetting.TROUBLE for each in found) else DONE
