"""The way between our processes and the platform: what goes wrong on it, and who is killed on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from random import Random

import httpx

from retirement.pipeline import COMPLETE, Pipeline
from retirement.sandbox.wire import Answer, Request, as_json
from tests.routes import ROUTES

from .realm import Realm, Standing
from .virtual import LIFE, Life, VirtualLoop, spawn
from .weather import Weather
from .witness import Call, Witness

_HTML = "text/html; charset=utf-8"
_PAGE = b"<html><title>Sign in</title></html>"
#: Answers that stand for the real one, without anything being done: status, headers, body.
_INSTEAD: dict[str, tuple[int, dict[str, str], bytes]] = {
    "429": (429, {}, b""),
    "429-seconds": (429, {"retry-after": "7"}, b""),
    "429-long": (429, {"retry-after": "1800"}, b""),
    "429-past-date": (429, {"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, b""),
    "429-far-date": (429, {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}, b""),
    "500": (500, {"content-type": _HTML}, b"<h1>Server Error (500)</h1>"),
    "502": (502, {"content-type": _HTML}, b"<h1>Bad Gateway</h1>"),
    "503": (503, {"content-type": _HTML}, b"<h1>Maintenance</h1>"),
    "503-seconds": (503, {"retry-after": "11"}, b""),
    "408": (408, {}, b""),
    "403": (403, {"content-type": "application/json"}, b'{"detail": "You do not have permission."}'),
    "404-page": (404, {"content-type": _HTML}, b"<h1>Not Found</h1>"),
    "login-page": (200, {"content-type": _HTML}, _PAGE),
    "301": (301, {"location": "https://elsewhere.example/"}, b""),
    "405": (405, {"content-type": "application/json"}, b'{"detail": "Method not allowed."}'),
    "409": (409, {"content-type": "application/json"}, b'{"detail": "Conflict."}'),
    "400": (400, {"content-type": "application/json"}, b'{"detail": "Bad request."}'),
    "not-json": (200, {"content-type": "application/json"}, b'{"results": [1, 2'),
    "200-empty": (200, {}, b""),
    "202-empty": (202, {}, b""),
    "206-empty": (206, {}, b""),
    "202-page": (202, {"content-type": _HTML}, b"<html><title>One moment, please</title></html>"),
    "202-text": (202, {"content-type": "text/plain"}, b"accepted"),
    "200-braces": (200, {"content-type": "application/json"}, b"{}"),
    "202-foreign": (202, {"content-type": "application/json"}, b'{"queued": true, "id": "7f3a"}'),
    "200-failure": (200, {"content-type": "application/json"}, b'{"success": false, "error": "try again"}'),
    "204-unmade": (204, {}, b""),
}
#: What happens to a request or to its answer, as `Wire` does it; every other fault is an answer of those here.
_DONE = frozenset(
    {
        "no-connection", "lose-request", "hang", "straggler", "401", "partial", "failed-replacements", "duplicate",
        "slow-work", "lose-reply", "cut",
    }
)  # fmt: skip
#: Answers given in place of the real one, after the work was done.
_AFTERWARDS = {"500-done": "500", "504-done": "502"}
#: Every fault that a weather may have.
FAULTS = _DONE | _INSTEAD.keys() | _AFTERWARDS.keys()
#: Nobody is frozen here: between the last look at the lease and the first byte no lease can stop a process, and
#: the services know of no fence.
BEFORE_A_CALL = "before-a-call"
_TOKEN = "/oauth2/access_token"
_MOVE = "/api/user/v1/accounts/update_retirement_status/"
_NOTES = "/api/edxnotes/v1/retire_user/"


@dataclass
class Fate:
    """When a process is killed, or frozen and for how long, counted in gates that it passes; 0: never."""

    dies_at: int = 0
    freezes_at: int = 0
    frozen_for: float = 0.0
    gates: int = 0


@dataclass
class Wire:
    """All traffic of one seed."""

    loop: VirtualLoop
    realm: Realm
    weather: Weather
    witness: Witness
    pipeline: Pipeline
    random: Random
    note: Callable[[str], None]
    fates: dict[Life, Fate] = field(default_factory=dict)
    #: Called when a process dies.
    died: Callable[[Life], None] = lambda life: None
    #: Called when a process freezes, in its own context.
    froze: Callable[[Life, float], None] = lambda life, seconds: None
    violations: list[BaseException] = field(default_factory=list)
    requests: int = 0

    def gate(self, place: str, life: Life | None = None) -> None:
        """A moment at which the process may be killed or frozen."""
        life = life or LIFE.get()
        fate = self.fates.get(life) if life else None
        if life is None or fate is None or life.dead:
            return
        fate.gates += 1
        if fate.gates == fate.dies_at:
            self.kill(life, place)
        elif 0 < fate.freezes_at <= fate.gates and place != BEFORE_A_CALL:
            fate.freezes_at = 0
            self.note(f"{life.name} freezes {place} for {fate.frozen_for:.0f} s")
            life.frozen = True
            self.loop.call_later(fate.frozen_for, self.loop.thaw, life, context=nobody())
            self.froze(life, fate.frozen_for)

    def kill(self, life: Life, place: str) -> None:
        """SIGKILL: not a line of the process runs any more."""
        self.note(f"{life.name} dies {place}")
        life.dead = True
        self.died(life)

    async def pass_gate(self, place: str) -> None:
        """A gate in a coroutine; a dead process never comes out of it."""
        self.gate(place)
        life = LIFE.get()
        if life is not None and (life.dead or life.frozen):
            await asyncio.sleep(0)

    async def exchange(self, app: str, request: httpx.Request) -> httpx.Response:
        """One request, with whatever happens to it."""
        life = LIFE.get()
        assert life is not None, "requests are sent by processes"
        asked = _read(app, request)
        unstoppable = self._step(app, asked) or asked.path == _TOKEN
        await self.pass_gate(BEFORE_A_CALL if unstoppable else "before-a-request")
        user_id = self.realm.platform.subject(asked)
        completes = asked.method == "PATCH" and asked.path == _MOVE and asked.data().get("new_state") == COMPLETE
        fault = self.weather.strike(app, self.loop.time(), self.random, completes=completes)
        self.requests += 1
        number = self.requests
        name = f"#{number} {life.name} {asked.method} {app} {self._route(app, asked)} {user_id or ''}"
        self.note(f"{name} {fault or ''}".rstrip())
        call = self._begins(life, app, asked, user_id)
        try:
            return await self._deliver(app, request, asked, fault)
        except httpx.HTTPError as error:
            self.note(f"#{number} {life.name} gets {type(error).__name__}")
            raise
        finally:
            if call is not None and not life.dead:
                self.witness.ends(call)

    async def _deliver(self, app: str, request: httpx.Request, asked: Request, fault: str | None) -> httpx.Response:
        await asyncio.sleep(self.random.random() * self.weather.latency)
        if fault == "no-connection":
            raise httpx.ConnectError("no connection")
        if fault == "lose-request":
            raise httpx.ReadError("reset by peer")
        patience = request.extensions["timeout"]["read"]
        if fault == "hang":
            await asyncio.sleep(patience)
            raise httpx.ReadTimeout("no answer")
        if fault == "straggler":
            self.loop.call_later(patience + self.random.random(), self._straggle, app, asked, context=nobody())
            await asyncio.sleep(patience)
            raise httpx.ReadTimeout("no answer")
        if fault == "401":
            self.realm.revoke()
        if fault in _INSTEAD:
            return _response(_instead(fault), request)
        asked.stops_half_way = fault == "partial"
        answer = await self._work(app, asked, named=fault == "failed-replacements")
        if fault == "duplicate":
            answer = await self._work(app, _read(app, request))
        await self.pass_gate(BEFORE_A_CALL if asked.path == _TOKEN else "after-the-work")
        await asyncio.sleep(self.random.random() * self.weather.latency)
        if fault == "slow-work":
            await asyncio.sleep(patience)
            raise httpx.ReadTimeout("no answer")
        if fault in ("lose-reply", "cut"):
            raise httpx.RemoteProtocolError("the connection closed")
        return _response(_instead(_AFTERWARDS[fault]) if fault in _AFTERWARDS else answer, request)

    def _straggle(self, app: str, asked: Request) -> None:
        """The work of a request that nobody waits for any more."""
        self.note(f"the straggler {asked.method} {app} {self._route(app, asked)} arrives")
        spawn(self.loop, None, self._work(app, asked, witnessed=False))

    async def _work(self, app: str, asked: Request, *, named: bool = False, witnessed: bool = True) -> Answer:
        if named and asked.method == "POST" and asked.path.endswith("replace_usernames/"):
            mapping = asked.data()["username_mappings"]
            return as_json({"successful_replacements": [], "failed_replacements": mapping})
        moves = asked.method == "PATCH"
        before = self.realm.rows() if moves else {}
        if asked.path == _NOTES:
            # The LMS waits for the notes service, and goes on when the one who asked dies.
            answer: Answer = await spawn(self.loop, None, self.realm.answer(app, asked))
        else:
            answer = await self.realm.answer(app, asked)
        if asked.path == _TOKEN and answer.status == 200:
            answer = as_json(self.realm.grant(self.weather.token_lifetime))
        if moves:
            self._moves(before, self.realm.rows(), witnessed)
        return answer

    def _moves(self, before: dict[int, Standing], after: dict[int, Standing], witnessed: bool) -> None:
        life = LIFE.get()
        for user_id, row in after.items():
            old = before[user_id]
            if old.state != row.state:
                self.note(f"  {user_id}: {old.state} -> {row.state}")
                if witnessed and life is not None:
                    self._watched(partial(self.witness.moved, life, old, row))

    def _begins(self, life: Life, app: str, asked: Request, user_id: int | None) -> Call | None:
        step = self._step(app, asked)
        if step is None or user_id is None:
            return None
        found: list[Call] = []
        self._watched(lambda: found.append(self.witness.begins(life, user_id, step)))
        return found[0] if found else None

    def _watched(self, check: Callable[[], object]) -> None:
        try:
            check()
        except Exception as violation:  # noqa: BLE001 - kept for the end of the seed: our code must not see it
            self.violations.append(violation)

    def _route(self, app: str, asked: Request) -> str:
        found = self.realm.platform.services[app].find(asked.path)
        return found[0].path if found else "?"

    def _step(self, app: str, asked: Request) -> str | None:
        """The step whose call this is; None for look-ups, moves and tokens."""
        if asked.method in ("GET", "PATCH"):
            return None
        route = self._route(app, asked)
        return next((step.name for step in self.pipeline if (app, route) in CALLS[step.operation]), None)


#: Where the calls of each operation go, as service and route of the sandbox.
CALLS: dict[str, tuple[tuple[str, str], ...]] = {
    **{operation: ((app, path),) for operation, (_, app, path) in ROUTES.items()},
    "retirement_unenroll": (
        ("lms", "/api/enrollment/v1/unenroll/"),
        ("lms", "/api/enrollment/v2/enrollment/unenroll/"),
    ),
    "retirement_retire_mailings": (),
    "retire_learner": (("license_manager", "/api/v1/retire_user{rest}"),),
}


class Transport(httpx.AsyncBaseTransport):
    """The connections of one process to one service."""

    def __init__(self, wire: Wire, app: str) -> None:
        self._wire = wire
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._wire.exchange(self._app, request)


def nobody() -> Context:
    """A context that belongs to no process."""
    return Context()


def _read(app: str, request: httpx.Request) -> Request:
    url = request.url
    headers = {name.lower(): value for name, value in request.headers.items()}
    raw = url.raw_path.decode().partition("?")[0]
    return Request(app, request.method, url.path, raw, url.query.decode(), headers, "", request.content)


def _instead(fault: str) -> Answer:
    status, headers, body = _INSTEAD[fault]
    return Answer(status, body, None, tuple(headers.items()))


def _response(answer: Answer, request: httpx.Request) -> httpx.Response:
    headers = [*answer.headers, *([("content-type", answer.content_type)] if answer.content_type else [])]
    return httpx.Response(answer.status, headers=headers, content=answer.body, request=request)
