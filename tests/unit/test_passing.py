"""Requests that the door passes on, over real sockets, to a server that closes a connection while it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from retirement.errors import EngineLost
from retirement.wire.passing import Passing

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Closing:
    """Answers the first request of each connection; the second one finds the connection closed."""

    origin: str = ""
    asked: list[bytes] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        for answer in (ANSWER, b""):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.partition(b"\r\n")[0])
            writer.write(answer)
            await writer.drain()
        writer.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Closing]:
        """Listens on a port of its own."""
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self


async def ask(passing: Passing, server: Closing, method: str, *, reads: bool) -> bytes:
    async with passing.sent(method, f"{server.origin}/", [(b"host", b"h")], reads=reads) as answer:
        return await answer.whole()


async def test_what_reads_is_asked_again_where_the_connection_was_closed_meanwhile() -> None:
    """A page of Prefect that misses one of its files stays empty for good."""
    passing = Passing()
    async with Closing().open() as server:
        bodies = [await ask(passing, server, "GET", reads=True) for _ in range(4)]
        await passing.aclose()

    assert bodies == [b"ok"] * 4
    assert len(server.asked) == 7  # each but the first began on a connection that was closed


async def test_what_changes_something_is_sent_once() -> None:
    """It may have been done by a server whose answer got lost."""
    passing = Passing()
    async with Closing().open() as server:
        assert await ask(passing, server, "POST", reads=False) == b"ok"
        with pytest.raises(EngineLost):
            await ask(passing, server, "POST", reads=False)
        await passing.aclose()

    assert len(server.asked) == 2
