"""An answer belongs to the request before it: what a server says too much is not the next request's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from retirement.wire.api import Api, Retry
from retirement.wire.pool import pool

pytestmark = pytest.mark.anyio

JSON = b"Content-Type: application/json\r\n"
#: What is said after the answer that is due: to another request, perhaps of another learner.
TOO_MUCH = b"HTTP/1.1 200 OK\r\n" + JSON + b'Content-Length: 14\r\n\r\n["of another"]'
ANSWERS = {
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a length": b"HTTP/1.1 200 OK\r\n" + JSON + b'Content-Length: 9\r\n\r\n["right"]',
    "chunks": b"HTTP/1.1 200 OK\r\n" + JSON + b'Transfer-Encoding: chunked\r\n\r\n9\r\n["right"]\r\n0\r\n\r\n',
}


@asynccontextmanager
async def serving(answer: bytes, too_much: bytes, retry: Retry) -> AsyncIterator[tuple[Api, list[int]]]:
    """A real server that says too much once, and the connections that were made to it."""
    connections: list[int] = []
    left = [too_much]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                connections[-1] += 1
                writer.write(answer + (left.pop() if left else b""))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1)
    try:
        yield Api("SVC", client, retry=retry), connections
    finally:
        await client.aclose()
        server.close()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_is_said_too_much_answers_no_other_request(answer: str) -> None:
    """The next request takes another connection."""
    async with serving(ANSWERS[answer], TOO_MUCH, Retry(attempts=1)) as (api, connections):
        for _ in range(3):
            assert (await api.get("/x/")).data == (None if answer == "nothing" else ["right"])

    assert len(connections) == 2


async def test_a_request_that_must_not_be_repeated_is_not_sent_where_an_answer_waits() -> None:
    """It is sent once, on another connection, and nothing is in doubt."""
    async with serving(ANSWERS["a length"], TOO_MUCH, Retry(attempts=1)) as (api, connections):
        await api.get("/x/")
        assert (await api.post("/y/", once=True)).data == ["right"]

    assert connections == [1, 1]


async def test_one_connection_serves_all_requests_that_are_answered_once() -> None:
    """Also where answers are at once there."""
    async with serving(ANSWERS["a length"], b"", Retry(attempts=1)) as (api, connections):
        for _ in range(20):
            assert (await api.post("/x/", json=[1])).data == ["right"]

    assert connections == [20]
