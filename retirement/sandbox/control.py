"""The control endpoints, `/_sandbox/…` (design section 9, FORMAT.md), for loopback binds only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from retirement.sandbox.asgi import ASGIApp, Receive, Scope, Send, read, send_answer
from retirement.sandbox.wire import NO_CONTENT, PAGE_NOT_FOUND, Answer, Request, as_json

if TYPE_CHECKING:
    from retirement.sandbox import Sandbox

PREFIX = "/_sandbox/"
Handler = Callable[["Sandbox", Request], Answer]


def _reset(sandbox: Sandbox, request: Request) -> Answer:
    return as_json(sandbox.reset(_body(request, {})))


def _state(sandbox: Sandbox, request: Request) -> Answer:
    return as_json(sandbox.state())


def _arm(sandbox: Sandbox, request: Request) -> Answer:
    sandbox.arm(_body(request, []))
    return NO_CONTENT


def _disarm(sandbox: Sandbox, request: Request) -> Answer:
    sandbox.arm([])
    return NO_CONTENT


def _requests(sandbox: Sandbox, request: Request) -> Answer:
    return as_json({"requests": sandbox.requests})


def _residue(sandbox: Sandbox, request: Request) -> Answer:
    names = parse_qs(request.query_string).get("username")
    try:
        return as_json(sandbox.residue(names[-1] if names else None))
    except LookupError as error:
        return as_json({"detail": str(error)}, 404)


def _clock(sandbox: Sandbox, request: Request) -> Answer:
    sandbox.advance(float(_body(request, {})["advance_seconds"]))
    return NO_CONTENT


def _body(request: Request, nothing: Any) -> Any:
    """The body, whatever its content type says: people use curl here."""
    return json.loads(request.body) if request.body else nothing


_HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", "reset"): _reset,
    ("GET", "state"): _state,
    ("POST", "faults"): _arm,
    ("DELETE", "faults"): _disarm,
    ("GET", "requests"): _requests,
    ("GET", "residue"): _residue,
    ("POST", "clock"): _clock,
}


def control_app(sandbox: Sandbox, otherwise: ASGIApp | None = None) -> ASGIApp:
    """The control endpoints; other paths go to the application behind, or are not found."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if otherwise is not None and not scope["path"].startswith(PREFIX):
            await otherwise(scope, receive, send)
            return
        request = await read("control", scope, receive)
        await send_answer(_controlled(sandbox, request), send)

    return app


def _controlled(sandbox: Sandbox, request: Request) -> Answer:
    handler = _HANDLERS.get((request.method, request.path.removeprefix(PREFIX)))
    if handler is None or not request.path.startswith(PREFIX):
        return PAGE_NOT_FOUND
    try:
        return handler(sandbox, request)
    except (TypeError, ValueError, KeyError) as error:
        # A seed or a fault that does not follow the format: the caller must see why.
        return as_json({"detail": f"{type(error).__name__}: {error}"}, 400)
