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
#: What a row says of the matter, by its table; nothing that was typed freely.
_MATTER = {
    "breaker": ("service",),
    "decision": ("id", "answer", "at_most"),
    "hold": ("id", "org", "service", "until"),
    "pause": ("schedule",),
}
#: What stands for the way in, in a sentence.
_WAYS = {
    "console": ", by a command",
    "form": ", by a form in Prefect",
    "schedule": ", by its schedule",
    "prefect": ", by a run that was started in Prefect",
    "door": ", at the door",
}


@dataclass(frozen=True, slots=True)
class Act:
    """One entry of an act. `claimed` is the name that was typed; `observed` is None in entries of older releases.

    `matter` says what it was about, in words such as `answer approved`.
    """

    seq: int
    at: datetime
    kind: str
    user_id: int | None
    claimed: str | None
    observed: Mapping[str, str] | None
    matter: str = ""

    @property
    def seen(self) -> str:
        """What was observed, in words."""
        if self.observed is None:
            return "not observed: an earlier release"
        way = _WAYS.get(self.observed["channel"], "")
        if "person" in self.observed:
            return f"{self.observed['person']}{way}"
        sudo = f" (sudo by {self.observed['sudo']})" if "sudo" in self.observed else ""
        return f"{self.observed['account']}{sudo} on {self.observed['host']}{way}"


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
        return [act_of(event_of(each)) for each in found]


def is_shown(kind: str) -> bool:
    """Whether a kind of entry is an act that is listed without a learner who is asked about."""
    return kind in chain.ACTS and kind not in _OF_A_RUN


def act_of(event: Event) -> Act:
    """An entry of an act."""
    seen = event.facts.get(chain.OBSERVED)
    return Act(event.seq, event.at, event.kind, event.user_id, _claimed(event), seen, _matter(event))


def _matter(event: Event) -> str:
    found = [
        f"{name} {row[name]}"
        for table, _, row in event.rows
        for name in _MATTER.get(table, ())
        if row and row.get(name) is not None
    ]
    return ", ".join(found)


def _claimed(event: Event) -> str | None:
    if column := _CLAIMED.get(event.kind):
        found = [row[column] for _, _, row in event.rows if row and row.get(column)]
        return str(found[0]) if found else None
    told: Any = event.facts.get("by") or event.facts.get("approver")
    return str(told) if told else None
