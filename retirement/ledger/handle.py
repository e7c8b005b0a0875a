"""Opening the ledger, and the one object that everybody works with."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from retirement.errors import LedgerError, RetirementError
from retirement.ledger import tables
from retirement.ledger.anchor import read_anchor, write_anchor
from retirement.ledger.archives import Archives
from retirement.ledger.book import head_of
from retirement.ledger.breakers import Breakers
from retirement.ledger.chain import Head
from retirement.ledger.claims import Claims
from retirement.ledger.core import Patience, machine_time
from retirement.ledger.digests import Digests, digests_of
from retirement.ledger.failures import failure
from retirement.ledger.holds import Holds
from retirement.ledger.place import LedgerPlace, engine_of, make_file
from retirement.ledger.queue_runs import QueueRuns
from retirement.ledger.receipts import Receipts
from retirement.ledger.records import Records
from retirement.ledger.schema import prepare
from retirement.ledger.tenure import Tenures
from retirement.ledger.verification import Verdict, require_no_lost_tail, verify
from retirement.ledger.writer import Writer


class Ledger(Tenures, Breakers, Holds, QueueRuns, Claims, Receipts, Archives, Records):
    """The evidence, opened. Belongs to the event loop in which it was opened.

    Every method raises `LedgerError` where the database does not do its part; then nothing was written, unless
    the error says that this is not known.
    """

    async def head(self) -> Head:
        """The last entry of the chain."""
        return await self.read(lambda book: head_of(book.connection))

    async def verify(self) -> Verdict:
        """Verifies the ledger through a connection of its own; see `verification`."""
        return await self._writer.aside(lambda: verify(self.place))


@asynccontextmanager
async def opened(
    place: LedgerPlace,
    *,
    clock: Callable[[], datetime] | None = None,
    executor: Executor | None = None,
    lease_seconds: float = 120.0,
    breaker_learners: int = 3,
    breaker_seconds: float = 300.0,
    breaker_longest_seconds: float = 3600.0,
    holder: str | None = None,
) -> AsyncIterator[Ledger]:
    """Opens a ledger, and makes it where there is none; renews its leases until the block ends.

    `clock` tells the time in UTC (by default this machine's, on PostgreSQL the server's), `executor` runs the
    transactions (by default one thread), `holder` is random by default. Raises `ConfigError` for a ledger of
    another schema or a bad address, and `LedgerError` for one that cannot be read and written.
    """
    patience = Patience(lease_seconds, breaker_learners, breaker_seconds, breaker_longest_seconds)
    # PostgreSQL tells the time itself, so that no machine's clock can break a lease of another one.
    told = clock or (machine_time if place.file else None)
    engine = engine_of(place)
    writer = Writer(engine, str(place), told, place.anchor, executor)
    try:
        digests = await writer.call(lambda: _prepared(place, engine))
        ledger = Ledger(place, writer, digests, holder or secrets.token_hex(8), clock, patience)
        heartbeat = asyncio.create_task(ledger.keep_renewing())
        try:
            yield ledger
        finally:
            heartbeat.cancel()
            await asyncio.wait([heartbeat])
    finally:
        await writer.close()


def _prepared(place: LedgerPlace, engine: Engine) -> Digests:
    """Everything that can be wrong with a ledger is wrong here, before anybody is called."""
    make_file(place)
    digests = digests_of(place)
    anchor = read_anchor(place.anchor) if place.anchor else None
    try:
        with engine.begin() as connection:
            prepare(connection, place)
            head = head_of(connection)
            require_no_lost_tail(head, anchor, str(place))
            _require_anchored(connection, anchor, str(place))
    except RetirementError:
        raise
    except Exception as error:  # noqa: BLE001 - a driver's words may quote the address
        raise failure(str(place), error) from None
    if place.anchor and head.seq:
        write_anchor(place.anchor, head)
    return digests


def _require_anchored(connection: Connection, anchor: Head | None, name: str) -> None:
    """Raises `LedgerError` for another chain of the same length or more, before the anchor moves on and hides it."""
    if anchor is None:
        return
    entry = tables.event.c
    if connection.scalar(select(entry.hash).where(entry.seq == anchor.seq)) != anchor.hash:
        raise LedgerError(f"{name}: the entry the anchor holds is not in this ledger: it was written anew")
