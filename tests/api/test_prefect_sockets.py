"""Prefect's websockets behind the door: for whom, which, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from retirement.api import prefect_sockets
from retirement.api.people import Person
from retirement.flows.kit.behind import Behind

from .behind import CREDENTIAL, Browser, Proxied
from .desk import ADMIN, ISSUER, STRANGER, URL, Desk, bearer, token

pytestmark = pytest.mark.anyio

EVENTS = "/api/events/out"
FILTER = {"type": "filter", "filter": {}}


@asynccontextmanager
async def prefect(credential: str = CREDENTIAL) -> AsyncIterator[tuple[Behind, list[Any]]]:
    """The websocket of the server, with its handshake; it tells one event and waits; what reaches it."""
    heard: list[Any] = []

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        first = json.loads(await connection.recv())
        heard.append((connection.request.path, connection.subprotocol, first["token"]))
        if first["token"] != CREDENTIAL:
            await connection.close(1008, "Invalid token")
            return
        await connection.send(json.dumps({"type": "auth_success"}))
        heard.append(json.loads(await connection.recv()))
        await connection.send(json.dumps({"type": "event", "event": 1}))
        await connection.wait_closed()

    async with serve(talk, "127.0.0.1", 0, subprotocols=[prefect_sockets.PROTOCOL]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        yield Behind(f"http://127.0.0.1:{port}", credential), heard


@pytest.mark.parametrize("person", ["view", "monitor"])
async def test_events_are_read_without_the_credential(desk: Desk, person: str) -> None:
    """The browser's handshake, with whatever it takes for a token, ends at the door."""
    async with prefect() as (where, heard), Proxied(desk, where=where).open() as proxied:
        browser = await Browser(proxied.desk.app, EVENTS, bearer(token(person))).accepted()
        browser.say({"type": "auth", "token": "of the browser"})
        assert await browser.event() == {"type": "auth_success"}
        browser.say(FILTER)
        assert await browser.event() == {"type": "event", "event": 1}
        await browser.close()

    assert heard == [(EVENTS, "prefect", CREDENTIAL), FILTER]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (EVENTS, {}),
        (EVENTS, {"Cookie": "__Host-retirement=forged.0"}),
        (EVENTS, bearer("e30.e30.e30")),
        (EVENTS, bearer(token(STRANGER))),
        (EVENTS, bearer(token("approve"))),
        (EVENTS, bearer(token(ADMIN)) | {"Origin": "https://evil.example"}),
        ("/api/events/in", bearer(token(ADMIN))),
        ("/api/logs/in", bearer(token(ADMIN))),
        ("/api/events/out/", bearer(token(ADMIN))),
        ("//api/events/out", bearer(token(ADMIN))),
        ("/", bearer(token(ADMIN))),
    ],
)
async def test_a_websocket_is_refused_before_the_server_hears_of_it(
    desk: Desk, path: str, headers: Mapping[str, str]
) -> None:
    """Without session, without permission, of another page, and one that takes events."""
    async with prefect() as (where, heard), Proxied(desk, where=where).open() as proxied:
        browser = Browser(proxied.desk.app, path, headers)
        assert (await browser.told())["type"] == "websocket.close"
        await browser.task
    assert heard == []


async def test_a_session_that_ends_ends_its_websocket(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one without the page's origin has none."""
    monkeypatch.setattr(prefect_sockets, "LOOK_SECONDS", 0.05)
    async with prefect() as (where, _), Proxied(desk, where=where).open() as proxied:
        gate = desk.application.state.gate
        cookie = gate.sessions.open(Person("view", ISSUER, frozenset(), "session"), None)
        headers = {"Cookie": f"{gate.cookie}={cookie}"}
        assert (await Browser(proxied.desk.app, EVENTS, headers).told())["type"] == "websocket.close"
        browser = await Browser(proxied.desk.app, EVENTS, headers | {"Origin": URL}).accepted()
        browser.say(FILTER)
        await browser.event()
        gate.sessions.end(cookie)
        assert (await browser.told())["code"] == 1008
        await browser.task


@pytest.mark.parametrize("said", [{"type": "event"}, [], "{", "x" * 100_000])
async def test_nothing_but_a_filter_goes_to_the_server(desk: Desk, said: Any) -> None:
    """And after the filter nothing at all."""
    async with prefect() as (where, heard), Proxied(desk, where=where).open() as proxied:
        browser = await Browser(proxied.desk.app, EVENTS, bearer(token("view"))).accepted()
        browser.say(said)
        assert (await browser.told())["code"] == 1008
        again = await Browser(proxied.desk.app, EVENTS, bearer(token("view"))).accepted()
        again.say(FILTER)
        await again.event()
        again.say(FILTER)
        assert (await again.told())["code"] == 1008
        await asyncio.gather(browser.task, again.task)
    assert [each for each in heard if isinstance(each, dict)] == [FILTER]


async def test_a_server_that_takes_no_websocket(desk: Desk) -> None:
    """Its credential has changed, or it is away: the browser is told so, and not let in."""
    async with prefect("changed") as (where, _), Proxied(desk, where=where).open() as proxied:
        assert (await Browser(proxied.desk.app, EVENTS, bearer(token("view"))).told())["type"] == "websocket.close"
        proxied.where = Behind("http://127.0.0.1:9", CREDENTIAL)
        browser = Browser(proxied.desk.app, EVENTS, bearer(token("view")))
        assert (await browser.told())["type"] == "websocket.close"
        with suppress(asyncio.CancelledError):
            await browser.task


async def test_one_person_does_not_take_the_websockets_of_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is let in, and so is the first one again once a page was closed."""
    monkeypatch.setattr(prefect_sockets, "MOST_OF_ONE", 1)
    async with prefect() as (where, _), Proxied(desk, where=where).open() as proxied:
        first = await Browser(proxied.desk.app, EVENTS, bearer(token("view"))).accepted()
        refused = await Browser(proxied.desk.app, EVENTS, bearer(token("view"))).told()
        other = await Browser(proxied.desk.app, EVENTS, bearer(token("monitor"))).accepted()
        await first.close()
        again = await Browser(proxied.desk.app, EVENTS, bearer(token("view"))).accepted()
        for each in (other, again):
            await each.close()

    assert (refused["type"], refused["reason"]) == ("websocket.close", "too many websockets are open")
