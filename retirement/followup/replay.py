"""Erases again what a service, or the LMS, has back since it was restored from a backup.

What the ledger has as erased there between the moment of the backup and that of the restore is forgotten; what was
erased before or after is not. A learner whose row came back in an earlier state is the queue's: the next run sees that
the row is an older one, and does again what lies beyond it.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from retirement.errors import ConfigError
from retirement.followup.late_steps import Lack, LateSteps, has_own_name, rows_of
from retirement.ledger import LearnerRecord
from retirement.pipeline import Pipeline
from retirement.site import Site

#: What the moment of the restore is called, by the prefix of names.
_RESTORED = {"": "restored_at", "--": "restored-at"}


@dataclass(frozen=True, slots=True)
class Restored:
    """Which services came back from a backup: of which moment it was, and when they were restored; None: unsaid."""

    services: tuple[str, ...]
    since: datetime | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Window:
    """The services, and the time that they have lost."""

    services: Collection[str]
    since: datetime
    until: datetime

    def forgotten(self, record: LearnerRecord) -> list[str]:
        """The steps of a retirement whose last erasure there was lost, and that were not done again since.

        When a run began or ended says nothing: what counts is the service. An erasure is in the backup when it had
        ended by then, and in what was restored when it was asked for after that; between these it may be lost.
        """
        last: dict[str, datetime] = {}
        again: set[str] = set()
        for each in record.attempts:
            if each.service not in self.services or not each.outcome or not each.ended_at:
                continue
            if each.began_at >= self.until:
                again |= {each.step} if each.is_proved else set()
            else:
                last[each.step] = max(each.ended_at, last.get(each.step, each.ended_at))
        return [step for step, at in last.items() if at >= self.since and step not in again]


async def forgotten(site: Site, restored: Restored, *, prefix: str = "") -> LateSteps:
    """The learners whose erasures were lost. Changes nothing; a second run finds those who are left.

    Raises `ConfigError` for what cannot be meant; `prefix` stands before the names of fields, as `--` in a command.
    """
    window = await _window(site, restored, prefix)
    found = await site.ledger.learners.find(tried_since=window.since) if window.services else []
    lost = {each.user_id: each for each in found if window.forgotten(each)}
    rows = await rows_of(site, lost.values())
    lacks = []
    for record in lost.values():
        row = rows.get((record.user_id, record.retirement_id))
        request = row is None and "LMS" in window.services and await _has_own_name(site, record)
        lms = "LMS" in window.services
        bare = Lack(record, row, (), request=request, lms=lms, receipts=await _receipts(site, record))
        lacks.append(_lack(site.pipeline, window.forgotten(record), bare))
    facts = {"services": sorted(window.services), "since": window.since.isoformat(), "until": window.until.isoformat()}
    sentence = f"learners that {', '.join(sorted(window.services))} has back are erased there again"
    return LateSteps(site, site.batch(), "replay", sentence, facts, lacks)


def _lack(pipeline: Pipeline, names: Collection[str], bare: Lack) -> Lack:
    """With the steps of today's pipeline, in its order, and what no step of it does any more."""
    steps = tuple(step for step in pipeline if step.name in names)
    gone = sorted(set(names) - {step.name for step in steps})
    others = f"no step of the pipeline does it any more: {', '.join(gone)}" if gone else ""
    return replace(bare, steps=steps, others=others)


async def _receipts(site: Site, record: LearnerRecord) -> dict[str, str]:
    """What the services gave for each step of a retirement, the newest of each."""
    found = await site.ledger.receipts.find(user_id=record.user_id)
    return {each.step: each.reference for each in found if each.retirement_id == record.retirement_id}


async def _window(site: Site, restored: Restored, prefix: str) -> _Window:
    if unknown := [each for each in restored.services if each not in site.connectors]:
        known = ", ".join(site.connectors)
        raise ConfigError(f"{prefix}service: {', '.join(unknown)} is not configured; services are {known}")
    now = site.ledger.now()
    if restored.since is None:
        if restored.services:
            raise ConfigError(f"{prefix}since: give the moment of the backup, in UTC")
        return _Window((), now, now)
    since = _utc(restored.since)
    given = _utc(restored.until) if restored.until else await _said_before(site, restored.services, since)
    window = _Window(restored.services, since, given or now)
    _require_order(window, now, prefix)
    return window


def _require_order(window: _Window, now: datetime, prefix: str) -> None:
    if window.since >= min(window.until, now):
        when = f"{window.since:%Y-%m-%d %H:%M}"
        raise ConfigError(f"{prefix}since: the backup is older than the restore and than now; it is {when}")
    if window.until > now:
        raise ConfigError(f"{prefix}{_RESTORED[prefix]}: the moment of the restore is in the future")


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


async def _said_before(site: Site, services: Collection[str], since: datetime) -> datetime | None:
    """The moment of the restore in the last run about the same backup: what it has erased since then is no loss."""
    asked = await site.ledger.jobs.asked_before("replay")
    wanted = {"services": sorted(services), "since": since.isoformat()}
    same = [facts for facts in asked if {name: facts.get(name) for name in wanted} == wanted]
    return datetime.fromisoformat(same[-1]["until"]) if same else None


async def _has_own_name(site: Site, record: LearnerRecord) -> bool:
    """Whether the account has the name again that it had before the retirement."""
    account = await site.lms.accounts.numbered(record.user_id)
    return account is not None and await has_own_name(site, record, account)
