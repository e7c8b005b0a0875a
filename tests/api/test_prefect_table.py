"""Who may ask what of Prefect through the door: each kind of request by each kind of person, all cells; printed.

Which request is of which kind is tested for every route of Prefect's API in `test_prefect_rules`. A person asks by the
door itself and, where the server is elsewhere, by a proxy that asks at `/forward-auth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount

from retirement.api.app import ROUTERS
from retirement.api.prefect import PrefectBehind
from retirement.api.prefect_rules import SOCKETS, Kind
from retirement.ledger import EVERYTHING, Action, Area, Holder

from .behind import DEPLOYMENT, RUN, Browser, Prefect, Proxied
from .desk import ADMIN, ISSUER, STRANGER, Desk, bearer, learner_token, token

pytestmark = pytest.mark.anyio

PROXY = "10.0.0.7"
RESUME, MOVE = f"/api/flow_runs/{RUN}/resume", f"/api/flow_runs/{RUN}/set_state"
#: A request of each kind, the file of a page among them, about a run of the queue that asks.
REQUESTS: Mapping[Kind, tuple[str, str, Any]] = {
    Kind.PAGE: ("GET", "/assets/index-B.js", None),
    Kind.SETTINGS: ("GET", "/ui-settings", None),
    Kind.READ: ("POST", "/api/logs/filter", {"limit": 1}),
    Kind.FORM: ("POST", "/api/ui/schemas/validate", {}),
    Kind.TYPED: ("POST", f"/api/flow_runs/{RUN}/input/filter", {"prefix": ""}),
    Kind.START: ("POST", f"/api/deployments/{DEPLOYMENT}/create_flow_run", {}),
    Kind.ANSWER: ("POST", RESUME, {"run_input": {"approve": False}}),
    Kind.MOVE: ("POST", MOVE, {"state": {"type": "CANCELLING"}}),
    Kind.SCHEDULE: ("PATCH", f"/api/deployments/{DEPLOYMENT}/schedules/{RUN}", {"active": False}),
    Kind.PAUSE: ("POST", f"/api/deployments/{DEPLOYMENT}/pause_deployment", {}),
}
#: Who may, beside who may do everything.
READERS = {"view", "monitor"}
MAY: Mapping[Kind, set[str]] = {
    **dict.fromkeys((Kind.PAGE, Kind.SETTINGS, Kind.READ, Kind.FORM), READERS),
    **{each: {"monitor"} for each in (Kind.TYPED, Kind.MOVE, Kind.SCHEDULE, Kind.PAUSE)},
    Kind.START: {"retire"},
    Kind.ANSWER: {"approve"},
}
#: Of those the proxy shows enough: method and path.
SEEN = {Kind.PAGE, Kind.SETTINGS, Kind.READ, Kind.TYPED, Kind.PAUSE}
EVERYTHING_ELSE = "all but setPermissions"


def people() -> Mapping[str, dict[str, str]]:
    """The header of each kind of person."""
    having = {each.value: bearer(token(each.value)) for each in EVERYTHING}
    others = {"administrator": bearer(token(ADMIN)), EVERYTHING_ELSE: bearer(token("everything-else"))}
    none = {"stranger": bearer(token(STRANGER)), "of edX": bearer(token("of-edX")), "learner": bearer(learner_token())}
    return {**having, **others, **none, "no token": {}}


async def grant(proxied: Proxied) -> None:
    """What those may do who are not named after it."""
    await proxied.grant("everything-else", *(each for each in EVERYTHING if each is not Action.SET_PERMISSIONS))
    await proxied.ledger.permissions.set(Holder(ISSUER, "of-edX"), Area.ORGANIZATION, "edX", EVERYTHING)


def expected(may: set[str], person: str) -> int:
    """The status."""
    if person == "no token":
        return 401
    return 200 if person in (*may, "administrator", EVERYTHING_ELSE) else 403


async def test_each_kind_of_request_is_for_whom_the_table_says_and_each_change_has_its_person(desk: Desk) -> None:
    """At the door itself; what is refused does not reach the server, not even to look which run it is about."""
    lines, wrong, changed = [], [], []
    async with Proxied(desk.with_learners(), Prefect("retire-queue", "approval-1")).open() as proxied:
        await grant(proxied)
        for kind, (method, path, body) in REQUESTS.items():
            statuses = {}
            for person, headers in people().items():
                proxied.server.asked.clear()
                answer = await proxied.client.request(method, path, json=body, headers=headers)
                statuses[person] = answer.status_code
                wanted = expected(MAY[kind], person)
                is_nosy = person in ("setPermissions", "stranger", "of edX", "learner", "no token")
                if answer.status_code != wanted or (is_nosy and proxied.server.asked):
                    wrong.append((kind, person, answer.status_code))
                if kind.changes and wanted == 200:
                    changed.append((kind, person))
            lines.append(f"{kind.value:10} {method:6} {' '.join(map(str, statuses.values()))}")
        acts = await desk.acts("prefect.asked")
    print("\n".join([f"{'':18}{' | '.join(people())}", *lines]))  # noqa: T201 - the table is asked for

    names = {"administrator": ADMIN, EVERYTHING_ELSE: "everything-else"}
    assert set(REQUESTS) == set(MAY) == set(Kind)
    assert wrong == []
    assert [(each.observed or {})["person"] for each in acts] == [
        f"{ISSUER} {names.get(person, person)}" for _, person in changed
    ]


async def test_a_proxy_is_answered_by_the_same_table_as_far_as_it_shows_the_request(desk: Desk) -> None:
    """What is seen only with its body takes every permission but that to grant some."""
    desk.settings["trusted_proxies"] = [PROXY]
    wrong, lines = [], []
    async with Proxied(desk.with_learners()).open(PROXY) as proxied:
        await grant(proxied)
        for kind, (method, path, _) in REQUESTS.items():
            told = {"X-Forwarded-Method": method, "X-Forwarded-Uri": path, "X-Forwarded-Host": "door.example.com"}
            found = {}
            for person, headers in people().items():
                found[person] = (await proxied.client.get("/forward-auth", headers=headers | told)).status_code
                if found[person] != expected(MAY[kind] if kind in SEEN else set(), person):
                    wrong.append((kind, person, found[person]))
            lines.append(f"{kind.value:10} {method:6} {' '.join(map(str, found.values()))}")
        assert proxied.server.asked == []
    print("\n".join([f"{'':18}{' | '.join(people())}", *lines]))  # noqa: T201 - as above

    assert wrong == []


@pytest.mark.parametrize("path", sorted(SOCKETS))
async def test_websockets_are_for_who_may_read(desk: Desk, path: str) -> None:
    """All others are closed before the server hears of them; no server listens behind this door."""
    found = {}
    async with Proxied(desk.with_learners()).open() as proxied:
        await grant(proxied)
        for person, headers in people().items():
            browser = Browser(proxied.desk.app, path, headers)
            closed = await browser.told()
            await browser.task
            found[person] = closed["reason"] == "Prefect's server takes no websocket"
            assert (closed["type"], closed["code"]) == ("websocket.close", 1008)

    assert found == {person: expected(READERS, person) == 200 for person in people()}


async def test_the_application_has_no_route_beside_the_tables(desk: Desk) -> None:
    """The routes of `test_table`, and Prefect for everything else, websockets among it."""
    async with desk.open():
        *own, last = whole(desk.application.routes)
    listed = whole(route for router in ROUTERS for route in router.routes)

    assert isinstance(last, Mount)
    assert (last.path, type(last.app)) == ("", PrefectBehind)
    assert all(isinstance(each, APIRoute) for each in own)
    assert list(map(asked, own)) == list(map(asked, listed))


def whole(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """The routes, with those of routers that are included, which newer releases keep as such."""
    found: list[BaseRoute] = []
    for each in routes:
        router = getattr(each, "original_router", None)
        found += whole(router.routes) if router else [each]
    return found


def asked(route: BaseRoute) -> tuple[str, list[str]]:
    """Path and methods."""
    assert isinstance(route, APIRoute)
    return route.path, sorted(route.methods)
