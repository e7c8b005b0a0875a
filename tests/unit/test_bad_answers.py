"""Every bad answer at every endpoint that a retirement uses: a named ending, nobody lost, and whole afterwards.

Each combination is one learner of their own, so that one simulated platform serves a whole row of the table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import Ending, RetirementError
from retirement.ledger import LedgerLocation, opened
from retirement.lms import Listing
from retirement.pipeline import COMPLETE, ERRORED
from retirement.sandbox.world.faults import Fault
from retirement.site import Site
from tests.ledgers import place_file
from tests.routes import ROUTES, part_of

from .batches import retire
from .doubles import AtOnce, Calendar, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """As the one of the other tests, with transactions that run at once: there are very many of them here."""
    calendar = Calendar()
    place = LedgerLocation(f"sqlite:///{place_file(tmp_path / 'ledger.sqlite')}")
    async with opened(place, clock=calendar, executor=AtOnce()) as ledger:
        world = World(ledger, calendar)
        yield world
        for client in world.clients.values():
            await client.aclose()


LINE = shipped("default")

HTML, JSON = {"Content-Type": "text/html"}, {"Content-Type": "application/json"}
LOGIN_PAGE = "<html><title>Sign in</title><form>canary-0 canary0@mail.example</form></html>"
ECHO = '{"detail": "no such user: canary-0, canary0@mail.example, Name Of canary-0"}'


@dataclass(frozen=True)
class Kind:
    """One way to answer badly: a fault of the sandbox, or an exception of the wire before or after the work."""

    name: str
    fault: dict[str, Any] = field(default_factory=dict)
    raises: type[httpx.TransportError] | None = None
    after: bool = False
    passes: bool = False  #: it may go away by itself, so nobody is ever ERRORED for it


@dataclass(frozen=True)
class Endpoint:
    """One endpoint, and at which of its requests the trouble begins."""

    name: str
    method: str
    path: str
    app: str = "lms"
    at: int = 1

    def takes(self, request: httpx.Request) -> bool:
        """Whether a request goes there."""
        asked = (request.method, request.url.host) == (self.method, f"{self.app}.sandbox")
        return asked and self.path in request.url.path


def _answers(status: int, body: str = "", passes: bool = False, **headers: str) -> Kind:
    kind = HTML if body.startswith("<") else JSON if body else {}
    tail = "html" if kind is HTML else "json" if body else "empty"
    named = "-".join([f"{status}-{tail}", *headers])
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Kind(named, {"status": status, "body": body, "headers": kind | fields}, passes=passes)


KINDS = [
    Kind("drop-before", {"drop": True}, passes=True),
    Kind("drop-after", {"drop": True, "after": True}, passes=True),
    Kind("truncate", {"truncate": True}, passes=True),
    Kind("partial", {"partial": True, "status": 500, "body": LOGIN_PAGE}, passes=True),
    Kind("timeout-before", raises=httpx.ReadTimeout, passes=True),
    Kind("timeout-after", raises=httpx.ReadTimeout, after=True, passes=True),
    Kind("no-connection", raises=httpx.ConnectError, passes=True),
    Kind("503-after-the-work", {"status": 503, "body": LOGIN_PAGE, "after": True}, passes=True),
    *(_answers(status, ECHO) for status in (400, 401, 403, 404, 405, 409, 418)),
    *(_answers(status, LOGIN_PAGE) for status in (200, 301, 404)),
    _answers(404),
    _answers(202),
    *(_answers(status, passes=True) for status in (408, 425)),
    *(_answers(status, LOGIN_PAGE, passes=True) for status in (502, 503, 504)),
    *(_answers(500, body, passes=True) for body in (LOGIN_PAGE, ECHO)),
    *(_answers(status, "", True, Retry_After=pause) for status, pause in ((429, "7"), (503, "3600"))),
    _answers(429, ECHO, True, Retry_After="Fri, 31 Dec 2100 23:59:59 GMT"),
    Kind("200-text", {"status": 200, "body": "ok canary-0", "headers": {"Content-Type": "text/plain"}}),
    Kind("200-no-json-although-it-says-so", {"status": 200, "body": '{"half": ', "headers": JSON}),
]
LASTING = [kind for kind in KINDS if kind.name in ("drop-before", "drop-after", "503-html", "403-json", "409-json")]

MOVES = 2 * len(LINE) + 1
ENDPOINTS = [
    Endpoint("token", "POST", "/oauth2/access_token"),
    Endpoint("queue", "GET", "/retirement_queue/"),
    Endpoint("status", "GET", "/retirement_status/"),
    *(Endpoint(f"move-{at}", "PATCH", "/update_retirement_status/", at=at) for at in (1, 2, MOVES - 1, MOVES)),
    *(Endpoint(name, method, part_of(name), app) for name, (method, app, _) in ROUTES.items()),
]
#: Answers by which the contract has a service say that it holds nothing (lms.md 4.16, services.md A4); a lie is
#: believed. The row that the LMS denies is gone for this run only.
BELIEVED = {
    ("retirement_retire_forum", "404-empty"),
    ("retire_learner", "404-empty"),
    ("retire_learner", "404-json"),
}


@dataclass
class Trouble:
    """The bad answers of one combination."""

    world: World
    kind: Kind
    endpoint: Endpoint
    lasting: bool
    asked: int = 0

    async def __call__(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        if not self.endpoint.takes(request):
            return await forward(request)
        self.asked += 1
        if self.asked < self.endpoint.at or (self.asked > self.endpoint.at and not self.lasting):
            return await forward(request)
        if self.kind.raises:
            if self.kind.after:
                await forward(request)
            raise self.kind.raises("canary-0", request=request)
        self.world.sandbox.arm([{"service": self.endpoint.app, "path": self.endpoint.path, **self.kind.fault}])
        return await forward(request)


def says_nobody(text: str) -> bool:
    """Whether a text is free of what the learners of this file are called."""
    return not any(secret in text for secret in ("canary", "Name Of", "mail.example", "Sign in"))


def _seed(world: World, count: int) -> list[str]:
    names = [f"canary-{n}" for n in range(count)]
    world.seed(*(holder(name) for name in names), states=LINE.lms_states)
    return names


async def _listed(site: Site) -> Listing | None:
    """Who waits; None where the queue could not be listed."""
    problem = None
    try:
        return await site.lms.rows.queue(LINE.queue_states, 0)
    except RetirementError as error:
        problem = f"{error} {error.args}"
    assert says_nobody(problem)
    return None


async def _run(world: World, username: str) -> Ending | None:
    """One queue run for one learner; None where the queue could not even be listed."""
    site, user_id = world.site(LINE), world.user_ids[username]
    listed = await _listed(site)
    if listed is None:
        return None
    learner = next(each for each in listed.learners if each.user_id == user_id)
    report = await retire(site, learner)
    assert says_nobody(report.reason), report.reason
    return report.ending


async def _trouble(world: World, username: str, trouble: Trouble) -> Ending | None:
    """One run in trouble, and its end. No breaker is left open: the next learner has to meet trouble of their own."""
    world.around = trouble
    ending = await _run(world, username)
    world.around = None
    world.sandbox.arm([])
    assert trouble.asked >= trouble.endpoint.at, f"{trouble.kind.name} at {trouble.endpoint.name}: was never met"
    for breaker in await world.ledger.breakers.all():
        await world.ledger.breakers.close(breaker.service, reason="the next combination", by="the test")
    return ending


async def _everywhere(world: World, kind: Kind, *, lasting: bool) -> None:
    """One kind at every endpoint: what the trouble leaves behind, and that one more run makes everybody whole."""
    names = _seed(world, len(ENDPOINTS))
    endpoints = dict(zip(names, ENDPOINTS, strict=True))
    believers = {name for name in names if (endpoints[name].name, kind.name) in BELIEVED}
    endings = {name: await _trouble(world, name, Trouble(world, kind, endpoints[name], lasting)) for name in names}
    learners = world.sandbox.state()["learners"]
    for name in names:
        combination = f"{kind.name} at {endpoints[name].name}"
        state = learners[name]["retirement"]["current_state"]
        assert (endings[name] is Ending.RETIRED) == (state == COMPLETE), f"{combination}: {endings[name]} in {state}"
        assert not (kind.passes and state == ERRORED), f"{combination}: ERRORED for what passes"
    _assert_gone(world, believers)

    world.calendar.pass_by(hours=2)
    reports = await world.mend(world.site(LINE), *names)
    for name, report in zip(names, reports, strict=True):
        assert report.ending is Ending.RETIRED, f"{kind.name} at {endpoints[name].name}: {report}"
    learners = world.sandbox.state()["learners"]
    assert {learners[name]["retirement"]["current_state"] for name in names} == {COMPLETE}
    _assert_gone(world, believers)
    assert (await world.ledger.verify()).ok


def _assert_gone(world: World, believers: set[str]) -> None:
    """Nobody in COMPLETE has left anything behind, but where a lie was believed."""
    lies = [place for name in believers for place in world.sandbox.residue(name)]
    assert [place for place in world.sandbox.residue() if place not in lies] == []
    assert bool(lies) == bool(believers), "believe them no more"


def test_every_fault_of_the_sandbox_is_played() -> None:
    """All that a fault can do, but to come late, which costs time and no answer."""
    played = {name for kind in KINDS for name in kind.fault}

    assert {each.name for each in fields(Fault)} - played == {"service", "path", "method", "times", "delay_s"}


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_one_bad_answer_anywhere_costs_nobody_anything(world: World, kind: Kind) -> None:
    """At every endpoint: nothing escapes, nobody is lost, and the next run has the learner COMPLETE and gone."""
    await _everywhere(world, kind, lasting=False)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", LASTING, ids=lambda kind: kind.name)
async def test_bad_answers_that_last_cost_nobody_anything(world: World, kind: Kind) -> None:
    """The endpoint answers so for as long as the run lasts."""
    await _everywhere(world, kind, lasting=True)


def _row(**changes: Any) -> Callable[[Any], Any]:
    """Changes one row: that of the status, or each of the queue."""

    def change(body: Any) -> Any:
        rows = body if isinstance(body, list) else [body]
        changed = [row | changes for row in rows]
        return changed if isinstance(body, list) else changed[0]

    return change


#: Answers that are JSON and not what the contract says.
ODD: dict[str, Callable[[Any], Any]] = {
    "null": lambda _: None,
    "number": lambda _: 17,
    "text": lambda _: "canary-0",
    "empty-list": lambda _: [],
    "empty-object": lambda _: {},
    "list-of-junk": lambda _: [None, 17, "canary-0", {"canary-0": 1}],
    "state-unknown": _row(current_state={"id": 9, "state_name": "LOCKING_COMPLETE", "state_execution_order": 2}),
    "state-a-text": _row(current_state="PENDING"),
    "user-null": _row(user=None),
    "user-id-a-text": _row(user={"id": "canary-0", "username": "canary-0"}),
    "another-user": _row(user={"id": 4242, "username": "canary-0"}),
    "username-missing": _row(original_username=None),
    "username-empty": _row(original_username=""),
    "username-a-number": _row(original_username=17),
    "created-without-zone": _row(created="2026-01-31T12:00:00"),
    "created-a-number": _row(created=1700000000),
    "created-in-2999": _row(created="2999-01-31T12:00:00Z"),
    "created-in-the-year-1": _row(created="0001-01-01T00:00:00Z"),
    "created-at-the-end-of-time": _row(created="9999-12-31T23:59:59Z"),
    "modified-in-2999": _row(modified="2999-01-31T12:00:00Z"),
    "token-missing": lambda _: {"expires_in": 3600, "token_type": "JWT"},
    "token-bearer": lambda _: {"access_token": "canary-0", "expires_in": 3600, "token_type": "Bearer"},
    "token-lifetime-a-text": lambda _: {"access_token": "canary-0", "expires_in": "canary-0", "token_type": "JWT"},
    "token-of-nobody": lambda _: {"access_token": "canary-0", "expires_in": 3600, "token_type": "JWT"},
}


@pytest.mark.sweep
@pytest.mark.parametrize("odd", ODD)
async def test_a_body_that_nobody_can_read_costs_nobody_anything(world: World, odd: str) -> None:
    """At the three endpoints whose answers are read."""
    names = _seed(world, 3)
    for username, endpoint in zip(names, ENDPOINTS[:3], strict=True):

        async def around(request: httpx.Request, forward: Forward, endpoint: Endpoint = endpoint) -> httpx.Response:
            answer = await forward(request)
            if not endpoint.takes(request):
                return answer
            await answer.aread()
            try:
                return httpx.Response(answer.status_code, json=ODD[odd](answer.json()))
            except TypeError:
                return answer  # this oddity belongs to another kind of answer

        world.around, site = around, world.site(LINE)
        listing = await _listed(site) or Listing([])
        for learner in listing.learners:
            report = await retire(site, learner)
            assert says_nobody(report.reason), report
            assert report.ending is not Ending.ERRORED
        assert all(says_nobody(text) for text in listing.unreadable)
        world.around = None
        assert world.state(username) != COMPLETE or not world.sandbox.residue(username)
        world.calendar.pass_by(hours=2)
        (report,) = await world.mend(world.site(LINE), username)
        assert report.ending is Ending.RETIRED, f"{odd} at {endpoint.name}: {report}"
    assert world.sandbox.residue() == []


@pytest.mark.parametrize("skew", [{"days": -400}, {"days": 400}, {"minutes": -10}, {"minutes": 10}], ids=str)
async def test_a_clock_that_is_wrong_costs_nobody_anything(world: World, skew: dict[str, float]) -> None:
    """This machine's against the LMS': before the run, and in the middle of one."""
    names = _seed(world, 2)
    world.calendar.pass_by(**skew)
    assert await _run(world, names[0]) is Ending.RETIRED

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/retire_forum/"):
            world.calendar.pass_by(**skew)
        return await forward(request)

    world.around = around
    ending = await _run(world, names[1])
    world.around = None

    assert ending in (Ending.RETIRED, Ending.BUSY_ELSEWHERE)
    world.calendar.pass_by(days=800)
    assert {each.ending for each in await world.mend(world.site(LINE), *names)} == {Ending.RETIRED}
    assert world.sandbox.residue() == []
    assert (await world.ledger.verify()).ok


@pytest.mark.parametrize(
    ("answer", "ending", "state"),
    [
        ({"status": 403, "body": ECHO}, Ending.STOPPED, "PENDING"),
        ({"status": 200, "body": "[]"}, Ending.RETIRED, COMPLETE),
    ],
    ids=["forbidden", "unreadable"],
)
async def test_a_move_in_doubt_is_looked_up_before_the_next_one(
    world: World, answer: dict[str, Any], ending: Ending, state: str
) -> None:
    """Its reply was lost and so was the look at the row: the run still ends where it says, not in a working state."""
    (username,) = _seed(world, 1)
    lost = {"method": "PATCH", "path": "update_retirement_status", "drop": True, "after": True}
    faults = [lost, {"method": "GET", "path": "retirement_status", "headers": JSON, **answer}]

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method == "PATCH" and faults:
            world.sandbox.arm(faults)
            faults.clear()
        return await forward(request)

    world.around = around

    assert (await _run(world, username), world.state(username)) == (ending, state)
