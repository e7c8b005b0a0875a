"""Pipeline, proxy and sandbox in one loop: the cast, one run of one learner, and what is true afterwards."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import traceback
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from sqlalchemy import and_, select

from retirement.connectors import Connector, registry
from retirement.errors import RetirementError
from retirement.followup.questions import CheckResult
from retirement.followup.verify import verify
from retirement.ledger import Ledger, LedgerLocation, opened
from retirement.lms import Listing, Lms
from retirement.pipeline import Pipeline
from retirement.retire.engine import retire
from retirement.sandbox import Snapshot, report
from retirement.sandbox.pipelines import configuration, states
from retirement.sandbox.residue import residue
from retirement.sandbox.world import schema
from retirement.site import Site
from retirement.wire.network import Network
from retirement.wire.pool import Pool
from tests.contract.stage import EVERYTHING, LATER, NOTHING, listening
from tests.hostile.loop import JumpingLoop
from tests.hostile.proxy import Asked, Proxy, Trouble
from tests.ledgers import place_file
from tests.unit.doubles import AtOnce, Calendar, Naps, World, holder

#: A folder without a disk, where the system has one: no process dies here, and each commit waits for its disk.
MEMORY = next((each for each in ("/dev/shm",) if os.access(each, os.W_OK)), None)  # noqa: S108 - tempfile makes the name
#: So many cases share a ledger and a filling of the sandbox, each with a learner of its own.
CAST = 32
#: A learner of whom each service knows something, and with whom nothing is ever done.
BYSTANDER = "canary-bystander"
LEARNERS = [f"canary-{number:02}" for number in range(CAST)]
#: Learners of whom no service but the LMS knows anything.
STRANGERS = [f"canary-stranger-{number:02}" for number in range(CAST)]
#: What is in no log, no error and no file; lower case.
CANARIES = ("canary", "mail.example", "name of")
#: Where a run ends that does not come as far as the learner; and where it should never end.
NOT_BEGUN, NOT_LISTED, DEFECT = "not begun", "not listed", "defect"

#: A service, a table, a column and what it holds of a learner.
Left = frozenset[tuple[str, ...]]


#: User ids: of accounts that have the retired username, that are enrolled, and that partners will be told of.
_RENAMED = select(schema.user.c.learner).join(
    schema.retirement,
    and_(
        schema.retirement.c.learner == schema.user.c.learner,
        schema.retirement.c.retired_username == schema.user.c.username,
    ),
)
_ENROLLED = select(schema.enrollment.c.learner).where(schema.enrollment.c.is_active.is_(True))
_REPORTED = select(schema.partner_report.c.learner)
#: What is left beside names and addresses.
_IS_ENROLLED, _NOT_REPORTED = ("lms", "enrollment", "is active"), ("lms", "partner queue", "is not told")


@dataclass(frozen=True)
class Truth:
    """Whether the row, and the account where that is renamed, say that a learner is retired; and what is left."""

    is_retired: bool
    left: Left


@dataclass(frozen=True)
class Run:
    """What a run said about one learner, in seconds of the loop; `words` is all that it said."""

    outcome: str
    words: str
    seconds: float
    asked: Sequence[Asked]
    #: How many of these were sent before it began with the learner.
    before: int


class Sleep(Naps):
    """Sleeps by the loop's clock."""

    async def __call__(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Street(World):
    """A platform behind the proxy; each site of it has its own tokens, and all share the connections."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(cast(Ledger, None), Calendar())
        self.naps = Sleep()
        self.clock = clock
        self.proxy = Proxy(self.sandbox)
        self._pools: dict[str, Pool] = {}
        self._sections: dict[str, dict[str, Any]] = {}

    async def open(self) -> None:
        """Opens the ports, and points clients and settings at them."""
        await self.proxy.open()
        urls = self.proxy.urls
        self._lms_url = urls["lms"]
        self._sections = configuration("all", urls, self.sandbox.clients["worker"])["services"]
        self._sections |= {"LMS": {"url": urls["lms"]}}

    @property
    def lms_pool(self) -> Pool:
        """The connections to its port."""
        return self.pool_of(self._lms_url)

    def pool_of(self, url: str) -> Pool:
        """Real connections; no certificate is looked at here, and to read those of the world takes a while."""
        if url not in self._pools:
            trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._pools[url] = Pool(url, Network(100, trusted))
        return self._pools[url]

    async def close(self) -> None:
        """Closes connections and ports."""
        for pool in self._pools.values():
            await pool.aclose()
        await self.proxy.close()

    def site_of(self, pipeline: Pipeline, kinds: dict[str, type[Connector]]) -> Site:
        """A site that has signed in nowhere yet; `kinds` are connectors to use in the place of the installed ones."""
        wiring, tokens = self.wiring(self.clock)
        connectors = {}
        for service in dict.fromkeys(step.service for step in pipeline):
            section = dict(self._sections[service])
            kind = kinds.get(service) or registry()[section.pop("connector", service)]
            connectors[service] = kind.connected(service, kind.Settings(**section), wiring)
        lms = Lms(wiring.api("LMS", self.proxy.urls["lms"], auth=wiring.jwt), pipeline.lms_states)
        return Site(pipeline, lms, tokens, connectors, self.ledger, clock=self.clock)


class Stage:
    """Plays runs over one pipeline. `fresh` fills the sandbox anew and takes an empty ledger."""

    _planted: ClassVar[tuple[Snapshot, dict[str, int]] | None] = None

    def __init__(self, street: Street, pipeline: Pipeline, kinds: dict[str, type[Connector]]) -> None:
        self._street, self._pipeline, self._kinds = street, pipeline, kinds
        #: The files of the last ledger that name a learner.
        self.told: list[str] = []
        self._before = 0
        self._opened: tuple[Site, Listing] | None = None

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[None]:
        """The cast is there again, and has not been retired by anyone."""
        street = self._street
        with tempfile.TemporaryDirectory(prefix="retirement-hostile-", dir=MEMORY) as folder:
            file = place_file(Path(folder) / "ledger.sqlite")
            # Many learners fail here, and each has to meet trouble of its own.
            opening = opened(
                LedgerLocation(f"sqlite:///{file}"), clock=street.calendar, executor=AtOnce(), breaker_learners=1000
            )
            async with opening as street.ledger:
                self._plant()
                self._opened = None
                yield
            self.told = [path.name for path in Path(folder).iterdir() if names_somebody(path.read_bytes())]

    def _plant(self) -> None:
        street = self._street
        if Stage._planted is None:
            street.seed(*_cast(), states=states("all"), worker_is_staff=True, enrollment_throttle=False)
            Stage._planted = street.sandbox.snapshot(), street.user_ids
        snapshot, street.user_ids = Stage._planted
        street.sandbox.restore(snapshot)

    async def run(self, username: str, trouble: Trouble | None = None, *, is_ready: bool = False) -> Run:
        """One queue run for one learner, as far as it comes; `is_ready`: the site has been opened and has signed in."""
        street = self._street
        await street.proxy.open()
        ready = await self._ready() if is_ready else None
        street.proxy.begin(trouble)
        began = street.clock()
        with listening() as lines:
            try:
                outcome, said = await self._ran(username, *(ready or await self._listed()))
            except RetirementError as error:
                outcome, said = NOT_BEGUN, f"{type(error).__name__}: {error} {error.args}"
            except Exception as error:  # noqa: BLE001 - whatever comes out is what this is about
                outcome, said = DEFECT, "".join(traceback.format_exception(error))
        return Run(outcome, "\n".join([said, *lines]), street.clock() - began, street.proxy.asked, self._before)

    async def _ready(self) -> tuple[Site, Listing]:
        if self._opened is None:
            self._street.proxy.begin(None)
            self._opened = await self._listed()
        return self._opened

    async def _listed(self) -> tuple[Site, Listing]:
        """A site that was asked whether it works, and what its queue lists."""
        site = self._street.site_of(self._pipeline, self._kinds)
        await site.preflight()
        return site, await site.lms.rows.queue(site.pipeline.queue_states, 0)

    async def _ran(self, username: str, site: Site, listing: Listing) -> tuple[str, str]:
        self._before = len(self._street.proxy.asked)
        user_id = self._street.user_ids[username]
        learner = next((each for each in listing.learners if each.user_id == user_id), None)
        if learner is None:
            return NOT_LISTED, " ".join(listing.unreadable)
        told = await retire(site, site.batch(), learner)
        return told.ending.value, told.reason

    def truths(self, usernames: Collection[str], apps: Collection[str]) -> dict[str, Truth]:
        """What is true of these learners in these applications, straight from the tables."""
        platform = self._street.sandbox._platform
        people = {name: platform.world.people[name] for name in usernames}
        with platform.world.database.transaction() as db:
            platform.settle(db)
            left = [residue(db, list(people.values()), app) for app in apps]
            complete = report.complete(db, platform.world.states)
            if self._pipeline.renames_accounts:
                complete &= set(db.execute(_RENAMED).scalars())
            enrolled = set(db.execute(_ENROLLED).scalars())
            reported = set(db.execute(_REPORTED).scalars())
        found = {}
        for name, person in people.items():
            places = {tuple(place.values()) for each in left for place in each[person.user_id]}
            places |= {_IS_ENROLLED} if person.user_id in enrolled else set()
            places |= set() if person.user_id in reported else {_NOT_REPORTED}
            found[name] = Truth(person.user_id in complete, frozenset(places))
        return found

    async def is_watched(self, username: str) -> bool:
        """Whether a receipt is open by which the program finds out, later, that the service has not erased."""
        await self._street.proxy.open()
        self._street.proxy.begin(None)
        site, _ = await self._ready()
        user_id = self._street.user_ids[username]
        said = [each.what async for each in verify(site, site.batch(), user_id=user_id, every=True)]
        return any(what not in (CheckResult.GONE, CheckResult.CONFIRMED) for what in said)

    def apps_of(self, asked: Sequence[Asked]) -> frozenset[str]:
        """Where the steps can erase something: any application behind the LMS, else those that were asked."""
        if any(step.service == "LMS" for step in self._pipeline):
            return frozenset(self._street.proxy.ports)
        return frozenset(each.place.route.app for each in asked) - {"lms"}

    def let_time_pass(self) -> None:
        """The services do what they have promised, and forget."""
        self._street.sandbox.advance(LATER.total_seconds())


def words_of(username: str) -> str:
    """What a learner is called."""
    known = holder(username)
    return f"{known['username']}, {known['email']}, {known['name']}"


def names_somebody(content: bytes) -> bool:
    """Whether a learner of the cast is named there, in any case."""
    lower = content.lower()
    return any(each.encode() in lower for each in CANARIES)


def _cast() -> Iterator[dict[str, Any]]:
    for username in (*LEARNERS, BYSTANDER):
        yield holder(username, **EVERYTHING)
    for username in STRANGERS:
        yield holder(username, **NOTHING)


@contextmanager
def playing() -> Iterator[tuple[JumpingLoop, Street]]:
    """A loop and a street, until the block ends."""
    streets: list[Street] = []
    loop = JumpingLoop(lambda seconds: streets[0].sandbox.advance(seconds) if streets else None)
    asyncio.set_event_loop(loop)
    try:
        streets.append(Street(loop.time))
        loop.run_until_complete(streets[0].open())
        yield loop, streets[0]
    finally:
        if streets:
            loop.run_until_complete(streets[0].close())
        asyncio.set_event_loop(None)
        loop.close()
