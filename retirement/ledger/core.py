"""What every part of the ledger stands on: the writer, the clock, the key, and who we are."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from retirement.ledger.book import Book
from retirement.ledger.digests import Digests
from retirement.ledger.place import LedgerPlace
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


class Core:
    """The ledger without its subjects, each of which is a class of its own that `Ledger` is made of."""

    def __init__(
        self,
        place: LedgerPlace,
        writer: Writer,
        digests: Digests,
        holder: str,
        clock: Callable[[], datetime] | None,
        patience: Patience,
    ) -> None:
        self.place = place
        self.holder = holder  #: names this opening of the ledger in leases
        self.digests = digests
        self.patience = patience
        self._writer = writer
        self._clock = clock

    def now(self) -> datetime:
        """The time by this process' clock."""
        return self._clock() if self._clock else machine_time()

    def ticks(self) -> float:
        """Seconds of a clock that only local deadlines are measured by."""
        return self._clock().timestamp() if self._clock else time.monotonic()

    async def write(self, work: Callable[[Book], T]) -> T:
        """Runs `work` in a transaction; returns once it is durable. Raises what `work` raised, and `LedgerError`.

        `work` may be run twice, and blocks the writer: it does nothing but read and enter.
        """
        return await self._writer.run(work, writes=True)

    async def read(self, work: Callable[[Book], T]) -> T:
        """Runs `work` on one consistent view. Raises what `work` raised, and `LedgerError`."""
        return await self._writer.run(work, writes=False)


def machine_time() -> datetime:
    """The time by the clock of this machine."""
    return datetime.now(UTC)
