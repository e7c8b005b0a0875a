"""Leases: one live run per learner, and one per queue, across processes and machines.

A lease is a row with a holder, an expiry and a fence. Whoever takes over an expired one adds one to the fence,
so that everything the old holder still tries to write is refused. A process knows the end of its own leases
by its own steady clock, counted from before it asked, so it stops in time even when the database is away.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select

from retirement.errors import LeaseLost, LedgerError, StateConflict
from retirement.ledger import chain, tables
from retirement.ledger.book import Book
from retirement.ledger.core import Core, T

logger = logging.getLogger(__name__)

_leases = tables.lease
_INSERT = _leases.insert()
_TAKE = (
    _leases.update()
    .where(_leases.c.scope == bindparam("key_scope"))
    .values({name: bindparam(name) for name in ("holder", "what", "fence", "acquired_at", "expires_at")})
)
_RENEW = (
    _leases.update()
    .where(
        _leases.c.holder == bindparam("me"),
        _leases.c.scope.in_(bindparam("scopes", expanding=True)),
        _leases.c.expires_at > bindparam("at"),
    )
    .values(expires_at=bindparam("until"))
    .returning(_leases.c.scope, _leases.c.fence)
)
_RELEASE = (
    _leases.update()
    .where(
        _leases.c.scope == bindparam("key_scope"),
        _leases.c.holder == bindparam("me"),
        _leases.c.fence == bindparam("mine"),
    )
    .values(holder="", expires_at=bindparam("at"))
)
_LIVE = select(_leases).where(_leases.c.holder != "", _leases.c.expires_at > bindparam("at"))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on something. `taken_over` says that its last holder let it expire."""

    scope: str
    holder: str
    fence: int
    what: str
    taken_over: bool


@dataclass(frozen=True, slots=True)
class LiveLease:
    """A lease that somebody holds right now."""

    scope: str
    holder: str
    what: str
    expires_at: datetime


class Leases(Core):
    """Acquire, renew, release and check leases."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._deadlines: dict[tuple[str, int], float] = {}

    async def lease(self, scope: str, *, what: str) -> Lease:
        """Takes the lease of a scope. Raises `StateConflict` while another run, here or elsewhere, has it."""
        return await self._leased(lambda book: take(book, self, scope, what), lambda lease: lease)

    async def _leased(self, work: Callable[[Book], T], lease_of: Callable[[T], Lease]) -> T:
        asked = self.ticks()
        result = await self.write(work)
        lease = lease_of(result)
        self._deadlines[lease.scope, lease.fence] = asked + self.patience.lease_seconds
        return result

    async def release(self, lease: Lease) -> None:
        """Gives a lease back. May be called again, and never frees that of a successor."""
        self.drop(lease)
        await self.write(lambda book: give_back(book, lease))

    def drop(self, lease: Lease) -> None:
        """Counts a lease as ours no more, whatever the database says: it is neither checked nor renewed."""
        self._deadlines.pop((lease.scope, lease.fence), None)

    def check(self, lease: Lease) -> None:
        """Raises `LeaseLost` once the lease may be somebody else's. Asks nobody."""
        deadline = self._deadlines.get((lease.scope, lease.fence))
        if deadline is None or self.ticks() >= deadline:
            raise _lost(lease)

    async def live_leases(self) -> dict[str, LiveLease]:
        """Every lease that somebody holds now, by its scope."""
        rows = await self.read(lambda book: book.rows(_LIVE, {"at": book.at}))
        return {
            row["scope"]: LiveLease(row["scope"], row["holder"], row["what"], chain.read(row["expires_at"]))
            for row in rows
        }

    async def renew(self) -> None:
        """Renews every lease of ours in one statement; those that are ours no more are dropped.

        Raises `LedgerError`, and leaves the deadlines as they were.
        """
        asked, mine = self.ticks(), dict(self._deadlines)
        if not mine:
            return
        kept = await self.write(lambda book: self._renewed(book, [scope for scope, _ in mine]))
        for key in mine.keys() & self._deadlines.keys():
            if key in kept:
                self._deadlines[key] = asked + self.patience.lease_seconds
            else:
                del self._deadlines[key]

    def _renewed(self, book: Book, scopes: list[str]) -> set[tuple[str, int]]:
        values = {"me": self.holder, "scopes": scopes, "at": book.at, "until": _until(book, self)}
        return {(row["scope"], row["fence"]) for row in book.rows(_RENEW, values)}

    async def keep_renewing(self) -> None:
        """Renews for as long as it runs, three times within a lease."""
        while True:
            await asyncio.sleep(self.patience.lease_seconds / 3)
            try:
                await self.renew()
            except LedgerError as error:
                # Nothing is lost yet: the next one may succeed, and else the deadlines stop everybody in time.
                logger.warning("the leases could not be renewed: %s", error)


def take(book: Book, core: Core, scope: str, what: str) -> Lease:
    """Takes a lease inside a transaction; raises `StateConflict`."""
    row = book.row(_leases, scope)
    held = row is not None and row["holder"] != ""
    if row and held and row["expires_at"] > book.at:
        raise StateConflict(f"another run has {what}")
    lease = Lease(scope, core.holder, row["fence"] + 1 if row else 1, what, taken_over=held)
    values = {
        "holder": lease.holder,
        "what": what,
        "fence": lease.fence,
        "acquired_at": book.at,
        "expires_at": _until(book, core),
    }
    book.connection.execute(*((_TAKE, values | {"key_scope": scope}) if row else (_INSERT, values | {"scope": scope})))
    return lease


def is_ours(book: Book, lease: Lease) -> bool:
    """Whether a lease is still its holder's, by the one clock that all holders share."""
    row = book.row(_leases, lease.scope)
    return (
        row is not None
        and (row["holder"], row["fence"]) == (lease.holder, lease.fence)
        and bool(row["expires_at"] > book.at)
    )


def learner_scope(user_id: int) -> str:
    """The scope of the lease that a run has on a learner."""
    return f"learner:{user_id}"


def require_ours(book: Book, lease: Lease) -> None:
    """Raises `LeaseLost` unless the lease is still its holder's, as of a transaction; see `is_ours`."""
    if not is_ours(book, lease):
        raise _lost(lease)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"the lease of {lease.what} is lost: it ran out, or another run took it over")


def is_live(book: Book, scope: str) -> bool:
    """Whether anybody holds the lease of a scope."""
    row = book.row(_leases, scope)
    return row is not None and row["holder"] != "" and bool(row["expires_at"] > book.at)


def give_back(book: Book, lease: Lease) -> None:
    """Frees a lease inside a transaction, if it is still its holder's."""
    values = {"key_scope": lease.scope, "me": lease.holder, "mine": lease.fence, "at": book.at}
    book.connection.execute(_RELEASE, values)


def _until(book: Book, core: Core) -> str:
    return chain.written(book.now + timedelta(seconds=core.patience.lease_seconds))
