"""Prefect's websockets behind the door: events and logs of runs, read only, as long as the person is signed in.

The browser does not know the server's credential, so the handshake that asks for it is made here, once to each side.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from retirement.api.refusals import DoorError
from retirement.errors import EngineLost
from retirement.flows.kit.behind import Behind
from retirement.ledger import Holder
from retirement.wire.patience import MEGABYTE

#: The protocol by which Prefect asks for a credential first.
PROTOCOL = "prefect"
#: Seconds for the handshake, and between two looks whether the person is still signed in and permitted.
HANDSHAKE_SECONDS, LOOK_SECONDS = 10.0, 15.0
#: Characters of what a browser sends, a filter; bytes of what the server does.
LARGEST_FILTER, LARGEST_MESSAGE = 64 * 1024, 4 * MEGABYTE
#: Websockets at the same time, and of one person.
MOST_SOCKETS, MOST_OF_ONE = 100, 20
_GOING_AWAY, _REFUSED, _BROKEN = 1001, 1008, 1011

#: Raises `DoorError` for a person who is signed in no more, or may not do this any more.
Check = Callable[[], Awaitable[object]]
_sockets = asyncio.BoundedSemaphore(MOST_SOCKETS)
_of_people: Counter[Holder] = Counter()


async def bridge(websocket: WebSocket, path: str, server: Behind, check: Check, holder: Holder) -> None:
    """Joins a websocket of a person's browser with one of the server, until one side ends or the check fails.

    Raises `EngineLost` where the server does not take it, before the browser's is accepted.
    """
    if _sockets.locked() or _of_people[holder] >= MOST_OF_ONE:
        raise EngineLost("too many websockets are open")
    _of_people[holder] += 1
    try:
        async with _sockets:
            await _bridged(websocket, path, server, check)
    finally:
        _of_people[holder] -= 1
        if not _of_people[holder]:
            del _of_people[holder]


async def _bridged(websocket: WebSocket, path: str, server: Behind, check: Check) -> None:
    try:
        upstream = await connect(
            f"{server.origin.replace('http', 'ws', 1)}{path}",
            subprotocols=[Subprotocol(PROTOCOL)],
            open_timeout=HANDSHAKE_SECONDS,
            max_size=LARGEST_MESSAGE,
            user_agent_header=None,
            proxy=None,
        )
    except (OSError, InvalidHandshake, TimeoutError):
        raise EngineLost("Prefect's server takes no websocket") from None
    async with upstream:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await _signed_in(upstream, server)
        except (ConnectionClosed, ValueError, TimeoutError):
            raise EngineLost("Prefect's server takes no websocket") from None
        await websocket.accept(PROTOCOL if PROTOCOL in websocket.scope.get("subprotocols", ()) else None)
        await _joined(websocket, upstream, check)


async def _signed_in(upstream: ClientConnection, server: Behind) -> None:
    """Raises `ValueError` where the server does not take the credential."""
    await upstream.send(json.dumps({"type": "auth", "token": server.credential}))
    answer = json.loads(await upstream.recv())
    if not isinstance(answer, dict) or answer.get("type") != "auth_success":
        raise ValueError("the credential was not taken")


async def _joined(websocket: WebSocket, upstream: ClientConnection, check: Check) -> None:
    """Carries messages until the first of the three tasks ends; then both sides are closed."""
    work = (_to_the_server(websocket, upstream), _to_the_browser(websocket, upstream), _watched(check))
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    codes = [_BROKEN if task.exception() else task.result() for task in done]
    with suppress(RuntimeError, WebSocketDisconnect):  # the browser has closed it already
        await websocket.close(max(codes))


async def _to_the_server(websocket: WebSocket, upstream: ClientConnection) -> int:
    """The browser's own part of the handshake is answered here; after it comes one filter, and nothing else."""
    try:
        message = await _message(websocket)
        if message is not None and message.get("type") == "auth":
            await websocket.send_json({"type": "auth_success"})
            message = await _message(websocket)
        if message is None or message.get("type") != "filter":
            return _REFUSED
        await upstream.send(json.dumps(message))
        await websocket.receive_text()
    except WebSocketDisconnect:
        return _GOING_AWAY
    except ConnectionClosed:
        return _BROKEN
    return _REFUSED


async def _message(websocket: WebSocket) -> dict[str, Any] | None:
    """An object that the browser sends, None for anything else."""
    text = await websocket.receive_text()
    try:
        found = json.loads(text) if len(text) <= LARGEST_FILTER else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else None


async def _to_the_browser(websocket: WebSocket, upstream: ClientConnection) -> int:
    try:
        async for message in upstream:
            await websocket.send_text(message if isinstance(message, str) else message.decode())
    except (WebSocketDisconnect, ConnectionClosed):
        return _BROKEN
    return _GOING_AWAY


async def _watched(check: Check) -> int:
    """Ends once the person has signed out, or is permitted no more."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await check()
        except DoorError:
            return _REFUSED
