"""A Prefect server that stands behind the door in memory, and writes down what reaches it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from retirement.api.app import door
from retirement.api.around import App, Message
from retirement.flows.kit.behind import Behind
from retirement.ledger import EVERYTHING, Action, Area, Holder, Ledger
from retirement.wire.passing import Passing

from .desk import ISSUER, URL, Desk, bearer, token

CREDENTIAL = "retirement:s3cret-of-the-server"
ORIGIN = "http://127.0.0.1:4200"
RUN, DEPLOYMENT, FLOW = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
KEY = "paused-approval-1-response"
#: What a server says of its two UIs.
UIS = {"default_ui": "v2", "available_uis": ["v1", "v2"], "v1_base_url": "/", "v2_base_url": "/v2"}


@dataclass
class Prefect:
    """The server. `flow` is the name of every run's flow, `pause` that of the pause in which the run is."""

    flow: str = "retire-queue"
    pause: str = "approval-1"
    tags: list[str] = field(default_factory=list)  #: those of each deployment
    asked: list[httpx.Request] = field(default_factory=list)
    answer: httpx.Response | None = None
    is_down: bool = False

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("refused")
        self.asked.append(request)
        expected = f"Basic {base64.b64encode(CREDENTIAL.encode()).decode()}"
        if request.headers.get("authorization") != expected or request.headers["host"] != "127.0.0.1:4200":
            return httpx.Response(401)
        return _streamed(self.answer or httpx.Response(200, json=self._told(request)))

    def _told(self, request: httpx.Request) -> Any:
        if request.method == "GET" and request.url.path in (f"/api/flow_runs/{RUN}", f"/api/deployments/{DEPLOYMENT}"):
            details = {"pause_key": self.pause, "run_input_keyset": {"response": KEY}}
            return {"flow_id": FLOW, "state": {"type": "PAUSED", "state_details": details}, "tags": self.tags}
        if request.url.path == f"/api/flows/{FLOW}":
            return {"name": self.flow}
        if request.url.path == "/ui-settings":
            return {"api_url": f"{ORIGIN}/api", "auth": "BASIC", "csrf_enabled": False, "flags": [], **UIS}
        return {"passed": request.url.path}

    @property
    def changes(self) -> list[tuple[str, str, Any]]:
        """What would have changed something: method, path and body."""
        return [
            (each.method, each.url.path, json.loads(each.content or b"null"))
            for each in self.asked
            if each.method != "GET"
        ]


def _streamed(whole: httpx.Response) -> httpx.Response:
    """The same, not read yet, as an answer of the network is."""

    async def pieces() -> AsyncIterator[bytes]:
        yield whole.content

    return httpx.Response(whole.status_code, headers=whole.headers, content=pieces())


@dataclass
class Proxied:
    """A door with that server behind it; its people are named after what they may do."""

    desk: Desk
    server: Prefect = field(default_factory=Prefect)
    where: Behind = field(default_factory=lambda: Behind(ORIGIN, CREDENTIAL))
    client: httpx.AsyncClient = field(init=False)
    ledger: Ledger = field(init=False)

    @asynccontextmanager
    async def open(self, peer: str = "192.0.2.7") -> AsyncIterator[Proxied]:
        """Opens the door for a client at this address."""
        passing = Passing(httpx.MockTransport(self.server))
        opened = door(
            self.desk.configuration,
            pools=self.desk.provider.pool,
            clock=self.desk.clock,
            passing=passing,
            where=lambda: self.where,
        )
        async with opened as self.desk.app, self.desk.ledger() as self.ledger:
            for action in EVERYTHING:
                await self.grant(action.value, action)
            transport = httpx.ASGITransport(self.desk.app, client=(peer, 4711))
            async with httpx.AsyncClient(transport=transport, base_url=URL) as self.client:
                yield self

    async def grant(self, person: str, *actions: Action) -> None:
        """What this person may do in the whole system."""
        await self.ledger.permissions.set(Holder(ISSUER, person), Area.SYSTEM, "", actions)

    async def ask(self, person: str, method: str, path: str, **given: Any) -> httpx.Response:
        """What a person is answered, who has a token of the provider."""
        headers = {**bearer(token(person)), **given.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **given)


class Browser:
    """The other side of a websocket, in memory."""

    def __init__(self, app: App, path: str, headers: Mapping[str, str]) -> None:
        self._to: asyncio.Queue[Message] = asyncio.Queue()
        self._of: asyncio.Queue[Message] = asyncio.Queue()
        given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "wss",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "client": ("192.0.2.7", 4711),
            "subprotocols": ["prefect"],
            "headers": [(b"host", b"door.example.com"), *given],
        }
        self._to.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(app(scope, self._to.get, self._of.put))

    async def told(self) -> Message:
        """What the door sends next."""
        return await self._of.get()

    async def accepted(self) -> Browser:
        """Once the websocket is open."""
        assert await self.told() == {"type": "websocket.accept", "subprotocol": "prefect", "headers": []}
        return self

    def say(self, what: Any) -> None:
        """Sends a message."""
        text = what if isinstance(what, str) else json.dumps(what)
        self._to.put_nowait({"type": "websocket.receive", "text": text})

    async def event(self) -> Any:
        """The next message of the server."""
        return json.loads((await self.told())["text"])

    async def close(self) -> None:
        """Goes away."""
        self._to.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.task
