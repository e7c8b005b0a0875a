"""The acts in the chain, read: what was done when, who is named for it, and what was observed of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from retirement.ledger import chain
from retirement.ledger.access import Access
from retirement.ledger.events import Event, event_of
from retirement.ledger.tables import Entry

#: Acts that a run does for each learner: thousands a night.
_OF_A_RUN = frozenset({"run.began", "receipt.checked"})
#: Where a row has the name that was typed, by the kind of the entry; elsewhere it is a fact of the entry.
_CLAIMED = {
    "breaker.closed": "changed_by",
    "breaker.opened": "changed_by",
    "decision.made": "approver",
    "hold.added": "placed_by",
    "hold.released": "released_by",
    "receipt.checked": "evidence_by",
    "schedule.paused": "paused_by",
}


@dataclass(frozen=True, slots=True)
class Act:
    """One entry of an act. `claimed` is the name that was typed; `observed` is None in entries of older releases."""

    seq: int
    at: datetime
    kind: str
    user_id: int | None
    claimed: str | None
    observed: Mapping[str, str] | None


class Acts:
    """List the acts."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def since(self, since: datetime) -> list[Act]:
        """What was done since then, without what runs do for each learner, in the order of the entries."""
        kinds = chain.ACTS - _OF_A_RUN
        return await self._found(Entry.kind.in_(sorted(kinds)), Entry.at >= chain.written(since))

    async def about(self, user_id: int) -> list[Act]:
        """What was ever done about one learner, in the order of the entries."""
        return await self._found(Entry.kind.in_(sorted(chain.ACTS)), Entry.user_id == user_id)

    async def _found(self, *wanted: ColumnElement[bool]) -> list[Act]:
        found = await self._access.read(lambda tx: tx.rows(Entry, *wanted))
        return [_act(event_of(each)) for each in found]


def _act(event: Event) -> Act:
    return Act(event.seq, event.at, event.kind, event.user_id, _claimed(event), event.facts.get(chain.OBSERVED))


def _claimed(event: Event) -> str | None:
    if column := _CLAIMED.get(event.kind):
        found = [row[column] for _, _, row in event.rows if row and row.get(column)]
        return str(found[0]) if found else None
    told: Any = event.facts.get("by") or event.facts.get("approver")
    return str(told) if told else None
