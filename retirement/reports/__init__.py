"""What runs have come to, as rows and sentences for artifacts, the terminal and `--json`. Nothing personal."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from retirement.errors import Ending, ExitCode
from retirement.followup.clearance import TROUBLE, CleanupFinding, CleanupResult
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.questions import Checked, CheckResult
from retirement.ledger import Hold
from retirement.pipeline.endings import Report
from retirement.site.watch import Watched

#: Exit codes of commands that no error has ended; the errors bring their own.
DONE, SOME_FAILED, MISCONFIGURED = ExitCode.DONE, ExitCode.SOME_FAILED, ExitCode.MISCONFIGURED


#: The column of the link to a learner's run, which alone is Markdown.
LINK = "run"
#: Endings that need no operator.
FINE = (Ending.RETIRED, Ending.RESCINDED, Ending.HELD)


def table(reports: Iterable[Report], pages: Mapping[int, str], most: int | None = None) -> list[dict[str, Any]]:
    """One row per learner, those who need an operator first; `pages` are the addresses of the learners' runs.

    `most` rows, where there may be more learners than a page shows.
    """
    return [
        {
            "learner": report.user_id,
            "outcome": report.ending.value,
            LINK: f"[open]({pages[report.user_id]})" if report.user_id in pages else "",
            "failed step": report.failed_step,
            "reason": report.reason,
            "steps": steps(report),
            "seconds": round(report.seconds, 2),
        }
        for report in urgent_first(reports)[:most]
    ]


def urgent_first(reports: Iterable[Report]) -> list[Report]:
    """Those who need an operator first, then by user id."""
    return sorted(reports, key=lambda report: (report.ending in FINE, report.user_id))


def steps(report: Report) -> str:
    """What the steps came to and how often; the run has each of them."""
    counts = Counter(step.result for step in report.steps)
    return ", ".join(f"{count} {result}" for result, count in counts.items()) or "none"


def summary(reports: Sequence[Report]) -> str:
    """The endings and how often each came, and the steps that no run has proved, in one line."""
    return Tally().summary(reports)


class Tally:
    """The summary of a list that only grows and is asked for again and again: each report is counted once."""

    def __init__(self) -> None:
        self._seen = 0
        self._endings: Counter[Ending] = Counter()
        self._without_proof: Counter[str] = Counter()

    def summary(self, reports: Sequence[Report]) -> str:
        """As the function of that name."""
        for report in itertools.islice(reports, self._seen, None):
            self._seen += 1
            self._endings[report.ending] += 1
            self._without_proof.update(report.without_proof)
        endings = ", ".join(f"{self._endings[each]} {each.value}" for each in Ending if self._endings[each])
        told = ", ".join(f"{step} of {_learners(count)}" for step, count in self._without_proof.items())
        unproved = [f"taken as done from where the row stood, without proof: {told}"] if told else []
        return "; ".join([endings or "no learner", *unproved])


def _learners(count: int) -> str:
    return "1 learner" if count == 1 else f"{count} learners"


def _counted(kind: type[StrEnum], found: Iterable[StrEnum]) -> list[str]:
    """How often each value was found, in the order in which its class has them; without those that were not."""
    counts = Counter(found)
    return [f"{counts[each]} {each.value}" for each in kind if counts[each]]


def document(report: Report) -> dict[str, Any]:
    """One learner for `--json`."""
    return {
        "user_id": report.user_id,
        "outcome": report.ending.value,
        "reason": report.reason,
        "failed_step": report.failed_step,
        "seconds": round(report.seconds, 3),
        "steps": [
            {"step": step.step, "result": step.result, "seconds": round(step.seconds, 3)} for step in report.steps
        ],
    }


def exit_code(reports: Iterable[Report]) -> int:
    """0 when each learner is retired, held or took the request back; 1 when one failed, is parked or elsewhere."""
    return DONE if all(report.ending in FINE for report in reports) else SOME_FAILED


def finding(found: Finding) -> dict[str, Any]:
    """One learner of a reconciliation or a redrive, as a row."""
    return {
        "learner": found.user_id,
        "what": found.verdict.value,
        "state": found.state,
        "target": found.target or "",
        "text": found.text,
    }


def findings_summary(findings: Iterable[Finding], otherwise: str) -> str:
    """What was found and how often, in one line; `otherwise` where nothing was found."""
    return ", ".join(_counted(Verdict, (each.verdict for each in findings))) or otherwise


def nothing_stuck(watched: Watched) -> str:
    """What to say where the reconciler had nothing to do: that is not to say that there is no learner."""
    return f"no learner is stuck in a working state; {watched.standing}"


def findings_code(findings: Iterable[Finding]) -> int:
    """0 when each learner looked at is fine or on the way, 1 when one could not be brought back."""
    partly = (Verdict.PARTLY_RENAMED, Verdict.PARTLY_ERASED, Verdict.UNREACHED)
    bad = (Verdict.FAILED, Verdict.LEFT, Verdict.UNPROVED, Verdict.STRAY, Verdict.UNSEEN)
    return SOME_FAILED if any(each.verdict in (*bad, *partly) for each in findings) else DONE


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
    parts = _counted(CheckResult, (each.what for each in answers))
    if overdue := sum(each.overdue for each in answers):
        parts.append(f"{overdue} overdue")
    return ", ".join(parts) or "nothing to ask about"


def checked_code(answers: Iterable[Checked]) -> int:
    """0 while services confirm or work on it, 1 when a person has to look."""
    return SOME_FAILED if any(each.troubles for each in answers) else DONE


def cleanup_row(each: CleanupFinding) -> dict[str, Any]:
    """What the cleanup did with one learner, as a row."""
    return {"learner": each.user_id, "what": each.what.value, "text": each.text}


def cleanup_summary(found: Iterable[CleanupFinding]) -> str:
    """What the cleanup did and how often, in one line."""
    return ", ".join(_counted(CleanupResult, (each.what for each in found))) or "no learner is due for cleanup"


def cleanup_code(found: Iterable[CleanupFinding]) -> int:
    """0 while all rows are deleted, or wait for a service or a hold; 1 when a person has to look."""
    return SOME_FAILED if any(each.what in TROUBLE for each in found) else DONE


def holds(found: Iterable[Hold]) -> list[dict[str, Any]]:
    """One row per hold, the next to end first."""
    return [
        {
            "hold": hold.id,
            "learner": hold.user_id,
            "org": hold.org,
            "service": hold.service,
            "basis": hold.basis,
            "until": hold.until.isoformat(),
            "by": hold.by,
            "released": hold.released_at.isoformat() if hold.released_at else None,
        }
        for hold in sorted(found, key=lambda hold: (hold.until, hold.id))
    ]
