"""Leases: one live run per learner, and one per queue, across processes and machines.

A lease is a row with a holder, an expiry and a fence. Taking over an expired one adds one to the fence, so that
everything the old holder still tries to write is refused. A process knows the end of its own leases
by its own steady clock, counted from before it asked, so it stops in time even when the database is away.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam

from retirement.errors import BusyElsewhere, LeaseLost, LedgerError
from retirement.ledger.access import Access, T
from retirement.ledger.tables import LeaseRow, table_of
from retirement.ledger.transaction import Transaction

logger = logging.getLogger(__name__)

#: The longest that the configuration lets a lease last; one that ends later was written by a clock that was wrong.
LONGEST_SECONDS = 3600.0

_leases = table_of(LeaseRow)
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
    """A lease that is held right now."""

    scope: str
    holder: str
    what: str
    expires_at: datetime


class Leases:
    """Acquire, renew, release and check leases."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.holder = access.holder  #: names this opening of the ledger
        self._deadlines: dict[tuple[str, int], float] = {}

    async def take(self, scope: str, *, what: str) -> Lease:
        """Takes the lease of a scope. Raises `BusyElsewhere` while another run, here or elsewhere, has it."""
        return await self.keep(lambda tx: take(tx, self._access, scope, what), lambda lease: lease)

    async def keep(self, work: Callable[[Transaction], T], lease_of: Callable[[T], Lease]) -> T:
        """Runs a piece of work that takes a lease, and renews that lease until it is dropped."""
        asked = self._access.ticks()
        result = await self._access.write(work)
        lease = lease_of(result)
        self._deadlines[lease.scope, lease.fence] = asked + self._access.patience.lease_seconds
        return result

    async def release(self, lease: Lease) -> None:
        """Gives a lease back. May be called again, and never frees that of a successor."""
        self.drop(lease)
        await self._access.write(lambda tx: give_back(tx, lease))

    def drop(self, lease: Lease) -> None:
        """Counts a lease as ours no more, whatever the database says: it is neither checked nor renewed."""
        self._deadlines.pop((lease.scope, lease.fence), None)

    def check(self, lease: Lease) -> None:
        """Raises `LeaseLost` once the lease may be that of another run. Reads no database."""
        deadline = self._deadlines.get((lease.scope, lease.fence))
        if deadline is None or self._access.ticks() >= deadline:
            raise _lost(lease)

    async def live(self) -> dict[str, LiveLease]:
        """Every lease that is held now, by its scope."""
        rows = await self._access.read(live_leases)
        return {row.scope: LiveLease(row.scope, row.holder, row.what, row.expires_at) for row in rows}

    async def renew(self) -> None:
        """Renews every lease of ours in one statement; those that are ours no more are dropped.

        Raises `LedgerError`, and leaves the deadlines as they were.
        """
        asked, mine = self._access.ticks(), dict(self._deadlines)
        if not mine:
            return
        kept = await self._access.write(lambda tx: self._renewed(tx, [scope for scope, _ in mine]))
        for key in mine.keys() & self._deadlines.keys():
            if key in kept:
                self._deadlines[key] = asked + self._access.patience.lease_seconds
            else:
                del self._deadlines[key]

    def _renewed(self, tx: Transaction, scopes: list[str]) -> set[tuple[str, int]]:
        until = _until(tx, self._access)
        values = {"me": self._access.holder, "scopes": scopes, "at": tx.now, "until": until}
        return {(row.scope, row.fence) for row in tx.connection.execute(_RENEW, values)}

    async def keep_renewing(self) -> None:
        """Renews for as long as it runs, three times within a lease."""
        while True:
            await asyncio.sleep(self._access.patience.lease_seconds / 3)
            try:
                await self.renew()
            except LedgerError as error:
                # Nothing is lost yet: the next one may succeed, and else the deadlines stop every run in time.
                logger.warning("the leases could not be renewed: %s", error)


def live_leases(tx: Transaction) -> list[LeaseRow]:
    """Every lease that a run has right now."""
    return [row for row in tx.rows(LeaseRow, LeaseRow.holder != "") if _is_held(tx, row)]


def take(tx: Transaction, access: Access, scope: str, what: str) -> Lease:
    """Takes a lease inside a transaction; raises `BusyElsewhere`."""
    row = tx.row(LeaseRow, scope)
    if row and _is_held(tx, row):
        raise BusyElsewhere(f"another run has {what}")
    fence, taken_over = (row.fence + 1, row.holder != "") if row else (1, False)
    lease = Lease(scope, access.holder, fence, what, taken_over)
    values = {
        "holder": lease.holder,
        "what": what,
        "fence": lease.fence,
        "acquired_at": tx.now,
        "expires_at": _until(tx, access),
    }
    tx.connection.execute(*((_TAKE, values | {"key_scope": scope}) if row else (_INSERT, values | {"scope": scope})))
    return lease


def is_ours(tx: Transaction, lease: Lease) -> bool:
    """Whether a lease is still its holder's, by the one clock that all holders share."""
    row = tx.row(LeaseRow, lease.scope)
    return row is not None and (row.holder, row.fence) == (lease.holder, lease.fence) and row.expires_at > tx.now


def learner_scope(user_id: int) -> str:
    """The scope of the lease that a run has on a learner."""
    return f"learner:{user_id}"


def require_ours(tx: Transaction, lease: Lease) -> None:
    """Raises `LeaseLost` unless the lease is still its holder's, as of a transaction; see `is_ours`."""
    if not is_ours(tx, lease):
        raise _lost(lease)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"the lease of {lease.what} is lost: it ran out, or another run took it over")


def is_live(tx: Transaction, scope: str) -> bool:
    """Whether the lease of a scope is held right now."""
    row = tx.row(LeaseRow, scope)
    return row is not None and _is_held(tx, row)


def _is_held(tx: Transaction, row: LeaseRow) -> bool:
    return row.holder != "" and row.expires_at > tx.now and tx.is_believable(row.expires_at, LONGEST_SECONDS)


def give_back(tx: Transaction, lease: Lease) -> None:
    """Frees a lease inside a transaction, if it is still its holder's."""
    values = {"key_scope": lease.scope, "me": lease.holder, "mine": lease.fence, "at": tx.now}
    tx.connection.execute(_RELEASE, values)


def _until(tx: Transaction, access: Access) -> datetime:
    return tx.now + timedelta(seconds=access.patience.lease_seconds)
