"""The small pools of connections to one service."""

import asyncio
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from retirement.wire.api import pool
from retirement.wire.turns import FEW, in_turns

pytestmark = pytest.mark.anyio


class Noted(httpx.AsyncBaseTransport):
    """A pool that notes what it is given."""

    def __init__(self, limits: httpx.Limits) -> None:
        self.limits, self.requests, self.is_closed = limits, 0, False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(204, request=request)

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("most", [1, 2, FEW, FEW + 1, 40])
async def test_requests_take_the_pools_in_turn_and_all_are_closed(most: int) -> None:
    """No pool has more idle connections than few, and together they keep as many as one pool did."""
    made: list[Noted] = []

    def make(limits: httpx.Limits) -> Noted:
        made.append(Noted(limits))
        return made[-1]

    async with httpx.AsyncClient(transport=in_turns(most, make)) as client:
        for _ in range(2 * len(made)):
            await client.get("http://lms.example/")

    assert {each.requests for each in made} == {2}
    assert all(each.is_closed for each in made)
    kept = [each.limits.max_keepalive_connections or 0 for each in made]
    assert (max(kept) <= FEW, sum(kept) >= most) == (True, True)
    assert {each.limits.max_connections for each in made} == {most}


async def test_connections_are_used_again() -> None:
    """Twice as many requests as connections, over real ones."""
    peers: Counter[object] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                peers[writer.get_extra_info("peername")] += 1
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 10) as client:
        for _ in range(20):
            assert (await client.get("/")).status_code == 204

    assert (len(peers), sum(peers.values())) == (20 // FEW, 20)
