"""Forward-auth: what a proxy is told about a request to Prefect, by who asks and from where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from retirement.api.app import ROUTERS
from retirement.api.prefect_rules import LISTED
from retirement.ledger import EVERYTHING, Action

from .behind import RUN, Proxied
from .desk import ADMIN, DOOR, ISSUER, STRANGER, URL, Desk, bearer, token

pytestmark = pytest.mark.anyio

PROXY = "10.0.0.7"
READ = ("POST", "/api/flow_runs/filter?limit=1")


@pytest.fixture
def behind_a_proxy(desk: Desk) -> Desk:
    desk.settings = {**DOOR, "trusted_proxies": [PROXY]}
    return desk


def asks(method: str, uri: str, **more: str) -> dict[str, str]:
    """What the proxy sends; headers are named with underscores."""
    told = {"X-Forwarded-Method": method, "X-Forwarded-Uri": uri, "X-Forwarded-Host": "door.example.com"}
    return told | {name.replace("_", "-"): value for name, value in more.items()}


@pytest.mark.parametrize(
    ("method", "uri", "those_who_may"),
    [
        (*READ, {"view", "monitor", "administrator", "everything"}),
        ("PATCH", f"/api/deployments/{RUN}", set()),
        ("DELETE", f"/api/flow_runs/{RUN}", set()),
        ("GET", "/api/block_documents/1", set()),
        ("GET", "/api/events/out", set()),
        ("GET", "//api/flow_runs/1", set()),
        ("GET", "/api/flow_runs/%2e%2e/admin", set()),
        ("GET", "https://127.0.0.1/api/flow_runs/1", set()),
    ],
)
async def test_the_rule_is_that_of_the_door(
    behind_a_proxy: Desk, method: str, uri: str, those_who_may: set[str]
) -> None:
    """For every kind of person; what can be permitted at all is in the table of `test_prefect_table`."""
    people = {each.value: each.value for each in EVERYTHING} | {"administrator": ADMIN, "stranger": STRANGER}
    async with Proxied(behind_a_proxy).open(PROXY) as proxied:
        await proxied.grant("everything", *(each for each in EVERYTHING if each is not Action.SET_PERMISSIONS))
        found = {}
        for name, subject in (people | {"everything": "everything"}).items():
            answer = await proxied.client.get("/forward-auth", headers=bearer(token(subject)) | asks(method, uri))
            found[name] = answer.status_code
            if answer.status_code == 200:
                assert answer.headers["x-retirement-person"] == f"{ISSUER} {subject}"
        no_token = await proxied.client.get("/forward-auth", headers=asks(method, uri, Accept="text/html"))
        assert proxied.server.asked == []

    assert found == {name: 200 if name in those_who_may else 403 for name in found}
    assert no_token.status_code == 401


async def test_what_a_proxy_passes_on_is_an_entry_where_it_changes_something(behind_a_proxy: Desk) -> None:
    """Of who has asked, before the proxy is answered; nothing of what only reads, and no path that names no id."""
    resume, odd = f"/api/flow_runs/{RUN}/resume", "/api/flow_runs/ana.gomez/resume"
    async with Proxied(behind_a_proxy).open(PROXY) as proxied:
        found = [
            (await proxied.client.get("/forward-auth", headers=bearer(token(who)) | asks(method, uri))).status_code
            for who, method, uri in ((ADMIN, "POST", resume), (ADMIN, *READ), ("view", "POST", resume))
        ]
        found.append(
            (await proxied.client.get("/forward-auth", headers=bearer(token()) | asks("POST", odd))).status_code
        )
        (entry,) = await proxied.ledger.events.find(kind="prefect.asked")
    assert found == [200, 200, 403, 400]
    assert (entry.facts["what"], entry.facts["id"], entry.facts["flow"]) == ("answer", RUN, "")
    assert entry.facts["observed"]["person"] == f"{ISSUER} {ADMIN}"


@pytest.mark.parametrize(("peer", "status"), [(f"::ffff:{PROXY}", 200), ("::ffff:192.0.2.7", 400), ("::1", 400)])
async def test_a_proxy_is_known_on_a_socket_for_both_kinds_of_addresses(
    behind_a_proxy: Desk, peer: str, status: int
) -> None:
    """Such a socket has IPv4 written as IPv6, of strangers too."""
    async with Proxied(behind_a_proxy).open(peer) as proxied:
        answer = await proxied.client.get("/forward-auth", headers=bearer(token()) | asks(*READ))
    assert answer.status_code == status


async def test_only_a_trusted_proxy_asks(behind_a_proxy: Desk) -> None:
    """What another program says about a request is taken away before it is read; half of it is not enough."""
    headers = bearer(token(ADMIN))
    async with Proxied(behind_a_proxy).open("192.0.2.7") as proxied:
        assert (await proxied.client.get("/forward-auth", headers=headers | asks(*READ))).status_code == 400
    async with Proxied(behind_a_proxy).open(PROXY) as proxied:
        assert (await proxied.client.get("/forward-auth", headers=headers | asks(*READ))).status_code == 200
        assert (await proxied.client.get("/forward-auth", headers=headers)).status_code == 400
        twice = [*(headers | asks(*READ)).items(), ("X-Forwarded-Uri", "/")]
        assert (await proxied.client.get("/forward-auth", headers=twice)).status_code == 400
        elsewhere = asks(*READ) | {"X-Forwarded-Host": "evil.example"}
        assert (await proxied.client.get("/forward-auth", headers=headers | elsewhere)).status_code == 400


async def test_a_cookie_changes_something_for_a_page_of_the_door_only(behind_a_proxy: Desk) -> None:
    """The proxy asks by GET, and still the request is the one that it asks about."""
    async with Proxied(behind_a_proxy).open(PROXY) as proxied:
        gate = behind_a_proxy.application.state.gate
        person = await gate.of_header([f"Bearer {token(ADMIN)}"])
        cookie = {"Cookie": f"{gate.cookie}={gate.sessions.open(person, None)}"}
        statuses = {}
        for origin in (None, "https://evil.example", URL):
            given = cookie | asks("POST", f"/api/flow_runs/{RUN}/resume") | ({"Origin": origin} if origin else {})
            statuses[origin] = (await proxied.client.get("/forward-auth", headers=given)).status_code
    assert statuses == {None: 403, "https://evil.example": 403, URL: 200}


async def test_the_ui_of_a_server_elsewhere_finds_its_api_at_the_door(behind_a_proxy: Desk) -> None:
    """The proxy has the door answer this one question."""
    async with Proxied(behind_a_proxy).open(PROXY) as proxied:
        proxied.server.is_down = True
        found = (await proxied.ask("view", "GET", "/ui-settings")).json()
    assert (found["api_url"], found["auth"], found["default_ui"]) == (f"{URL}/api", None, "v1")


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile", "traefik.yaml"])
def test_the_examples_tell_what_is_prefects_from_what_is_the_doors(name: str) -> None:
    """By one expression, which has every path of the API that is listed and none of a route of the door."""
    text = (Path("deployments/proxies") / name).read_text(encoding="utf-8")
    found = re.search(r"\^/\(api/.*\)\?\$", text)
    assert found
    own = [route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    listed = [f"/api{'/'.join(parts)}" for each in LISTED.values() for parts, _ in each]

    assert [path for path in [*own, "/ui-settings"] if re.match(found[0], path)] == []
    open_to_all = ("/api/health", "/api/ready")
    assert [path for path in ["/dashboard", "/runs/flow-run/1", *listed] if not re.match(found[0], path)] == [
        *open_to_all
    ]
