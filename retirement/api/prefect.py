"""Prefect's UI and API behind the door: requests that are listed are passed on to the locked server of this machine.

The server's credential is put in here and never leaves; what the browser has sent to the door, its token or cookie, is
not passed on, nor what it says about other proxies. Answers come back with the headers that are listed.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from fastapi import Request, Response, WebSocket
from fastapi.responses import StreamingResponse

from retirement.api.around import Receive, Scope, Send
from retirement.api.gate import Gate
from retirement.api.people import Person
from retirement.api.prefect_changes import Change, change_of
from retirement.api.prefect_rules import SOCKETS, Kind, Rule, rule_of
from retirement.api.prefect_sockets import bridge
from retirement.api.refusals import DoorError, Forbidden
from retirement.errors import EngineLost
from retirement.flows.kit.behind import Behind, behind
from retirement.ledger import Area, Holder
from retirement.wire.passing import Headers, Passed, Passing

logger = logging.getLogger(__name__)

#: The code by which a websocket is closed that is not permitted.
_REFUSED = 1008
#: What of a request is passed on.
_ASKED = frozenset(
    {b"accept", b"accept-encoding", b"accept-language", b"content-type", b"if-modified-since", b"if-none-match"}
    | {b"x-prefect-api-version", b"x-prefect-ui"}
)
#: What of an answer is.
_ANSWERED = frozenset(
    {b"content-disposition", b"content-encoding", b"content-type", b"etag", b"last-modified", b"retry-after", b"vary"}
)
#: The settings of the UI of a server that is elsewhere.
_ELSEWHERE = {"flags": [], "v1_base_url": "/"}
#: The one UI that is shown at the door: its pages offer no way to the newer one, and the server leads to it.
_SHOWN = {"default_ui": "v1", "available_uis": ["v1"], "v2_base_url": None}
_CHOSEN = (b"cookie", b"prefect_ui_version=v1")
#: What the UI is told of a form before it is submitted. The server would apply a schema of the caller's own, which can
#: keep it busy for good, to values that may name its variables; what is submitted is checked by the form's own anyway.
_NOTHING_WRONG = json.dumps({"errors": [], "valid": True})
#: The UI has styles in its elements, and pictures and fonts in its styles; scripts are its own files only. What draws
#: the graph of a run makes functions of texts, and without it the page has neither graph nor colours.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)


class PrefectBehind:
    """Passes requests of people on, once they are permitted: the application for what no route of the door takes."""

    def __init__(self, gate: Gate, passing: Passing, where: Callable[[], Behind] = behind) -> None:
        self._gate, self._passing, self.where = gate, passing, where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or joins one websocket. Raises `DoorError` and `EngineLost` for a request."""
        if scope["type"] == "websocket":
            await self.join(WebSocket(scope, receive, send))
            return
        response = await self.answer(Request(scope, receive, send))
        await response(scope, receive, send)

    async def join(self, websocket: WebSocket) -> None:
        """Joins a websocket with the server's, for who may read; any other is closed before it is open."""

        async def check() -> Holder:
            person = await self._gate.person(websocket)
            if not Rule(Kind.READ).permits(frozenset(await self._gate.may(person, Area.SYSTEM))):
                raise Forbidden("this needs the permission view or monitor in the domain system")
            return person.holder

        path = websocket.url.path
        try:
            holder = await check()
            if path not in SOCKETS:
                raise Forbidden("there is no such websocket at the door")
            await bridge(websocket, path, self.where(), check, holder)
        except (DoorError, EngineLost) as refused:
            logger.warning("refused: websocket: %s", refused)
            await websocket.close(_REFUSED, str(refused))

    async def answer(self, request: Request) -> Response:
        """The answer to a request that no route of the door has taken. Raises `DoorError` and `EngineLost`."""
        person = await self._gate.person(request)
        path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
        rule = await self.permitted(person, request.method, path)
        content = await request.body()
        if rule.kind.changes:
            change = await change_of(rule, content, self.read)
            await self._require(person, change)
            with person.acting():
                entry = await self._gate.ledger.passed.enter(change.asked, change.form)
            content = change.content(entry)
        if rule.kind is Kind.SETTINGS:
            return await self._settings()
        if rule.kind is Kind.FORM:
            return Response(_NOTHING_WRONG, media_type="application/json")
        return await self._passed_on(request, path, content, reads=not rule.kind.changes)

    async def permitted(self, person: Person, method: str, path: str) -> Rule:
        """What a request does. Raises `Forbidden` for what is not listed, and what the person may not ask."""
        rule = rule_of(method, path)
        if rule is None:
            raise Forbidden("this is not asked of Prefect through the door")
        if not rule.permits(frozenset(await self._gate.may(person, Area.SYSTEM))):
            raise Forbidden("this needs the permission view or monitor in the domain system")
        return rule

    async def read(self, path: str) -> Any:
        """What the server says at a path of its API, for ourselves. Raises `EngineLost` for what is no answer."""
        async with self._sent("GET", f"/api{path}", reads=True) as answer:
            body = await answer.whole()
        return json.loads(body) if answer.status == 200 else None

    async def _require(self, person: Person, change: Change) -> None:
        if not await self._gate.permits(person, change.needs):
            raise Forbidden(f"this needs the permission {change.needs.value} in the domain system")

    async def _settings(self) -> Response:
        """Where the UI finds the API, and that it asks for no log-in: the door has asked."""
        try:
            async with self._sent("GET", "/ui-settings", reads=True) as answer:
                found: Mapping[str, Any] = json.loads(await answer.whole())
        except EngineLost:  # it is elsewhere, and a proxy asks the door for this only
            found = _ELSEWHERE
        api = f"{self._gate.settings.url.rstrip('/')}/api"
        told = {**found, **_SHOWN, "api_url": api, "auth": None, "csrf_enabled": False}
        return Response(json.dumps(told), media_type="application/json")

    async def _passed_on(self, request: Request, path: str, content: bytes, *, reads: bool) -> Response:
        headers = [each for each in request.scope["headers"] if each[0] in _ASKED]
        query = request.scope["query_string"].decode("latin-1")
        asked = f"{path}{'?' if query else ''}{query}"
        stack = AsyncExitStack()
        try:
            answer = await stack.enter_async_context(self._sent(request.method, asked, headers, content, reads=reads))
        except BaseException:
            await stack.aclose()
            raise
        made = StreamingResponse(_until_sent(answer, stack), answer.status)
        kept = [each for each in answer.headers if each[0].lower() in _ANSWERED]
        made.raw_headers = [*kept, *self._location(answer.headers), (b"content-security-policy", _POLICY.encode())]
        return made

    def _sent(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]] = (), content: bytes = b"", *, reads: bool
    ) -> AbstractAsyncContextManager[Passed]:
        server = self.where()
        ours = [(b"host", server.host.encode()), (b"authorization", server.authorization.encode()), _CHOSEN]
        return self._passing.sent(method, f"{server.origin}{path}", [*headers, *ours], content, reads=reads)

    def _location(self, headers: Headers) -> Headers:
        """A redirection within the server, as one within the door; any other is not passed on."""
        found = next((value.decode("latin-1") for name, value in headers if name.lower() == b"location"), "")
        path = found.removeprefix(self.where().origin)
        is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
        return [(b"location", path.encode("latin-1"))] if is_ours else []


async def _until_sent(answer: Passed, stack: AsyncExitStack) -> AsyncIterator[bytes]:
    async with stack:
        async for piece in answer.pieces:
            yield piece
