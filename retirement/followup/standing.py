"""Where one learner stands: the row of the LMS, and what the ledger has of the newest retirement; nothing personal."""

from datetime import datetime
from typing import Any

from retirement.errors import Ending
from retirement.followup.overview import not_retired
from retirement.learner import Learner
from retirement.ledger import LearnerRecord, learner_scope
from retirement.pipeline.strays import is_stray, stray_text
from retirement.site import Site
from retirement.site.address import unfinished
from retirement.site.watch import absence, locate


async def standing(site: Site, user_id: int) -> dict[str, Any]:
    """As `retirement status` and the door tell it; `found` is false where neither LMS nor ledger knows the learner."""
    learner = await locate(site, user_id)
    records = await site.ledger.learners.retirements({user_id})
    record = records[-1] if records else None
    row = _row_in_the_lms(learner, record.due_at if record else site.due_at(learner)) if learner else {"state": None}
    lease = (await site.ledger.leases.live()).get(learner_scope(user_id))
    return {
        "user_id": user_id,
        **row,
        **await _hint(site, user_id, learner, record),
        "live_run": f"until {lease.expires_at.isoformat()}" if lease else None,
        "ledger": evidence(record) if record else None,
        "not_retired": not_retired(unfinished(records)),
        "found": learner is not None or record is not None,
    }


async def _hint(site: Site, user_id: int, learner: Learner | None, record: LearnerRecord | None) -> dict[str, str]:
    """What helps a learner that no run takes."""
    if learner and is_stray(site.pipeline, learner.state):
        return {"what_helps": stray_text(user_id, learner.state)}
    if learner is None and record and record.retired_at is None:
        return {"row": await absence(site, user_id)}
    return {}


def _row_in_the_lms(learner: Learner, due_at: datetime) -> dict[str, str | None]:
    return {
        "state": learner.state,
        "last_state": learner.last_state,
        "requested_at": learner.requested_at.isoformat(),
        "changed_at": learner.changed_at.isoformat(),
        "due_at": due_at.isoformat(),
    }


def evidence(record: LearnerRecord) -> dict[str, Any]:
    """One retirement as the ledger has it."""
    return {
        "user_id": record.user_id,
        "retirement": record.retirement_id,
        "requested_at": record.requested_at.isoformat(),
        "due_at": record.due_at.isoformat(),
        "ending": _of_today(record.ending),
        "reason": record.reason or None,
        "ended_at": iso(record.ended_at),
        "retired_at": iso(record.retired_at),
        "steps": record.finished,
    }


def _of_today(ending: str | None) -> str | None:
    """An ending by the name that it has today; words that are no ending, such as `closed`, stay."""
    try:
        return ending and Ending(ending).value
    except ValueError:
        return ending


def iso(time: datetime | None) -> str | None:
    """A time as JSON has it."""
    return time.isoformat() if time else None
