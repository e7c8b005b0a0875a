"""Success is what the contract says: its status, its kind of body, and what has to be in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import httpx
import pytest

from retirement import lms
from retirement.connectors import Identity, Outcome, ServiceSettings, Success, a_list, an_object, nothing
from retirement.connectors.credentials import Credentials
from retirement.connectors.shared.realm import search
from retirement.errors import Refused, ServiceError
from retirement.learner import Learner
from retirement.lms import Lms
from retirement.lms.accounts import ENROLLMENTS_OF
from retirement.lms.rows import UPDATE
from retirement.wire.reply import Reply

from .doubles import Script

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("success", "status", "kind", "data", "shown"),
    [
        (nothing(), 204, "empty", None, True),
        (nothing(), 202, "empty", None, False),
        (nothing(), 204, "json", {}, False),
        (an_object("users"), 200, "json", {"users": []}, True),
        (an_object("users"), 200, "json", {}, False),
        (an_object("users"), 201, "json", {"users": []}, False),
        (an_object(), 200, "json", [], False),
        (an_object(), 200, "empty", None, False),
        (a_list(), 200, "json", [], True),
        (a_list(), 200, "json", None, False),
        (a_list() | nothing(), 204, "empty", None, True),
        (a_list() | nothing(), 200, "json", ["edX"], True),
        (a_list() | nothing(), 200, "empty", None, False),
    ],
)
def test_status_and_body_have_to_be_those_of_the_contract(
    success: Success, status: int, kind: str, data: Any, shown: bool
) -> None:
    """Neither is enough alone."""
    assert success.shown_by(Reply("SVC", "GET /", status, kind, data)) is shown


async def test_another_2xx_is_refused_with_what_is_due() -> None:
    """A reason that says so; a request that nothing is declared of is as it was."""
    api = Script(httpx.Response(202)).api().expecting({"POST /retire/": a_list() | nothing()})

    with pytest.raises(Refused, match="a JSON list with 200 or an empty body with 204 is due"):
        await api.post("/retire/")
    assert (await api.post("/else/")).status == 202


#: Every request to the LMS beside the steps: reads, moves that are no step, and clean-ups.
ASKED: dict[str, Callable[[Lms, Learner], Awaitable[object]]] = {
    "queue": lambda lms, _: lms.rows.queue(["PENDING"], 0),
    "by-date": lambda lms, ana: lms.rows.by_date("COMPLETE", ana.requested_at.date(), ana.requested_at.date()),
    "status": lambda lms, ana: lms.rows.status(ana.username),
    "states": lambda lms, _: lms.rows.known_states(["PENDING"]),
    "clock": lambda lms, _: lms.rows.clock(),
    "cancel": lambda lms, ana: lms.rows.cancel(ana),
    "account": lambda lms, ana: lms.accounts.username(ana.user_id),
    "countries": lambda lms, ana: lms.accounts.countries([ana]),
    "enrollments": lambda lms, ana: lms.accounts.orgs(ana),
    "claim": lambda lms, _: lms.partner_queue.claim([].append),
    "reported": lambda lms, ana: lms.partner_queue.delete([ana.username]),
    "reported-one": lambda lms, ana: lms.partner_queue.delete_one(ana.username),
    "cleanup": lambda lms, ana: lms.cleanup.delete([ana.username]),
    "addressed": lambda lms, ana: _all(lms.accounts.addressed([ana.email])),
    "requests": lambda lms, ana: lms.requests.make([ana.username]),
    "renaming": lambda lms, ana: lms.renaming.rename({ana.username: "x"}),
    "renaming-in-the-forum": lambda lms, ana: lms.renaming.rename_in_forum({ana.username: "x"}),
}
#: What a run of the usual pipeline asks too, at each of whose requests `test_bad_answers` plays the same; or what is
#: asked after another question only, as `Accounts.enrolled_in` says.
ELSEWHERE = {f"PATCH {UPDATE}", f"GET {ENROLLMENTS_OF}"}


async def _all(found: AsyncIterator[object]) -> list[object]:
    return [each async for each in found]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
async def test_no_question_to_the_lms_takes_another_2xx_for_an_answer(ana: Learner, asked: str, status: int) -> None:
    """Of a gateway, a maintenance page or a firewall's challenge: with no body, a page, or JSON of another kind."""
    bodies = [httpx.Response(status), httpx.Response(status, html="<p>soon</p>"), httpx.Response(status, text="OK")]
    bodies += [httpx.Response(status, json=each) for each in ({}, {"detail": "OK"}, "OK", None, {"success": False})]
    bodies += [httpx.Response(status, json=[]), httpx.Response(status, json={"success": True})] if status != 200 else []
    for answer in bodies:
        with pytest.raises(ServiceError):
            await ASKED[asked](Lms(Script(answer).api(), ["PENDING", "COMPLETE"]), ana)


async def test_every_endpoint_of_the_lms_is_asked(ana: Learner) -> None:
    """An endpoint that a module of `retirement.lms` declares is in the table above."""
    script = Script(httpx.Response(202))
    for ask in ASKED.values():
        with pytest.raises(ServiceError):
            await ask(Lms(script.api(), ["PENDING", "COMPLETE"]), ana)
    asked = [f"{each.method} {each.url.path}" for each in script.requests]
    modules = [import_module(each.name) for each in iter_modules(lms.__path__, f"{lms.__name__}.")]
    declared = {request for each in modules for request in vars(each).get("ANSWERS", {})}
    routes = {request: re.sub(r"{\w+}", "[^/]+", request) for request in declared}
    written = [value for each in modules for name, value in vars(each).items() if name.isupper()]
    paths = {value for value in written if isinstance(value, str) and value.startswith("/")}

    assert {each for each, route in routes.items() if not any(re.fullmatch(route, one) for one in asked)} == ELSEWHERE
    assert paths == {request.partition(" ")[2] for request in declared}, "ANSWERS of its module says what proves it"


@pytest.mark.parametrize("answer", [httpx.Response(200), httpx.Response(202), httpx.Response(200, json={})])
async def test_a_probe_that_is_answered_with_a_success_proves_nothing(answer: httpx.Response) -> None:
    """The route of an erasure takes no GET: whoever answers one is not the service."""
    connector = Credentials(ServiceSettings(url="https://svc.example"), Script(answer).api())

    with pytest.raises(Refused, match="405 is due"):
        await connector.probe("retire_learner")


@pytest.mark.parametrize(
    ("answer", "is_done"),
    [
        (httpx.Response(204), True),
        (httpx.Response(200, json={"retired": 1}), True),
        (httpx.Response(200), False),
        (httpx.Response(202), False),
        (httpx.Response(202, json={}), False),
        (httpx.Response(200, json=[]), False),
        (httpx.Response(200, json={"error": "no"}), False),
        (httpx.Response(200, text="OK"), False),
    ],
)
async def test_a_private_route_has_a_success_of_its_own(ana: Learner, answer: httpx.Response, is_done: bool) -> None:
    """An empty 204, or 200 with an object that reports no failure."""
    connector = Credentials(ServiceSettings(url="https://svc.example"), Script(answer).api())
    if is_done:
        assert (await connector.perform("retire_learner", ana)).outcome is Outcome.ERASED
    else:
        with pytest.raises(ServiceError):
            await connector.perform("retire_learner", ana)


@pytest.mark.parametrize(("second", "found"), [([], 0), ([{"id": "7", "username": "ana+x"}], 1), ([{"id": "8"}], 0)])
async def test_a_plus_is_searched_for_a_second_way(ana: Learner, second: list[Any], found: int) -> None:
    """Servers that read it as a blank find nobody, and that proves nothing."""
    script = Script(httpx.Response(200, json=[]), httpx.Response(200, json=second))

    hits = await search(script.api(), replace(ana, username="ana+x"), Identity.USERNAME)

    assert (len(hits.ids), hits.others_only) == (found, False)
    assert [each.url.params["username"] for each in script.requests] == ["ana+x", "ana"]
