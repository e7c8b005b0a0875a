"""A month in numbers, from the ledger's entries alone: those of the month, and how the evidence stood at its end.

A month that is over has the same numbers each time: it ends before the first entry of a later one, whatever came
after. The ledger is verified first.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from retirement.errors import ConfigError
from retirement.ledger import SITE_NAMED, TAKEN_BACK, Act, Event, Head, LedgerLocation
from retirement.ledger.acts import act_of, is_shown
from retirement.ledger.extract import Evidence

_MONTH = re.compile(r"([2-9]\d{3})-(0[1-9]|1[0-2])")
Row = Mapping[str, Any]


@dataclass(slots=True)
class Month:
    """What was done in a month, and what was open at its end. Times are in UTC."""

    begin: datetime
    end: datetime
    site: str = ""
    head: Head | None = None  #: the last entry that was read
    first: int = 0  #: the number of the first entry of the month, 0 where it has none
    is_over: bool = False  #: whether an entry of a later month follows
    seen: int = 0  #: retirements that the first run of the month began with
    runs: int = 0  #: queue runs that ended
    endings: Counter[str] = field(default_factory=Counter)  #: runs of learners
    attempts: dict[str, Counter[str]] = field(default_factory=dict)  #: by service, then outcome or error
    retired: list[Row] = field(default_factory=list)  #: rows of learners
    receipts: Counter[str] = field(default_factory=Counter)  #: given in the month, by service
    opened: Counter[str] = field(default_factory=Counter)  #: how often a service was called no more
    came_back: dict[str, set[int]] = field(default_factory=dict)  #: learners whose proof was made void, by service
    acts: list[Act] = field(default_factory=list)
    #: Rows at the end of the month, by table and then by key.
    rows: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As YYYY-MM."""
        return f"{self.begin:%Y-%m}"

    @property
    def open(self) -> list[Row]:
        """Retirements that runs had begun, and that had not ended."""
        found = self.rows.get("learner", {}).values()
        return [each for each in found if not each["retired_at"] and each["ending"] not in TAKEN_BACK]

    @property
    def until(self) -> datetime:
        """The time as of which the numbers are: the end of the month, or the last entry while it goes on."""
        return self.end if self.is_over or not self.head else min(self.end, datetime.fromisoformat(self.head.at))

    def take(self, event: Event) -> bool:
        """Takes the next entry of the chain; False where it is of a later month."""
        if event.at >= self.end:
            self.is_over = True
            return False
        self.head = Head(event.seq, event.hash, event.at.isoformat(timespec="microseconds"))
        if event.at >= self.begin and not self.first:
            self.first = event.seq
        for table, key, row in event.rows:
            before = self.rows.get(table, {}).get(tuple(key))
            if self.first and row and (count := _COUNTED.get(table)):
                count(self, before, row)
            self._keep(table, tuple(key), row)
        if event.kind == SITE_NAMED:
            self.site = next((str(row["name"]) for table, _, row in event.rows if table == "site"), "")
        if self.first:
            self._note(event)
        return True

    def _keep(self, table: str, key: tuple[Any, ...], row: Row | None) -> None:
        if table not in _KEPT:
            return
        rows = self.rows.setdefault(table, {})
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = {name: row.get(name) for name in _KEPT[table]}

    def _note(self, event: Event) -> None:
        if event.kind in ("run.ended", "run.closed"):
            self.endings[str(event.facts.get("ending"))] += 1
        self.runs += event.kind == "queue.ended"
        if is_shown(event.kind):
            self.acts.append(act_of(event))

    def _learner(self, before: Row | None, row: Row) -> None:
        self.seen += before is None
        if row["retired_at"] and not (before and before["retired_at"]):
            self.retired.append({name: row[name] for name in _KEPT["learner"]})

    def _attempt(self, _: Row | None, row: Row) -> None:
        """A row of an attempt is entered with its intent, once with what came of it, and once where it is made void."""
        if row["voided_at"]:
            self.came_back.setdefault(row["service"], set()).add(row["user_id"])
        elif what := row["outcome"] or row["error"]:
            self.attempts.setdefault(row["service"], Counter())[what] += 1

    def _receipt(self, before: Row | None, row: Row) -> None:
        self.receipts[row["service"]] += before is None

    def _breaker(self, before: Row | None, row: Row) -> None:
        self.opened[row["service"]] += row["state"] == "open" and not (before and before["state"] == "open")


#: The columns that are kept of a row, by the table; every other row is counted when it comes, and forgotten.
_KEPT = {
    "learner": ("user_id", "requested_at", "due_at", "ending", "retired_at"),
    "receipt": ("id", "user_id", "retirement_id", "service", "result"),
    "hold": ("id", "user_id", "org", "service", "until", "placed_by", "released_at"),
    "breaker": ("service", "state"),
}
_COUNTED: dict[str, Callable[[Month, Row | None, Row], None]] = {
    "learner": Month._learner,
    "attempt": Month._attempt,
    "receipt": Month._receipt,
    "breaker": Month._breaker,
}


def month_of(text: str, now: datetime, key: str = "--month") -> Month:
    """A month that was typed as YYYY-MM, still to be read; `key` is where, for errors.

    Raises `ConfigError` for another text, and a later month.
    """
    found = _MONTH.fullmatch(text)
    if not found:
        raise ConfigError(f"{key}: give a month as YYYY-MM, such as 2026-02")
    year, month = int(found[1]), int(found[2])
    begin = datetime(year, month, 1, tzinfo=UTC)
    if begin > now:
        raise ConfigError(f"{key}: {text} has not begun; give this month or an earlier one")
    return Month(begin, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))


def read_month(
    location: LedgerLocation, text: str, now: datetime, *, key: str = "--month", or_nothing: bool = False
) -> Month:
    """The numbers of a month. Raises `ConfigError` for a month that the ledger does not reach back to, too.

    Unless it may be a month of nothing, which has no `head`; and for a ledger of another site. Raises `LedgerError` for
    one that is missing, or is not what was written.
    """
    month = month_of(text, now, key)
    Evidence.of(location).replay(month.take)
    if month.head is None and not or_nothing:
        raise ConfigError(f"{key}: {location} has no entry of {text} or before; give a later month")
    return month
