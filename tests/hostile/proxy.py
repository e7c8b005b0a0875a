"""The proxy between pipeline and sandbox: it reads real requests from real sockets, and answers as it is told.

It passes a request on, and sends back what the sandbox answers, until a case gives it another manner for one place:
a route, from one of its requests on.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

from retirement.sandbox import Sandbox
from retirement.sandbox.wire import Answer, Request
from retirement.sandbox.world.faults import Lost

HOST = "127.0.0.1"
#: Largest head of a request; ours are below a kilobyte.
LARGEST_HEAD = 1 << 20
_PHRASES = {each.value: each.phrase for each in HTTPStatus}


@dataclass(frozen=True, order=True)
class Route:
    """An application of the sandbox, a method, and the path as the application's routes spell it."""

    app: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.app} {self.method} {self.path}"


@dataclass(frozen=True, order=True)
class Place:
    """A route, from its `at`-th request of one learner on; counted from 1."""

    route: Route
    at: int

    def __str__(self) -> str:
        return f"{self.route} ({self.at})"


@dataclass(frozen=True)
class Asked:
    """A request that came by, and what the sandbox answered; None where nothing was asked of it."""

    place: Place
    body: bytes
    answer: Answer | None

    @property
    def signs_in(self) -> bool:
        """Whether it asks for a token: only those send a grant."""
        return b"grant_type=" in self.body


@dataclass
class Exchange:
    """One request at the place of the case, for a manner to answer. `words` are what the learner is called."""

    request: Request
    words: str
    #: What another learner's request at this place was answered in a run without any trouble.
    others: Answer | None
    #: The answer to the very same request, when it was asked earlier in this case.
    before: Answer | None
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    #: Does the work, and gives the true answer.
    work: Callable[[], Awaitable[Answer]]
    #: Answers truly, and does no work.
    pretend: Callable[[], Awaitable[Answer]]
    #: Closes the port for the rest of the case.
    refuse: Callable[[], None]

    async def say(self, data: bytes) -> None:
        """Sends some bytes; raises `ConnectionError` where the connection is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, answer: Answer) -> None:
        """A whole answer."""
        await self.say(head(answer.status, headers_of(answer), len(answer.body)) + answer.body)

    def reset(self) -> None:
        """Ends the connection at once, as a process that was killed does."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    @property
    def is_left(self) -> bool:
        """Whether the client has gone."""
        return self.reader.at_eof() or self.writer.transport.is_closing()


#: How a request is answered; True: the connection may serve another one.
Manner = Callable[[Exchange], Awaitable[bool]]


@dataclass
class Trouble:
    """What a case asks of the proxy: at which place, how, and whether once or for ever."""

    place: Place
    manner: Manner
    words: str
    lasts: bool = True
    others: Mapping[Place, Answer] = field(default_factory=dict)
    met: int = 0


class Proxy:
    """One port for each application. It notes what came by since `begin`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._platform = sandbox._platform
        self._servers: dict[str, asyncio.Server] = {}
        self._open: dict[asyncio.StreamWriter, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.ports: dict[str, int] = {}
        self.begin(None)

    def begin(self, trouble: Trouble | None) -> None:
        """A case begins; None: all is answered truly."""
        self.trouble = trouble
        self.asked: list[Asked] = []
        self._counts: Counter[Route] = Counter()
        self._last: dict[tuple[str, str, bytes], Answer] = {}

    async def open(self) -> None:
        """Opens each port that is not open; a port that was refused is the same again."""
        for app in self._platform.services:
            if app not in self._servers:
                serve = self._serving(app)
                port = self.ports.get(app, 0)
                server = await asyncio.start_server(serve, HOST, port, limit=LARGEST_HEAD, reuse_address=True)
                self._servers[app] = server
                self.ports[app] = server.sockets[0].getsockname()[1]

    @property
    def urls(self) -> dict[str, str]:
        """Where each application is found."""
        return {app: f"http://{HOST}:{port}" for app, port in self.ports.items()}

    async def close(self) -> None:
        """Closes all ports and connections."""
        for app in list(self._servers):
            self._refuse(app)
        await asyncio.gather(*self._tasks)

    def _refuse(self, app: str) -> None:
        if server := self._servers.pop(app, None):
            server.close()
        for writer, where in self._open.items():
            if where == app:
                writer.transport.abort()

    def _serving(self, app: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(connection(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open[writer] = app
            try:
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    while await self._one(app, reader, writer):
                        pass
            finally:
                del self._open[writer]
                writer.close()

        return serve

    async def _one(self, app: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection may serve another one."""
        request = await _read(app, reader)
        route = self._route(request)
        self._counts[route] += 1
        place = Place(route, self._counts[route])
        exchange = self._exchange(place, request, reader, writer)
        trouble = self.trouble
        if trouble is None or not _is_met(trouble, place):
            await exchange.send(await exchange.work())
            return True
        trouble.met += 1
        return await trouble.manner(exchange)

    def _exchange(
        self, place: Place, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Exchange:
        at, key = len(self.asked), (request.raw_path, request.query_string, request.body)
        self.asked.append(Asked(place, request.body, None))

        async def work() -> Answer:
            answer = await self._answer(request)
            self.asked[at] = Asked(place, request.body, answer)
            self._last[key] = answer
            return answer

        async def pretend() -> Answer:
            database = self._platform.world.database
            image = database.image()
            try:
                return await self._answer(request)
            finally:
                database.restore(image)

        trouble, before = self.trouble, self._last.get(key)
        words = trouble.words if trouble else ""
        others = trouble.others.get(place) if trouble else None
        app = place.route.app
        return Exchange(request, words, others, before, reader, writer, work, pretend, refuse=lambda: self._refuse(app))

    async def _answer(self, request: Request) -> Answer:
        answer = await self._platform.serve(request)
        assert not isinstance(answer, Lost), "no fault is armed"
        return answer

    def _route(self, request: Request) -> Route:
        found = self._platform.services[request.service].find(request.path)
        return Route(request.service, request.method, found[0].path if found else "?")


def _is_met(trouble: Trouble, place: Place) -> bool:
    if place.route != trouble.place.route:
        return False
    return place.at == trouble.place.at or (trouble.lasts and place.at > trouble.place.at)


async def _read(app: str, reader: asyncio.StreamReader) -> Request:
    """Raises `IncompleteReadError` at the end of the connection."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    raw, _, query = target.partition("?")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(app, method, unquote(raw), raw, query, headers, HOST, body)


def head(status: int, headers: Mapping[str, str], length: int | None = None) -> bytes:
    """Status line and headers, and the blank line after them."""
    lines = [
        f"HTTP/1.1 {status} {_PHRASES.get(status, 'Odd')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if length is not None and not (status < 200 or status == 204):
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def headers_of(answer: Answer) -> dict[str, str]:
    """The headers of an answer of the sandbox, without those of the wire."""
    kind = {"Content-Type": answer.content_type} if answer.content_type else {}
    return {**kind, **dict(answer.headers)}
