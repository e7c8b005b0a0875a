"""A service on a real socket that says what it is told to, byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from retirement.wire.proxies import transport
from tests.patient import PATIENCE

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b'Content-Length: 9\r\n\r\n["right"]'
#: A learner in a path, who is in no error.
PATH = "/users/canary%2Fname%20of%3F/?email=canary%40mail.example"
CANARIES = ("canary", "mail.example", "127.0.0.1", "http:")

#: What is done with a connection after some bytes.
End = Callable[[asyncio.StreamWriter], None]


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """As a process that was killed."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def stay(_writer: asyncio.StreamWriter) -> None:
    pass


class Service:
    """A real server that gives one answer after the other, and the last one from then on; None: nothing at all."""

    def __init__(self, *answers: tuple[bytes, End], parts: int = 1) -> None:
        self.answers, self._parts = list(answers), parts
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                _, _, size = head.lower().partition(b"content-length:")
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(size.split(b"\r\n")[0] or 0)))
                answer, end = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                length = max(1, len(answer) // self._parts)
                for at in range(0, len(answer), length):
                    writer.write(answer[at : at + length])
                    await writer.drain()
                    await asyncio.sleep(0)  # it is read before the next one comes
                end(writer)
        writer.close()

    @asynccontextmanager
    async def open(self, most: int = 2, tls: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Its port, and a client of it."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = client_of(self.url, most)
        try:
            yield client
        finally:
            await client.aclose()
            server.close()
            for writer in self.writers:
                writer.transport.abort()


def client_of(url: str, most: int) -> httpx.AsyncClient:
    """A client of httpx over our connections, enough for so many learners."""
    return httpx.AsyncClient(base_url=url, transport=transport(url, most * 2), timeout=PATIENCE)


async def failed(work: Awaitable[object]) -> httpx.TransportError:
    """The exception of a request: without a word of the request, and without another exception behind it."""
    with pytest.raises(httpx.TransportError) as caught:
        await work
    error = caught.value
    assert not [each for each in CANARIES if each in f"{error!r} {error.args}"]
    assert error.__cause__ is None
    return error
