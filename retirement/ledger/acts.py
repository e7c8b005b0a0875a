"""The acts in the chain, read: what was done when, who is named for it, and what was observed of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement

from retirement.ledger import chain, tables
from retirement.ledger.access import Access
from retirement.ledger.events import Event, event_of
from retirement.ledger.tables import Entry, Row

#: Acts that a run does for each learner: thousands a night.
_OF_A_RUN = frozenset({"run.began", "receipt.checked"})
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
    return ", ".join(f"{name} {value}" for name, value in _said(event, lambda kind: kind.matter))


def _claimed(event: Event) -> str | None:
    """A fact of the entry, or what a row of it has; of a hold that ended, who ended it."""
    told: Any = event.facts.get("by") or event.facts.get("approver")
    typed = [value for _, value in _said(event, lambda kind: kind.typed_by) if value]
    return str(told or typed[-1]) if told or typed else None


def _said(event: Event, columns: Callable[[type[Row]], tuple[str, ...]]) -> Iterator[tuple[str, Any]]:
    """What the rows of an entry have in these columns of their tables."""
    for table, _, row in event.rows:
        for name in columns(tables.BY_NAME.get(table, Row)):
            if row and row.get(name) is not None:
                yield name, row[name]
