"""What stands in for time, for the wire and for a configured site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Executor, Future
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import select

from retirement.connectors import Connector, ServiceSettings
from retirement.connectors.credentials import Credentials
from retirement.connectors.discovery import Discovery
from retirement.connectors.ecommerce import Ecommerce
from retirement.connectors.license_manager import LicenseManager
from retirement.connectors.openedx import Forum, OpenEdx, OpenEdxSettings
from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.followup.redrive import Choice, redrive
from retirement.learner import Learner
from retirement.ledger import Ledger, LedgerLocation, opened
from retirement.lms import Lms
from retirement.pipeline import Moves, Pipeline, Step
from retirement.pipeline.endings import Report
from retirement.privacy import contains_name
from retirement.sandbox import Sandbox, pipelines
from retirement.sandbox.world import schema
from retirement.site import Site
from retirement.wire.api import Api, Retry
from retirement.wire.auth import TokenSource, lms_tokens
from retirement.wire.pool import Pool
from retirement.wire.wiring import Wiring

from .batches import retire

USERNAME, EMAIL, NAME = "ana.gomez+x", "ana@example.com", "Ana Gómez"
#: What must appear in no error, log line or representation.
PERSONAL = (USERNAME, "ana.gomez%2Bx", EMAIL, NAME)

Forward = Callable[[httpx.Request], Awaitable[httpx.Response]]
Around = Callable[[httpx.Request, Forward], Awaitable[httpx.Response]]

CONNECTORS: dict[str, tuple[type[Connector], str]] = {
    "LMS": (OpenEdx, "lms"),
    "CREDENTIALS": (Credentials, "credentials"),
    "LICENSE_MANAGER": (LicenseManager, "license_manager"),
    "ECOMMERCE": (Ecommerce, "ecommerce"),
    "DISCOVERY": (Discovery, "discovery"),
}


def row(**changes: Any) -> dict[str, Any]:
    """A status object of the LMS (contract, sections 4.3 and 5.7)."""
    return {
        "id": 7001,
        "user": {"id": 17, "username": USERNAME, "email": "r@retired.invalid", "profile": {"id": 3, "name": NAME}},
        "current_state": {"id": 1, "state_name": "PENDING", "state_execution_order": 1},
        "last_state": {"id": 1, "state_name": "PENDING", "state_execution_order": 1},
        "created": "2026-01-31T12:00:00.123456Z",
        "modified": "2026-02-01T12:00:00.000000Z",
        "original_username": USERNAME,
        "original_email": EMAIL,
        "original_name": NAME,
        "retired_username": "retired__user_1",
        "retired_email": "retired__user_1@retired.invalid",
        **changes,
    }


def names_nobody(text: str) -> bool:
    """Whether a text is free of the learner of these tests."""
    return not (contains_name(text, PERSONAL) or any(secret.lower() in text.lower() for secret in PERSONAL))


class Naps:
    """A sleep that takes no time and remembers how long it was asked to take."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


Answer = httpx.Response | BaseException


class Script:
    """A service that gives the scripted answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def pool(self, base_url: str = "https://svc.example") -> Pool:
        return Pool(base_url, httpx.MockTransport(self))

    def api(self, naps: Naps | None = None, **options: Any) -> Api:
        retry = options.pop("retry", None) or Retry(sleep=naps or Naps())
        return Api("SVC", self.pool(), retry=retry, **options)


class Wire(httpx.AsyncBaseTransport):
    """One application of the sandbox, with whatever a test does around each request."""

    def __init__(self, world: World, app: str) -> None:
        self._world = world
        self._inner = httpx.ASGITransport(world.sandbox.apps[app])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._world.around is None:
            return await self._inner.handle_async_request(request)
        return await self._world.around(request, self._inner.handle_async_request)


class AtOnce(Executor):
    """Runs the ledger's transactions where they are asked for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands every exception to whoever waits
            done.set_exception(error)
        return done


class Died(BaseException):
    """What no code of ours may catch."""


@dataclass
class Deadly(AtOnce):
    """A process that does so many things and dies at the next one, before or after it; nothing comes later.

    Requests count, and so do transactions of a ledger that has it as its executor.
    """

    at: int
    after: bool
    done: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def outlives(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether some work comes to its end; whoever waits for what died with the process is cut off."""
        task, death = asyncio.ensure_future(work), asyncio.ensure_future(self.dead.wait())
        await asyncio.wait([task, death], return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if not self.dead.is_set():
            task.result()
            return True
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        return False

    async def __call__(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        dying = self._dying()
        answer = await forward(request)
        if dying:
            self._die()
        return answer

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        dying = self._dying()
        future = super().submit(fn, *args, **kwargs)
        if dying:
            self._die()
        return future

    def _dying(self) -> bool:
        """Whether this is the last thing that is done."""
        self.done += 1
        if self.done > self.at or (self.done == self.at and not self.after):
            self._die()
        return self.done == self.at

    def _die(self) -> None:
        self.dead.set()
        raise Died


class Calendar:
    """The time of day for the ledger; stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        """Lets so many seconds, hours or days pass."""
        self.now += timedelta(**time)


class World:
    """A simulated platform and a ledger, and sites that talk to them without sockets."""

    def __init__(self, ledger: Ledger, calendar: Calendar) -> None:
        self.ledger, self.calendar = ledger, calendar
        self.sandbox = Sandbox()
        self.naps = Naps()
        self.around: Around | None = None
        self.user_ids: dict[str, int] = {}
        self._seeded: float | None = None
        self.clients = {
            app: httpx.AsyncClient(base_url=f"http://{app}.sandbox", transport=Wire(self, app))
            for app in self.sandbox.apps
        }

    def seed(self, *learners: Mapping[str, Any], states: Iterable[str] | None = None, **settings: Any) -> None:
        """Plants these learners anew; one who is seeded again has made the request at the same time as before."""
        now = time.time()
        self._seeded = self._seeded or now
        passed = (now - self._seeded) / 86400
        planted = [{**each, "requested_days_ago": each.get("requested_days_ago", 30) + passed} for each in learners]
        seed: dict[str, Any] = {"learners": planted, "settings": settings}
        made = self.sandbox.reset(seed | ({"states": list(states)} if states else {}))
        self.user_ids = {username: made["learners"][username]["user_id"] for username in made["learners"]}

    def site(
        self,
        pipeline: Pipeline,
        *,
        forum: Forum = Forum.AUTO,
        unenroll_version: int = 1,
        moves: Moves = Moves.EACH,
    ) -> Site:
        wiring, tokens = self.wiring()
        settings: dict[str, ServiceSettings] = {
            "LMS": OpenEdxSettings(url="http://lms.sandbox", forum=forum, unenroll_version=unenroll_version)
        }
        connectors = {
            service: connector.connected(
                service, settings.get(service, ServiceSettings(url=f"http://{app}.sandbox")), wiring
            )
            for service, (connector, app) in CONNECTORS.items()
        }
        lms = Lms(wiring.api("LMS", "http://lms.sandbox", auth=wiring.jwt), pipeline.lms_states)
        return Site(pipeline, lms, tokens, connectors, self.ledger, has_old_forum=forum is Forum.V2, moves=moves)

    def wiring(self, clock: Callable[[], float] = time.monotonic) -> tuple[Wiring, TokenSource]:
        """What connectors talk through, to `http://APP.sandbox`, and the worker's tokens."""
        client, retry = self.sandbox.clients["worker"], Retry(sleep=self.naps, clock=clock)
        secret = SecretStr(client["client_secret"])
        tokens = lms_tokens(Api("LMS", self.lms_pool, retry=retry), client["client_id"], secret)
        return Wiring(self.pool_of, tokens, retry=retry, clock=clock), tokens

    @property
    def lms_pool(self) -> Pool:
        """The connections to the LMS of this platform."""
        return self.pool_of("http://lms.sandbox")

    def pool_of(self, url: str) -> Pool:
        """The connections to a base URL of this platform."""
        base = httpx.URL(url)
        return Pool(base, self.clients[base.host.removesuffix(".sandbox")]._transport)

    async def learner(self, site: Site, username: str) -> Learner:
        found = await site.lms.rows.find(self.user_ids[username])
        assert found is not None
        return found

    async def retire(self, site: Site, username: str) -> Report:
        return await retire(site, await self.learner(site, username))

    async def mend(self, site: Site, *usernames: str) -> list[Report]:
        """What is done once the trouble is over: reconcile, redrive, and one more run for these learners."""
        findings = [each async for each in reconcile(site)]
        findings += [each async for each in redrive(site, Choice(), limit=1000)]
        odd = [each for each in findings if each.verdict in (Verdict.FAILED, Verdict.LEFT)]
        assert not odd, odd
        waiting = {each.user_id: each for each in (await site.lms.rows.queue(site.pipeline.queue_states, 0)).learners}
        listed = [waiting.get(self.user_ids[name]) or await self.learner(site, name) for name in usernames]
        return [await retire(site, learner) for learner in listed]

    async def outlives(
        self, deadly: Deadly, work: Callable[[], Awaitable[object]], place: LedgerLocation | None = None
    ) -> bool:
        """Whether a process comes to the end of some work, over this ledger or over one that it opens itself."""

        async def live() -> None:
            async with AsyncExitStack() as stack:
                if place:
                    opening = opened(place, clock=self.calendar, executor=deadly)
                    self.ledger = await stack.enter_async_context(opening)
                self.around = deadly
                await work()

        try:
            return await deadly.outlives(live())
        finally:
            self.around = None

    async def endings(self, site: Site, *usernames: str) -> dict[str, Ending]:
        """One run of these learners, one after the other, and where it left each."""
        return {username: (await self.retire(site, username)).ending for username in usernames}

    def calls(self, service: str) -> int:
        """How often a service was asked to erase something; a probe asks with GET."""
        return sum(each["service"] == service and each["method"] == "POST" for each in self.sandbox.requests)

    def state(self, username: str) -> str:
        """Where the learner's row stands."""
        state: str = self.sandbox.state()["learners"][username]["retirement"]["current_state"]
        return state

    def age(self, days: float, column: str = "modified") -> None:
        """Moves every row of the LMS back in time, which is the machine's there and cannot be moved itself."""
        table = schema.retirement
        with self.sandbox._platform.world.database.transaction() as db:
            for key, text in db.execute(select(table.c.id, table.c[column])).all():
                earlier = (datetime.fromisoformat(text) - timedelta(days=days)).isoformat()
                db.execute(table.update().where(table.c.id == key).values({column: earlier}))

    async def force(self, username: str, state: str) -> None:
        """Moves a row as an operator does, past everything in the way."""
        around, self.around = self.around, None
        client = self.sandbox.clients["worker"]
        form = {**client, "grant_type": "client_credentials", "token_type": "jwt"}
        token = (await self.clients["lms"].post("/oauth2/access_token", data=form)).json()["access_token"]
        moved = await self.clients["lms"].patch(
            "/api/user/v1/accounts/update_retirement_status/",
            json={"username": username, "new_state": state, "response": "by hand", "force": True},
            headers={"Authorization": f"JWT {token}"},
        )
        self.around = around
        assert moved.status_code == 204, moved.text

    def sent(self) -> list[tuple[str, str]]:
        """Method and path of every request that was about a learner, in order of arrival."""
        return [(each["method"], each["path"]) for each in self.sandbox.requests if each["user_id"] is not None]


def line(*named: tuple[str, str, str]) -> Pipeline:
    """A pipeline whose steps, (X, service, operation), follow each other."""
    steps: list[Step] = []
    for name, service, operation in named:
        after = (steps[-1].name,) if steps else ()
        steps.append(Step(f"RETIRING_{name}", f"{name}_COMPLETE", service, operation, after))
    return Pipeline(tuple(steps))


def shipped(name: str) -> Pipeline:
    """One of the pipelines that ship with the sandbox."""
    steps: list[Step] = []
    for each in pipelines.PIPELINES[name]:
        before = (steps[-1].name,) if steps else ()
        after = tuple(each.get("after", before))
        steps.append(Step(each["start"], each["end"], each["service"], each["operation"], after))
    return Pipeline(tuple(steps))


def holder(username: str = USERNAME, **changes: Any) -> dict[str, Any]:
    """A learner in PENDING who holds something in every service."""
    return {
        "username": username,
        "email": EMAIL if username == USERNAME else f"{''.join(filter(str.isalnum, username))}@mail.example",
        "name": NAME if username == USERNAME else f"Name Of {username}",
        "state": "PENDING",
        "enrollments": [{"org": "OrgA", "active": True}, {"org": "OrgB", "active": False}],
        "notes": 2,
        "proctoring": 1,
        "credentials": True,
        "licenses": ["activated"],
        **changes,
    }
