"""What each subject of the ledger is given: the writer, the clock, the key, and who holds its leases."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from retirement.ledger.digests import Digests
from retirement.ledger.location import LedgerLocation
from retirement.ledger.transaction import Transaction
from retirement.ledger.writer import Writer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things are waited for, in seconds."""

    lease_seconds: float = 120.0
    #: So many different learners have to fail at a service before its breaker opens.
    breaker_learners: int = 3
    breaker_seconds: float = 300.0
    breaker_longest_seconds: float = 3600.0


class Access:
    """One opening of a ledger: transactions, the time and the key. Holds nothing about any subject."""

    def __init__(
        self,
        location: LedgerLocation,
        writer: Writer,
        digests: Digests,
        holder: str,
        clock: Callable[[], datetime] | None,
        patience: Patience,
        steady: Callable[[], float] | None = None,
    ) -> None:
        self.location = location
        self.holder = holder  #: names this opening of the ledger in leases
        self.digests = digests
        self.patience = patience
        self._writer = writer
        self._clock = clock
        self._steady = steady

    def now(self) -> datetime:
        """The time by this process' clock."""
        return self._clock() if self._clock else machine_time()

    def ticks(self) -> float:
        """Seconds of a clock that only local deadlines are measured by."""
        if self._steady:
            return self._steady()
        return self._clock().timestamp() if self._clock else time.monotonic()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a transaction; returns once it is durable. Raises what `work` raised, and `LedgerError`.

        `work` may be run twice, and blocks the writer: it does nothing but read and enter.
        """
        return await self._writer.run(work, writes=True)

    async def aside(self, work: Callable[[], T]) -> T:
        """Runs something long that has a connection of its own."""
        return await self._writer.aside(work)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` on one consistent view. Raises what `work` raised, and `LedgerError`."""
        return await self._writer.run(work, writes=False)


def clock_of(location: LedgerLocation, clock: Callable[[], datetime] | None) -> Callable[[], datetime] | None:
    """What tells the time of transactions: `clock`, else this machine for a SQLite file; None: the server.

    PostgreSQL tells the time itself, so that no machine's clock can break a lease of another one.
    """
    return clock or (machine_time if location.file else None)


def machine_time() -> datetime:
    """The time by the clock of this machine."""
    return datetime.now(UTC)
