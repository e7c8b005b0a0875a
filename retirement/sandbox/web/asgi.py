"""The services as ASGI applications: reads a request, logs its arrival, sends the answer or loses it.

To lose an answer takes the connection: our server (serving.py) puts a function that closes it into the scope.
Without one, as under `httpx.ASGITransport`, the application raises what httpx raises when a server hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx

from retirement.sandbox.platform import Platform
from retirement.sandbox.wire import Answer, Request
from retirement.sandbox.world.faults import Lost

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Key of the extension that closes the connection of a request.
HANG_UP = "sandbox.hang_up"


async def read(service: str, scope: Scope, receive: Receive) -> Request:
    raw_path = scope.get("raw_path") or scope["path"].encode()
    request = Request(
        service,
        scope["method"],
        scope["path"],
        raw_path.decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        (scope.get("client") or ("", 0))[0],
    )
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    request.body = b"".join(chunks)
    return request


async def send_answer(answer: Answer, send: Send, *, head: bool = False, until: int | None = None) -> None:
    """Sends an answer; with `until` only so many bytes of the body, under the full length."""
    headers = [(b"content-length", str(len(answer.body)).encode())] if answer.status != 204 else []
    if answer.content_type:
        headers.append((b"content-type", answer.content_type.encode()))
    headers += [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if head else answer.body[:until]
    await send({"type": "http.response.body", "body": body, "more_body": until is not None})


async def lose(lost: Lost, scope: Scope, receive: Receive, send: Send) -> None:
    """Closes the connection; an answer without a body cannot be cut, so nothing of it is sent."""
    hang_up = scope.get("extensions", {}).get(HANG_UP)
    if hang_up is None:
        raise httpx.RemoteProtocolError("Server disconnected without sending a complete response.")
    if lost.cut is not None and lost.cut.body:
        await send_answer(lost.cut, send, until=len(lost.cut.body) // 2)
    hang_up()
    while (await receive())["type"] != "http.disconnect":
        pass


def service_app(platform: Platform, name: str, latency_s: float) -> ASGIApp:
    """One service. A request is in the journal from its first byte on, in order of arrival."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        entry = platform.world.journal.arrived(name, scope["method"], scope["path"])
        request = await read(name, scope, receive)
        entry["user_id"] = platform.subject(request)
        if latency_s:
            await asyncio.sleep(latency_s)
        answer = await platform.serve(request)
        if isinstance(answer, Lost):
            await lose(answer, scope, receive, send)
            return
        entry["status"] = answer.status
        await send_answer(answer, send, head=request.method == "HEAD")

    return app
