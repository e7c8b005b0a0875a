"""Serves a sandbox on sockets: one uvicorn server per service, in the running event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from retirement.sandbox.web.asgi import HANG_UP, ASGIApp, Receive, Scope, Send
from retirement.sandbox.web.sandbox import Sandbox

#: Enough for every learner of a large run to connect at once.
BACKLOG = 1024


class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # uvicorn chooses the class when it is imported
    """Gives each request a function that closes its connection, so that a fault can lose an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        app = cast(ASGIApp, self.app)  # type: ignore[has-type]  # the class above is not known to mypy

        async def with_hang_up(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = transport.close
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                # The sandbox ends: a request that hangs loses its connection, and uvicorn has nothing to log.
                transport.close()
                while (await receive())["type"] != "http.disconnect":
                    pass

        self.app = with_hang_up


class Server(uvicorn.Server):
    """A server that is one of several in its event loop, and leaves signals to the owner of the loop."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            http=Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            # As the web servers before a real LMS have it; uvicorn's five seconds break requests of busy clients.
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self.server_state.tasks:
            task.cancel()
        await super().shutdown(sockets)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off; without, each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


@asynccontextmanager
async def serving(
    sandbox: Sandbox, base_port: int | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[dict[str, str]]:
    """Serves all services, yields their URLs; control endpoints only on a loopback address.

    Without `base_port` the ports are free ones, else they count up from it; a taken one is an OSError.
    """
    apps = sandbox.apps if is_loopback(host) else sandbox.services
    listeners: dict[str, socket.socket] = {}
    try:
        for number, name in enumerate(apps):
            listeners[name] = _bound(host, 0 if base_port is None else base_port + number)
    except OSError:
        for listener in listeners.values():
            listener.close()
        raise
    servers = {name: Server(app) for name, app in apps.items()}
    running: list[asyncio.Task[Any]] = [
        asyncio.create_task(server.serve([listeners[name]])) for name, server in servers.items()
    ]
    try:
        await asyncio.gather(*(server.listening.wait() for server in servers.values()))
        yield {name: _url(host, listener) for name, listener in listeners.items()}
    finally:
        for server in servers.values():
            server.should_exit = True
        await asyncio.gather(*running)
