"""What the ledger has, as rows: runs of the queue, receipts of services, reports to partners."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from retirement.ledger import QueueRun, Receipt
from retirement.ledger.deliveries import FileReceipt
from retirement.ledger.tables import Claim


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def queue_run(run: QueueRun) -> dict[str, Any]:
    """One run of the queue; `ended` None: it runs, or it died."""
    return {
        "run": run.run_id,
        "began": _time(run.began_at),
        "ended": _time(run.ended_at),
        "depth": run.depth,
        "batch": run.batch,
        "outcomes": dict(run.counts),
        "seconds": run.seconds,
    }


def receipt(found: Receipt, *, overdue: bool) -> dict[str, Any]:
    """What a service has promised, with the words of `retirement verify`; nothing is asked for it."""
    return {
        "receipt": found.id,
        "learner": found.user_id,
        "step": found.step,
        "service": found.service,
        "what": found.verdict,
        "overdue": overdue,
        "received": _time(found.received_at),
        "checked": _time(found.checked_at),
        "next_check": _time(found.next_check_at),
        "confirmed": _time(found.confirmed_at),
        "result": found.result,
    }


def partner_report(claim: Claim, files: Iterable[FileReceipt]) -> dict[str, Any]:
    """One claim of learners for course partners, and the files that came of it."""
    return {
        "claim": claim.id,
        "state": claim.state,
        "began": _time(claim.began_at),
        "ended": _time(claim.ended_at),
        "learners": list(claim.user_ids),
        "reason": claim.reason,
        "files": [partner_file(each) for each in files],
    }


def partner_file(found: FileReceipt) -> dict[str, Any]:
    """One file that was delivered, and what became of it since; it counts learners and names none."""
    file = found.file
    return {
        "receipt": found.id,
        "claim": file.claim,
        "sink": file.sink,
        "partner": file.partner,
        "organisations": list(file.orgs),
        "file": file.file,
        "learners": len(file.user_ids),
        "bytes": file.size,
        "sha256": file.digest,
        "delivered": _time(found.at),
        "warned": _time(found.warned_at),
        "expired": _time(found.expired_at),
    }


def file_of(organisation: str, found: FileReceipt) -> dict[str, Any]:
    """The same for people of one organisation. One partner may stand for several: of the others nothing is told."""
    is_alone = set(found.file.orgs) == {organisation}
    return partner_file(found) | {
        "organisations": [organisation],
        "learners": len(found.file.user_ids) if is_alone else None,
    }
