"""Breakers: a service that keeps failing is left alone, and nobody's learner becomes ERRORED for it.

Closed: calls are made. It opens when several different learners have failed at the service since its last
success; after a wait, one caller at a time may probe, which closes it or doubles the wait. One that an
operator opened stays open until an operator closes it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from retirement.errors import BreakerOpen
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core, Patience

CLOSED, OPEN = "closed", "open"
#: Who changed a breaker, where it was nobody.
_PIPELINE = "the pipeline"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one service. `retry_at` is None while closed, and where only an operator closes it."""

    service: str
    state: str
    since: datetime
    retry_at: datetime | None
    reason: str
    by: str
    failing: int  #: how many learners failed at it since its last success


class Breakers(Core):
    """Look at breakers, and move them by hand."""

    async def breakers(self) -> list[Breaker]:
        """Every service that was ever seen failing, by name."""
        statement = select(tables.breaker).order_by(tables.breaker.c.service)
        return [_breaker(row) for row in await self.read(lambda book: book.rows(statement))]

    async def open_breaker(self, service: str, *, reason: str, by: str) -> None:
        """Keeps everybody from calling a service until `close_breaker`."""
        changes = {"state": OPEN, "retry_at": None, "probe_until": None, "reason": reason, "changed_by": by}
        await self.write(lambda book: _turn(book, service, self.patience, "breaker.opened", changes))

    async def close_breaker(self, service: str, *, reason: str, by: str) -> None:
        """Lets everybody call a service again, whoever opened its breaker."""
        changes = _closing(self.patience) | {"reason": reason, "changed_by": by}
        await self.write(lambda book: _turn(book, service, self.patience, "breaker.closed", changes))


def admit(book: Book, service: str, operation: str, patience: Patience) -> bool:
    """Whether the caller has to probe first; raises `BreakerOpen` where nothing may be called.

    Who probes does so alone, for as long as a lease lasts; then it is the next one's turn.
    """
    row = book.row(tables.breaker, service)
    if row is None or row["state"] == CLOSED:
        return False
    waits = row["retry_at"] is None or row["retry_at"] > book.at
    if waits or (row["probe_until"] and row["probe_until"] > book.at):
        raise BreakerOpen(service, operation, None, _since(row))
    until = chain.written(book.now + timedelta(seconds=patience.lease_seconds))
    _enter(book, "breaker.probing", row, row | {"probe_until": until})
    return True


def succeeded(book: Book, service: str) -> None:
    """Forgets the failures of a service that has just worked."""
    row = book.row(tables.breaker, service)
    if row and row["state"] == CLOSED and row["failing"] != "[]":
        _enter(book, "breaker.reset", row, row | {"failing": "[]"})


def failed(book: Book, service: str, user_id: int, reason: str, patience: Patience) -> None:
    """Counts a failure at a service, and opens its breaker when enough learners had one."""
    row = book.row(tables.breaker, service)
    if row and row["state"] == OPEN:
        return
    failing = json.loads(row["failing"]) if row else []
    if user_id in failing:
        return
    changes: dict[str, Any] = {"failing": chain.canonical(sorted([*failing, user_id]))}
    if len(failing) + 1 >= patience.breaker_learners:
        changes |= _waiting(book, patience.breaker_seconds) | {"state": OPEN, "since": book.at}
        changes |= {"reason": reason, "changed_by": _PIPELINE}
    kind = "breaker.opened" if "state" in changes else "breaker.counted"
    _enter(book, kind, row, (row or _fresh(book, service, patience)) | changes)


def probed(book: Book, service: str, answered: bool, reason: str, patience: Patience) -> None:
    """Closes a breaker whose service answered a probe; else doubles the wait until the next one."""
    row = book.row(tables.breaker, service)
    # An operator may have closed it, or opened it for good, while the probe was under way.
    if row is None or row["state"] == CLOSED or row["retry_at"] is None:
        return
    if answered:
        changes = _closing(patience) | {"since": book.at, "reason": reason, "changed_by": _PIPELINE}
        _enter(book, "breaker.closed", row, row | changes)
        return
    wait = min(row["wait"] * 2, patience.breaker_longest_seconds)
    changes = _waiting(book, wait) | {"reason": reason, "changed_by": _PIPELINE}
    _enter(book, "breaker.stays-open", row, row | changes)


def _turn(book: Book, service: str, patience: Patience, kind: str, changes: Mapping[str, Any]) -> None:
    row = book.row(tables.breaker, service)
    since = {} if row and row["state"] == changes["state"] else {"since": book.at}
    _enter(book, kind, row, {**(row or _fresh(book, service, patience)), **changes, **since})


def _enter(book: Book, kind: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> None:
    change = Changed(tables.breaker, after) if before else New(tables.breaker, after)
    book.enter(kind, change, facts={"service": after["service"]})


def _fresh(book: Book, service: str, patience: Patience) -> dict[str, Any]:
    return {"service": service, "since": book.at, "reason": "", "changed_by": _PIPELINE} | _closing(patience)


def _closing(patience: Patience) -> dict[str, Any]:
    return {
        "state": CLOSED,
        "retry_at": None,
        "wait": float(patience.breaker_seconds),
        "failing": "[]",
        "probe_until": None,
    }


def _waiting(book: Book, seconds: float) -> dict[str, Any]:
    retry_at = chain.written(book.now + timedelta(seconds=seconds))
    return {"retry_at": retry_at, "wait": float(seconds), "probe_until": None}


def _since(row: Mapping[str, Any]) -> str:
    look = f"next look at {_minute(row['retry_at'])}" if row["retry_at"] else "until an operator closes its breaker"
    return f"down since {_minute(row['since'])}; {look}"


def _minute(text: str) -> str:
    return chain.read(text).strftime("%Y-%m-%d %H:%M UTC")


def _breaker(row: Mapping[str, Any]) -> Breaker:
    since, retry_at = chain.read(row["since"]), chain.read_or_none(row["retry_at"])
    failing = len(json.loads(row["failing"]))
    return Breaker(row["service"], row["state"], since, retry_at, row["reason"], row["changed_by"], failing)
