"""Opening the ledger, and the one object that its users work with."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import Engine

from retirement.errors import RetirementError
from retirement.ledger.access import Access, Patience, clock_of
from retirement.ledger.acts import Acts
from retirement.ledger.anchor import read_anchor, write_anchor
from retirement.ledger.archives import Archives
from retirement.ledger.belonging import settle
from retirement.ledger.breakers import Breakers
from retirement.ledger.claims import Claims
from retirement.ledger.cleanups import Cleanups
from retirement.ledger.decisions import Decisions
from retirement.ledger.deliveries import Deliveries
from retirement.ledger.digests import Digests
from retirement.ledger.events import Events
from retirement.ledger.failures import translated
from retirement.ledger.heads import require_signed_head
from retirement.ledger.holds import Holds
from retirement.ledger.jobs import Jobs
from retirement.ledger.keys import bind
from retirement.ledger.learners import Learners
from retirement.ledger.leases import Leases
from retirement.ledger.letters import Letters
from retirement.ledger.location import LedgerLocation, OpenFile, engine_of, make_file
from retirement.ledger.notary import sign_head
from retirement.ledger.passed import Passed
from retirement.ledger.pauses import Pauses
from retirement.ledger.permissions import Permissions
from retirement.ledger.queue_runs import QueueRuns
from retirement.ledger.receipts import Receipts
from retirement.ledger.renames import Renames
from retirement.ledger.schema import prepare
from retirement.ledger.setbacks import Setbacks
from retirement.ledger.unended import Unended
from retirement.ledger.verification import Verdict, require_whole, verify
from retirement.ledger.writer import Writer

logger = logging.getLogger(__name__)


class Ledger:
    """The evidence, opened: one member for each subject. Belongs to the event loop in which it was opened.

    Every method of every subject raises `LedgerError` where the database does not do its part; then nothing was
    written, unless the error says that this is not known.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.leases = Leases(access)
        self.learners = Learners(access, self.leases)
        self.unended = Unended(access)
        self.events = Events(access)
        self.acts = Acts(access)
        self.setbacks = Setbacks(access)
        self.holds = Holds(access)
        self.passed = Passed(access)
        self.breakers = Breakers(access)
        self.pauses = Pauses(access)
        self.permissions = Permissions(access)
        self.queue_runs = QueueRuns(access)
        self.decisions = Decisions(access)
        self.receipts = Receipts(access)
        self.claims = Claims(access)
        self.deliveries = Deliveries(access)
        self.cleanups = Cleanups(access)
        self.archives = Archives(access)
        self.jobs = Jobs(access)
        self.renames = Renames(access)
        self.letters = Letters(access)

    @property
    def location(self) -> LedgerLocation:
        """Where this ledger is."""
        return self.access.location

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts that is not renewed."""
        return self.access.patience.lease_seconds

    def now(self) -> datetime:
        """The time by this process' clock."""
        return self.access.now()

    async def verify(self) -> Verdict:
        """Verifies the ledger through a connection of its own; see `verification`."""
        return await self.access.aside(lambda: verify(self.location))


@asynccontextmanager
async def opened(
    location: LedgerLocation,
    *,
    clock: Callable[[], datetime] | None = None,
    steady: Callable[[], float] | None = None,
    executor: Executor | None = None,
    lease_seconds: float = 120.0,
    breaker_learners: int = 3,
    breaker_seconds: float = 300.0,
    breaker_longest_seconds: float = 3600.0,
    holder: str | None = None,
) -> AsyncIterator[Ledger]:
    """Opens a ledger, and makes it where there is none; renews its leases until the block ends.

    `clock` tells the time in UTC (by default this machine's, on PostgreSQL the server's), `steady` seconds
    that no correction of a clock touches (by default those of `clock`, else this machine's), `executor` runs the
    transactions (by default one thread), `holder` is random by default. Raises `ConfigError` for a ledger of
    another schema, another key or another site and for a bad address, and `LedgerError` for one that cannot be read
    and written.
    """
    patience = Patience(lease_seconds, breaker_learners, breaker_seconds, breaker_longest_seconds)
    engine = engine_of(location)
    writer = Writer(engine, str(location), clock_of(location, clock), location.anchor, executor)
    try:
        digests, file = await writer.call(lambda: _prepared(location, engine, clock))
        writer.before_commit = file.require_in_place
        ledger = Ledger(Access(location, writer, digests, holder or secrets.token_hex(8), clock, patience, steady))
        heartbeat = asyncio.create_task(ledger.leases.keep_renewing())
        try:
            yield ledger
        finally:
            heartbeat.cancel()
            await asyncio.wait([heartbeat])
            if writer.wrote and location.signing:
                await writer.call(lambda: _sign(location, writer, clock))
    finally:
        await writer.close()


def _sign(location: LedgerLocation, writer: Writer, clock: Callable[[], datetime] | None) -> None:
    """Signs what this opening has entered; where that fails the work is done all the same, and the next one signs."""
    try:
        writer.before_commit()
        sign_head(location, clock=clock)
    except RetirementError as error:
        logger.warning("the head of the ledger is not signed yet: %s", error)


def _prepared(
    location: LedgerLocation, engine: Engine, clock: Callable[[], datetime] | None
) -> tuple[Digests, OpenFile]:
    """Everything that can be wrong with a ledger is wrong here, before a service is called."""
    make_file(location)
    before = OpenFile(location)
    anchor = read_anchor(location.anchor)
    with translated(str(location)):
        with engine.begin() as connection:
            prepare(connection, location)
            head = require_whole(connection, anchor, str(location))
            require_signed_head(connection, str(location))
            head = settle(connection, location, clock) or head
            digests = bind(connection, location)
            file = OpenFile(location)
        before.require_in_place()
    if head.seq:
        write_anchor(location.anchor, head)
    return digests, file
