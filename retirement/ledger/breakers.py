"""Breakers: a service that keeps failing is left alone, and no learner becomes ERRORED for it.

Closed: calls are made. It opens when several different learners have failed at the service since its last
success; after a wait, one caller at a time may probe, which closes it or doubles the wait. Learners who failed
before the probe do not open it again: a service that answers and fails for them may have no trouble but them. One
that an operator opened stays open until an operator closes it.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from retirement.errors import BreakerOpen
from retirement.ledger.access import Access, Patience
from retirement.ledger.leases import LONGEST_SECONDS
from retirement.ledger.tables import Breaker
from retirement.ledger.transaction import Changed, New, Transaction

CLOSED, OPEN = "closed", "open"
#: What changed a breaker, where no person did.
_PIPELINE = "the pipeline"


class Breakers:
    """Look at breakers, and move them by hand."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def all(self) -> list[Breaker]:
        """Every service that was ever seen failing, by name."""
        return await self._access.read(lambda tx: tx.rows(Breaker))

    async def down(self) -> list[Breaker]:
        """Those that are open: their services are not called now."""
        return [each for each in await self.all() if each.state == OPEN]

    async def open(self, service: str, *, reason: str, by: str) -> None:
        """Keeps every run from calling a service until `close`."""
        patience = self._access.patience

        def turn(tx: Transaction) -> None:
            before = tx.row(Breaker, service)
            row = before or _fresh(tx, service, patience)
            opened = replace(row, state=OPEN, retry_at=None, probe_until=None, reason=reason, by=by)
            _turn(tx, "breaker.opened", before, opened)

        await self._access.write(turn)

    async def close(self, service: str, *, reason: str, by: str) -> None:
        """Lets runs call a service again, whatever opened its breaker."""
        patience = self._access.patience

        def turn(tx: Transaction) -> None:
            before = tx.row(Breaker, service)
            closed = replace(_closed(before or _fresh(tx, service, patience), patience), reason=reason, by=by)
            _turn(tx, "breaker.closed", before, closed)

        await self._access.write(turn)


def admit(tx: Transaction, service: str, operation: str, patience: Patience) -> bool:
    """Whether the caller has to probe first; raises `BreakerOpen` where nothing may be called.

    One caller probes at a time, for as long as a lease lasts; then it is the next one's turn.
    """
    row = _breaker(tx, service)
    if row is None or row.state == CLOSED:
        return False
    if _waits(tx, row, patience):
        raise BreakerOpen(service, operation, None, _since(row))
    until = tx.now + timedelta(seconds=patience.lease_seconds)
    _enter(tx, "breaker.probing", row, replace(row, probe_until=until))
    return True


def _breaker(tx: Transaction, service: str) -> Breaker | None:
    return tx.once(Breaker, service, lambda: tx.row(Breaker, service))


def _waits(tx: Transaction, row: Breaker, patience: Patience) -> bool:
    """Whether an open breaker stays open for now: until its next look, an operator's word, or a probe's end."""
    if row.retry_at is None or _is_ahead(tx, row.retry_at, patience.breaker_longest_seconds):
        return True
    longest = max(LONGEST_SECONDS, patience.lease_seconds)
    return row.probe_until is not None and _is_ahead(tx, row.probe_until, longest)


def _is_ahead(tx: Transaction, time: datetime, longest: float) -> bool:
    return time > tx.now and tx.is_believable(time, longest)


def succeeded(tx: Transaction, service: str) -> None:
    """Forgets the failures of a service that has just worked."""
    row = _breaker(tx, service)
    if row and row.state == CLOSED and row.failed:
        _enter(tx, "breaker.reset", row, replace(row, failed=()))


def failed(
    tx: Transaction, service: str, user_id: int, reason: str, patience: Patience, *, earlier: Collection[datetime] = ()
) -> None:
    """Counts a failure at a service, and opens its breaker when enough learners had one.

    `earlier` is when the learner failed there in runs before this one, without a success since. Such a failure does
    not count again where the service has answered a probe since then: the trouble may be this learner's.
    """
    before = tx.row(Breaker, service)
    row = before or _fresh(tx, service, patience)
    if row.state == OPEN or user_id in row.failed:
        return
    if _closed_by_a_probe(row) and any(at <= row.since for at in earlier):
        return
    counted = replace(row, failed=tuple(sorted([*row.failed, user_id])))
    if len(counted.failed) < patience.breaker_learners:
        _enter(tx, "breaker.counted", before, counted)
        return
    opened = replace(counted, state=OPEN, since=tx.now, reason=reason, by=_PIPELINE)
    _enter(tx, "breaker.opened", before, _waiting(tx, opened, patience.breaker_seconds))


def _closed_by_a_probe(row: Breaker) -> bool:
    """Whether it was open once, and a read-only request closed it; where an operator did, each failure counts anew."""
    return row.state == CLOSED and row.by == _PIPELINE and bool(row.reason)


def probed(tx: Transaction, service: str, answered: bool, reason: str, patience: Patience) -> None:
    """Closes a breaker whose service answered a probe; else doubles the wait until the next one."""
    row = tx.row(Breaker, service)
    # An operator may have closed it, or opened it for good, while the probe was under way.
    if row is None or row.state == CLOSED or row.retry_at is None:
        return
    after = replace(row, reason=reason, by=_PIPELINE)
    if answered:
        _enter(tx, "breaker.closed", row, replace(_closed(after, patience), since=tx.now))
        return
    wait = min(row.wait * 2, patience.breaker_longest_seconds)
    _enter(tx, "breaker.stays-open", row, _waiting(tx, after, wait))


def _turn(tx: Transaction, kind: str, before: Breaker | None, after: Breaker) -> None:
    is_same = before is not None and before.state == after.state
    _enter(tx, kind, before, after if is_same else replace(after, since=tx.now))


def _enter(tx: Transaction, kind: str, before: Breaker | None, after: Breaker) -> None:
    tx.enter(kind, Changed(after) if before else New(after), facts={"service": after.service})


def _fresh(tx: Transaction, service: str, patience: Patience) -> Breaker:
    wait = float(patience.breaker_seconds)
    return Breaker(service=service, state=CLOSED, since=tx.now, wait=wait, reason="", by=_PIPELINE, failed=())


def _closed(row: Breaker, patience: Patience) -> Breaker:
    wait = float(patience.breaker_seconds)
    return replace(row, state=CLOSED, retry_at=None, wait=wait, failed=(), probe_until=None)


def _waiting(tx: Transaction, row: Breaker, seconds: float) -> Breaker:
    return replace(row, retry_at=tx.now + timedelta(seconds=seconds), wait=float(seconds), probe_until=None)


def _since(row: Breaker) -> str:
    look = f"next look at {_minute(row.retry_at)}" if row.retry_at else "until an operator closes its breaker"
    return f"down since {_minute(row.since)}; {look}"


def _minute(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
