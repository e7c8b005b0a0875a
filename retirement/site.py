"""Everything that the learners of one process share: pipeline, ledger, LMS and one connector per service.

One connection pool per service, one token for all of them. Nothing here belongs to one learner.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from retirement.auth import TokenSource, lms_tokens
from retirement.config import Configuration, load
from retirement.connectors import Connector
from retirement.connectors.openedx import Forum, OpenEdx
from retirement.deadlines import due_at
from retirement.errors import ConfigError, LedgerError, Misconfigured, RetirementError, ServiceError
from retirement.home import home
from retirement.http import Api, Pool, Retry, pool
from retirement.learner import Learner
from retirement.ledger import Hold, Ledger, LedgerPlace
from retirement.ledger import opened as opened_ledger
from retirement.limits import Gate, Limits
from retirement.lms import Lms
from retirement.pipeline import Pipeline
from retirement.wiring import Wiring


class Stop:
    """Tells every learner of a run to stop before the next call; keeps the first reason."""

    def __init__(self) -> None:
        self.reason: RetirementError | None = None

    def __bool__(self) -> bool:
        return self.reason is not None

    def set(self, reason: RetirementError) -> None:
        self.reason = self.reason or reason


class ForumLane:
    """One learner at a time between forum and account, for forums up to 0.4.3 (contract, section 4.16).

    That forum blanks the account's e-mail, which is unique, so the next learner's forum step fails until the
    first one's account step is done. Open until the first collision shows that this site has such a forum.
    """

    def __init__(self, narrow: bool = False) -> None:
        self.narrow = narrow
        self._lock = asyncio.Lock()
        self._owner: int | None = None

    async def enter(self, user_id: int) -> None:
        if self.narrow and self._owner != user_id:
            await self._lock.acquire()
            self._owner = user_id

    def leave(self, user_id: int) -> None:
        if self._owner == user_id:
            self._owner = None
            self._lock.release()


@dataclass
class Deadlines:
    """Days from the request in which a retirement has to be complete: `days`, or those of the learner's country."""

    days: int
    by_country: Mapping[str, int] = field(default_factory=dict)
    #: Countries of the learners that the queue has just listed, as the LMS shows them; in memory only.
    countries: dict[int, str] = field(default_factory=dict)

    def days_for(self, user_id: int) -> int:
        return self.by_country.get(self.countries.get(user_id, ""), self.days)


#: Waits for a turn that several processes share: told the service, its limits and the request.
Turn = Callable[[str, Limits, str], AbstractAsyncContextManager[None]]


class Turns:
    """Makes the gates of a site's services; a run of a shared engine brings the turn that they wait for first."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.shared: Turn | None = None
        self._sleep = sleep

    def gate(self, service: str, limits: Limits) -> Gate:
        """The gate of one service, which keeps the limits of this process in any case."""
        return _SharedGate(self, service, limits, self._sleep)


class _SharedGate(Gate):
    def __init__(self, turns: Turns, service: str, limits: Limits, sleep: Callable[[float], Awaitable[None]]) -> None:
        super().__init__(limits, sleep=sleep)
        self._turns, self._service = turns, service

    @asynccontextmanager
    async def passing(self, request: str) -> AsyncIterator[None]:
        """Waits for the turn among processes, and then among the learners of this one."""
        async with AsyncExitStack() as stack:
            if self._turns.shared and (self.limits.at_once or self.limits.rates):
                await stack.enter_async_context(self._turns.shared(self._service, self.limits, request))
            await stack.enter_async_context(super().passing(request))
            yield


@dataclass
class Site:
    """Everything that the learners of one process share."""

    pipeline: Pipeline
    lms: Lms
    tokens: TokenSource
    connectors: Mapping[str, Connector]
    ledger: Ledger
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(30))
    stop: Stop = field(default_factory=Stop)
    forum_lane: ForumLane = field(default_factory=ForumLane)
    clock: Callable[[], float] = time.monotonic
    turns: Turns = field(default_factory=Turns)
    #: Rows that the queue has just listed, so that nobody has to look a user id up again.
    listed: dict[int, Learner] = field(default_factory=dict)
    #: Organisations of learners, asked for together where a hold is on one.
    orgs: dict[int, set[str]] = field(default_factory=dict)
    _met: dict[tuple[object, ...], set[int]] = field(default_factory=dict)

    async def learner(self, user_id: int) -> Learner | None:
        """The learner of that LMS user id, None where the LMS has no retirement of them."""
        return self.listed.get(user_id) or await self.lms.find(user_id)

    def due_at(self, learner: Learner) -> datetime:
        """When the retirement has to be complete, counted from the request."""
        return due_at(learner, self.deadlines.days_for(learner.user_id))

    def met(self, error: RetirementError, user_id: int) -> None:
        """Stops the run for what everybody would meet: a ledger that cannot be written, a misconfiguration.

        One learner alone may meet what looks like one, such as a firewall that dislikes a name; with others
        under way it takes a second learner to stop them all.
        """
        if isinstance(error, LedgerError):
            self.stop.set(error)
        elif isinstance(error, Misconfigured):
            who = self._met.setdefault((error.service, error.request, error.status), set())
            who.add(user_id)
            if len(who) >= min(2, len(self.listed) or 1):
                self.stop.set(error)

    async def with_orgs(self, row: Learner, org_holds: Collection[Hold]) -> list[Hold]:
        """Those of the holds on organisations that the learner belongs to; the LMS is asked only where there is one."""
        if org_holds and row.user_id not in self.orgs:
            self.orgs[row.user_id] = await self.lms.orgs(row)
        return self.holds_on(row, org_holds)

    def holds_on(self, learner: Learner, holds: Iterable[Hold]) -> list[Hold]:
        """Those of the holds that are on the learner, or on an organisation that they are known to belong to."""
        return [hold for hold in holds if hold.is_on(learner.user_id, self.orgs.get(learner.user_id, ()))]

    async def preflight(self) -> None:
        """Asks what every learner would stumble over: token, permission, states, routes. Changes nothing.

        Only a wrong address, credential or permission is a reason to stop here; a service that is down or odd
        is met again by those whom it concerns. Raises `ConfigError`, `LedgerError` and `ServiceError`.
        """
        await self.lms.require_states()
        # The LMS has proved its address and our permission above; `doctor` asks for its single routes.
        # A service whose breaker is open is asked by nobody before its time.
        skipped = {"LMS", *(each.service for each in await self.ledger.breakers() if each.state == "open")}
        others = (step for step in self.pipeline if step.service not in skipped)
        probes = (self.connectors[step.service].probe(step.operation) for step in others)
        for answer in await asyncio.gather(*probes, return_exceptions=True):
            if isinstance(answer, BaseException) and (
                isinstance(answer, Misconfigured) or not isinstance(answer, ServiceError)
            ):
                raise answer


@asynccontextmanager
async def opened(configuration: Configuration) -> AsyncIterator[Site]:
    """The site that a configuration describes; closes connections and ledger at the end. Sends nothing.

    Raises `LedgerError` and `ConfigError` where the ledger cannot be opened.
    """
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            opened_ledger(
                ledger_place(configuration),
                lease_seconds=configuration.lease_seconds,
                breaker_learners=configuration.breaker.learners,
                breaker_seconds=configuration.breaker.seconds,
                breaker_longest_seconds=configuration.breaker.longest_seconds,
            )
        )
        turns = Turns()
        tokens, wiring = await _wired(configuration, stack, turns)
        connectors = {
            service: connector.connected(service, configuration.services[service], wiring)
            for service, connector in configuration.connectors.items()
        }
        for each in connectors.values():
            stack.push_async_callback(each.close)
        yield Site(
            pipeline=configuration.pipeline,
            lms=Lms(wiring.api("LMS", configuration.lms.url, auth=wiring.jwt), configuration.pipeline.lms_states),
            tokens=tokens,
            connectors=connectors,
            ledger=ledger,
            deadlines=Deadlines(configuration.deadline_days, configuration.deadline_days_by_country),
            forum_lane=ForumLane(narrow=_has_old_forum(configuration)),
            turns=turns,
        )


async def _wired(configuration: Configuration, stack: AsyncExitStack, turns: Turns) -> tuple[TokenSource, Wiring]:
    """What the connectors of a process talk through; one pool for each host, closed with the stack."""
    lms, at_once = configuration.lms, configuration.queue.at_once
    retry = Retry(configuration.retry.attempts, configuration.retry.seconds)
    pools: dict[str, Pool] = {}

    def pool_of(url: str) -> Pool:
        if url not in pools:
            pools[url] = pool(url, at_once)
        return pools[url]

    async def close() -> None:
        for each in pools.values():
            await each.aclose()

    stack.push_async_callback(close)
    tokens = lms_tokens(Api("LMS", pool_of(lms.url), retry=retry), lms.client_id, lms.client_secret)
    return tokens, Wiring(pool_of, tokens, retry=retry, gate=turns.gate)


def ledger_place(configuration: Configuration) -> LedgerPlace:
    """Where the ledger of a site is: what the configuration says, else a file of this installation."""
    settings = configuration.ledger
    url = settings.url.get_secret_value() if settings.url else f"sqlite:///{home() / 'ledger' / 'ledger.sqlite'}"
    anchor, key = (Path(path).expanduser() if path else None for path in (settings.anchor, settings.key))
    return LedgerPlace(url=url, anchor=anchor, key=key)


def _has_old_forum(configuration: Configuration) -> bool:
    settings = configuration.services["LMS"]
    return isinstance(settings, OpenEdx.Settings) and settings.forum is Forum.V2


#: What the command line has opened and asked already, for the flow that it calls in this process.
_ready: ContextVar[tuple[Configuration, Site]] = ContextVar("ready")


@asynccontextmanager
async def ready(
    path: str | Path | None, secret_block: Callable[[str], str] | None = None, turn: Turn | None = None
) -> AsyncIterator[tuple[Configuration, Site]]:
    """A configuration and its site, loaded, opened and asked whether they work; once per process and run.

    `turn` is what a run of an engine waits for before it asks a service that has limits.
    Raises `ConfigError` and `ServiceError` before any learner is touched.
    """
    if found := _ready.get(None):
        found[1].turns.shared = turn or found[1].turns.shared
        yield found
        return
    configuration = load(path, secret_block=secret_block)
    async with opened(configuration) as site:
        site.turns.shared = turn
        try:
            await site.preflight()
        except ConfigError as error:
            raise ConfigError(*(f"{configuration.source}: pipeline: {problem}" for problem in error.args)) from None
        token = _ready.set((configuration, site))
        try:
            yield configuration, site
        finally:
            _ready.reset(token)
