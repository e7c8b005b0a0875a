"""One call of an operation on the simulated platform: what it sent, how it ended, and what it really did.

What really happened is read from the tables: which cells of the service changed or went with their rows, which
rows came, and what of the learner is left two months later. A fault stands between the connector and the
platform, from a certain request on, once or for ever.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, cast

import httpx

from retirement.connectors import Connector, Erasure, Verdict
from retirement.learner import Learner
from retirement.ledger import Ledger
from retirement.lms import Lms
from retirement.sandbox import Snapshot
from retirement.sandbox.world.schema import metadata
from tests.contract.subjects import Subject
from tests.patient import PATIENCE
from tests.unit.doubles import USERNAME, Calendar, Forward, Naps, World, holder, shipped

#: Far beyond whatever a service does later, as long as its confirmations are kept.
LATER = timedelta(days=60)
NOW = timedelta()
#: Seconds after which a call that takes no time counts as one that never ends.
NEVER = PATIENCE
#: Loggers of the simulated side, which may write whatever it likes.
_NOT_OURS = ("retirement.sandbox", "sqlalchemy", "asyncio")

_TABLES = tuple(table.name for table in metadata.sorted_tables)
#: Of all tables at once: there are a hundred of them, and most are empty.
_SELECT_IDS = " UNION ALL ".join(f'SELECT {n}, id FROM "{name}"' for n, name in enumerate(_TABLES))  # noqa: S608 - of the schema

#: A table, the place of a row in it, a column.
Cell = tuple[str, int, str]
Rows = dict[str, dict[int, dict[str, Any]]]
Does = Callable[[httpx.Request, Forward], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Fault:
    """What happens to the requests from the `first` on, `times` of them; None: for ever."""

    does: Does
    first: int = 0
    times: int | None = None
    #: Whether requests for a token are hit as well.
    sign_in: bool = True


@dataclass(frozen=True)
class Exchange:
    """A request as it left, and what came back: a status, None when nothing did, and a body."""

    request: httpx.Request
    status: int | None = None
    body: bytes = b""

    @property
    def signs_in(self) -> bool:
        return signs_in(self.request)


def signs_in(request: httpx.Request) -> bool:
    """Whether a request asks for a token: only those send a grant."""
    return b"grant_type=" in request.content


@dataclass(frozen=True)
class Change:
    """What became of the tables, those of other services included: the LMS deletes notes elsewhere."""

    #: Cells that have another value now, or none.
    gone: frozenset[Cell]
    #: How many rows came, by table.
    added: Mapping[str, int]
    #: Places of the service that still hold the learner's name, e-mail or username.
    left: frozenset[tuple[str, str]]

    def without(self, other: Change) -> Change:
        """What happened here and not there."""
        added = {table: rows - other.added.get(table, 0) for table, rows in self.added.items()}
        return Change(self.gone - other.gone, {table: rows for table, rows in added.items() if rows > 0}, self.left)


@dataclass
class Ending:
    """How a call ended."""

    erasure: Erasure | None = None
    verdict: Verdict | None = None
    error: BaseException | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    naps: list[float] = field(default_factory=list)
    log: str = ""
    change: Change = Change(frozenset(), {}, frozenset())

    @property
    def said(self) -> str:
        """In a word or two; never an error's text, which may be the thing at fault."""
        if self.error:
            return type(self.error).__name__
        return self.erasure.outcome.value if self.erasure else str(self.verdict.value if self.verdict else "nothing")


class Passing(Naps):
    """A sleep that takes no time here, while time passes at the vendors."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def __call__(self, seconds: float) -> None:
        self._world.sandbox.advance(seconds)
        await super().__call__(seconds)


class Stage:
    """The platform with one learner, who is known to every service or to none, and the connector."""

    _world: ClassVar[World | None] = None
    _drifts: ClassVar[dict[bool, Change]] = {}
    _learner: ClassVar[Learner | None] = None
    #: The platform as it is before a call, by whether the services know the learner: planted once in a process.
    _planted: ClassVar[dict[bool, tuple[Snapshot, dict[str, int]]]] = {}

    def __init__(self, subject: Subject, *, known: bool = True) -> None:
        self.subject = subject
        # First of all, as vendors may share a file with all worlds of a process.
        self._drift = self._drifts.get(known) or self._drifts.setdefault(known, self._drifting(known=known))
        self.world = self._platform()
        self._plant(known=known)
        self.world.around, self.world.naps = None, Passing(self.world)
        self._noted: set[tuple[str, int]] = set()
        self._known_ids: tuple[object, frozenset[tuple[str, int]]] | None = None
        self._before = self.rows()

    def _plant(self, *, known: bool) -> None:
        """Makes the platform as it is before each call."""
        if known not in self._planted:
            self.world.seed(_learner(known=known), states=shipped("default").lms_states)
            # What is due at once is no one's doing.
            self._settle(self.world)
            self._planted[known] = self.world.sandbox.snapshot(), self.world.user_ids
        snapshot, self.world.user_ids = self._planted[known]
        self.world.sandbox.restore(snapshot)

    @classmethod
    def _platform(cls) -> World:
        if cls._world is None:
            # Nothing here writes evidence, so there is no ledger.
            cls._world = World(cast(Ledger, None), Calendar())
        return cls._world

    @staticmethod
    def _settle(world: World) -> None:
        """Has the services do what is due."""
        platform = world.sandbox._platform
        with platform.world.database.transaction() as db:
            platform.settle(db)

    def connector(self) -> Connector:
        """A connector that has signed in nowhere yet."""
        settings = self.subject.kind.Settings(**self.subject.section)
        wiring, _ = self.world.wiring()
        return self.subject.kind.connected(self.subject.service, settings, wiring)

    async def learner(self) -> Learner:
        """As the LMS describes them, the same in each world."""
        if Stage._learner is None:
            wiring, _ = self.world.wiring()
            lms = Lms(wiring.api("LMS", "http://lms.sandbox", auth=wiring.jwt), shipped("default").lms_states)
            Stage._learner = await lms.rows.find(self.world.user_ids[USERNAME])
            assert Stage._learner is not None
        return Stage._learner

    async def perform(self, fault: Fault | None = None, connector: Connector | None = None) -> Ending:
        """Does the operation for the learner."""
        learner, used = await self.learner(), connector or self.connector()
        ending = await self._watched(lambda: used.perform(self.subject.operation, learner), fault)
        if connector is None:
            await used.close()
        return ending

    async def ask(self, receipt: str, fault: Fault | None = None) -> Ending:
        """Asks what became of the erasure, when the LMS has forgotten the learner."""
        connector = self.connector()
        ending = await self._watched(lambda: connector.ask(self.subject.operation, receipt, None), fault)
        await connector.close()
        return ending

    async def probe(self, fault: Fault | None = None) -> Ending:
        """Asks whether the operation could be done."""
        connector = self.connector()
        ending = await self._watched(lambda: connector.probe(self.subject.operation), fault)
        await connector.close()
        return ending

    def change(self, later: timedelta = LATER) -> Change:
        """What was done, as the tables say after some time; it stays passed, and what it does alone is left out."""
        self.world.sandbox.advance(later.total_seconds())
        places = self.world.sandbox.residue(USERNAME, self.subject.app) if self.subject.app else []
        left = {(each["table"], each["column"]) for each in places}
        change = _change(self._before, self.rows(), frozenset(left))
        return change.without(self._drift) if later else change

    def rows(self) -> Rows:
        """Every table as it is now, without what a service has noted for itself when it was read."""
        rows = _rows(self.world)
        for table, number in self._noted:
            rows[table].pop(number, None)
        return rows

    async def _read(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        """A GET does nothing by definition; where a list goes on is the service's own affair."""
        before = self._ids()
        response = await forward(request)
        self._noted |= self._ids() - before
        return response

    def _ids(self) -> frozenset[tuple[str, int]]:
        """What rows there are; looked up where something was written since."""
        version = self.world.sandbox._platform.world.database.version
        if self._known_ids is None or self._known_ids[0] != version:
            self._known_ids = version, _ids(self.world)
        return self._known_ids[1]

    @classmethod
    def _drifting(cls, *, known: bool) -> Change:
        """What happens at the services when nobody calls, with learners like this one."""
        world = World(cast(Ledger, None), Calendar())
        world.seed(_learner(known=known), states=shipped("default").lms_states)
        cls._settle(world)
        before = _rows(world)
        world.sandbox.advance(LATER.total_seconds())
        cls._settle(world)
        return _change(before, _rows(world), frozenset())

    async def _watched(self, call: Callable[[], Awaitable[Any]], fault: Fault | None) -> Ending:
        ending = Ending()
        self.world.naps.taken.clear()
        self.world.around = _around(ending.exchanges, fault, self._read)
        with listening() as lines:
            try:
                result = await asyncio.wait_for(call(), NEVER)
            except Exception as error:  # noqa: BLE001 - the suite judges whatever comes out, that is its purpose
                ending.error = error
            else:
                ending.erasure = result if isinstance(result, Erasure) else None
                ending.verdict = result if isinstance(result, Verdict) else None
        self.world.around = None
        ending.naps, ending.log = list(self.world.naps.taken), "\n".join(lines)
        return ending


#: What a learner holds whom every service knows, and one whom none does.
EVERYTHING: dict[str, Any] = {
    "vendors": "all",
    "ecommerce": True,
    "discovery": True,
    "proctoring_backends": {"a": True},
}
NOTHING: dict[str, Any] = {
    "vendors": [],
    "credentials": False,
    "licenses": [],
    "notes": 0,
    "proctoring": 0,
    "enrollments": [],
    "forum": False,
}


def _learner(*, known: bool) -> dict[str, Any]:
    """In a working state, since the LMS refuses others."""
    return holder(state="RETIRING_NOTES", **(EVERYTHING if known else NOTHING))


def _rows(world: World) -> Rows:
    """Every table, by the ids of its rows; the platform has no door to whole tables but its own database."""
    with _driver(world) as driver:
        cursor = driver.cursor()
        return {table: _rows_of(cursor, table) for table in _TABLES}


def _ids(world: World) -> frozenset[tuple[str, int]]:
    """The ids of the rows of every table."""
    with _driver(world) as driver:
        return frozenset((_TABLES[place], number) for place, number in driver.execute(_SELECT_IDS))


@contextmanager
def _driver(world: World) -> Iterator[sqlite3.Connection]:
    """The connection by the driver itself: there are many tables, they are small, and this is done often."""
    with world.sandbox._platform.world.database.transaction() as db:
        yield cast(sqlite3.Connection, db.connection.driver_connection)


def _rows_of(cursor: sqlite3.Cursor, table: str) -> dict[int, dict[str, Any]]:
    found = cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - a name of the schema
    columns = [each[0] for each in found.description]
    rows = (dict(zip(columns, values, strict=True)) for values in found)
    return {row["id"]: row for row in rows}


def _change(before: Rows, after: Rows, left: frozenset[tuple[str, str]]) -> Change:
    gone, added = set(), Counter[str]()
    for table, rows in before.items():
        for place, (number, row) in enumerate(sorted(rows.items())):
            now = after[table].get(number, {})
            gone |= {
                (table, place, column) for column, value in row.items() if column not in now or now[column] != value
            }
        if came := after[table].keys() - rows.keys():
            added[table] = len(came)
    return Change(frozenset(gone), added, left)


def _around(exchanges: list[Exchange], fault: Fault | None, read: Does) -> Does:
    hits = 0

    async def around(request: httpx.Request, then: Forward) -> httpx.Response:
        nonlocal hits

        async def forward(passed: httpx.Request) -> httpx.Response:
            return await (read(passed, then) if passed.method == "GET" else then(passed))

        place = len(exchanges)
        exchanges.append(Exchange(_kept(request)))
        wanted = fault is not None and place >= fault.first and (fault.sign_in or not signs_in(request))
        if fault and wanted and (fault.times is None or hits < fault.times):
            hits += 1
            response = await fault.does(request, forward)
        else:
            response = await forward(request)
        exchanges[place] = Exchange(exchanges[place].request, response.status_code, await response.aread())
        return response

    return around


def _kept(request: httpx.Request) -> httpx.Request:
    """As it is now: signing changes the headers of the same request for the next try."""
    kept = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
    kept.extensions = dict(request.extensions)
    return kept


@contextmanager
def listening() -> Any:
    """Every line that our side logs."""
    lines: list[str] = []

    class Ears(logging.Handler):
        """Keeps what others would write down."""

        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith(_NOT_OURS):
                lines.append(self.format(record))

    ours, ears = logging.getLogger("retirement"), Ears(logging.DEBUG)
    level = ours.level
    logging.getLogger().addHandler(ears)
    ours.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        ours.setLevel(level)
        logging.getLogger().removeHandler(ears)
