"""The control endpoints, `/_sandbox/…` (docs/contract/sandbox.md), for loopback binds only."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from retirement.sandbox.controls import Controls
from retirement.sandbox.web.asgi import ASGIApp, Receive, Scope, Send, read, send_answer
from retirement.sandbox.wire import NO_CONTENT, PAGE_NOT_FOUND, Answer, Request, as_json
from retirement.sandbox.world.tokens import public_keys

PREFIX = "/_sandbox/"
Handler = Callable[[Controls, Request], Answer]


def _reset(controls: Controls, request: Request) -> Answer:
    return as_json(controls.reset(_body(request, {})))


def _state(controls: Controls, request: Request) -> Answer:
    return as_json(controls.state())


def _arm(controls: Controls, request: Request) -> Answer:
    controls.arm(_body(request, []))
    return NO_CONTENT


def _disarm(controls: Controls, request: Request) -> Answer:
    controls.arm([])
    return NO_CONTENT


def _requests(controls: Controls, request: Request) -> Answer:
    return as_json({"requests": controls.requests})


def _residue(controls: Controls, request: Request) -> Answer:
    names = parse_qs(request.query_string).get("username")
    try:
        return as_json(controls.residue(names[-1] if names else None))
    except LookupError as error:
        return as_json({"detail": str(error)}, 404)


def _clock(controls: Controls, request: Request) -> Answer:
    controls.advance(float(_body(request, {})["advance_seconds"]))
    return NO_CONTENT


def _keys(controls: Controls, request: Request) -> Answer:
    return as_json(public_keys())


def _body(request: Request, nothing: Any) -> Any:
    """The body as JSON, for any content type: operators use curl here."""
    return json.loads(request.body) if request.body else nothing


_HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", "reset"): _reset,
    ("GET", "state"): _state,
    ("POST", "faults"): _arm,
    ("DELETE", "faults"): _disarm,
    ("GET", "requests"): _requests,
    ("GET", "residue"): _residue,
    ("POST", "clock"): _clock,
    ("GET", "keys"): _keys,
}


def control_app(controls: Controls, otherwise: ASGIApp | None = None) -> ASGIApp:
    """The control endpoints; other paths go to the application behind, or are not found."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if otherwise is not None and not scope["path"].startswith(PREFIX):
            await otherwise(scope, receive, send)
            return
        request = await read("control", scope, receive)
        await send_answer(_controlled(controls, request), send)

    return app


def _controlled(controls: Controls, request: Request) -> Answer:
    handler = _HANDLERS.get((request.method, request.path.removeprefix(PREFIX)))
    if handler is None or not request.path.startswith(PREFIX):
        return PAGE_NOT_FOUND
    try:
        return handler(controls, request)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        # A seed or a fault that does not follow the format: the caller must see why.
        return as_json({"detail": f"{type(error).__name__}: {error}"}, 400)
