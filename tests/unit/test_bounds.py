"""The bounds of an answer: its time as a whole, its size after decoding, and no cookies."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from retirement.errors import Misconfigured, Transient
from retirement.lms import Lms
from retirement.wire.api import Api, Retry
from retirement.wire.auth import TokenAuth, lms_tokens
from retirement.wire.patience import MEGABYTE, Patience
from retirement.wire.pool import Pool, pool
from tests.simulation.virtual import VirtualLoop

from .doubles import Naps, Script

#: Seconds of virtual time between two bytes.
BEAT = 1.0
STATES = ["PENDING", "COMPLETE"]
Done = TypeVar("Done")


def run(work: Coroutine[Any, Any, Done]) -> tuple[Done | BaseException, float]:
    """What came of it, and how many seconds of virtual time it took."""

    async def ended() -> Done | BaseException:
        return (await asyncio.gather(work, return_exceptions=True))[0]

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(ended()), loop.time()
    finally:
        loop.close()


class Dripping(httpx.AsyncByteStream):
    """A body that never ends, one byte in each beat."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(BEAT)


class Drip:
    """A platform of which one route drips, or says nothing at all."""

    def __init__(self, path: str, *, status: int = 200, silent: bool = False) -> None:
        self.path, self.status, self.silent = path, status, silent
        client = Pool("https://lms.example", httpx.MockTransport(self))
        retry = Retry(attempts=1)  # its own patience goes by the clock of the machine
        self.plain = Api("LMS", client, retry=retry)
        self.api = Api("LMS", client, retry=retry, auth=TokenAuth(lms_tokens(self.plain, "w", SecretStr("s"))))

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.rstrip("/") == self.path:
            if self.silent:
                await asyncio.sleep(BEAT * 86_400)
            return httpx.Response(self.status, stream=Dripping())
        if request.url.path == "/oauth2/access_token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3600, "token_type": "JWT"})
        return httpx.Response(204)


@pytest.mark.parametrize("patience", Patience)
@pytest.mark.parametrize("silent", [False, True], ids=["drips", "silent"])
@pytest.mark.parametrize("status", [200, 401, 503])
def test_an_answer_has_a_longest_time_as_a_whole(patience: Patience, silent: bool, status: int) -> None:
    """Each byte begins the patience of a read anew; the work may have been done."""
    drip = Drip("/x", status=status, silent=silent)

    ended, seconds = run(drip.plain.post("/x", patience=patience))

    assert isinstance(ended, Transient)
    assert (ended.in_doubt, ended.reason) == (True, f"the answer was not whole within {patience.value.whole:g} s")
    assert seconds == pytest.approx(patience.value.whole, abs=BEAT)


def test_a_step_a_listing_and_a_token_end_in_time() -> None:
    """Each by its own class, whatever the class of the operation that needs the token."""
    token = Drip("/oauth2/access_token")
    listing = Drip("/api/user/v1/accounts/retirement_queue")
    claim = Drip("/api/user/v1/accounts/retirement_partner_report")

    for work, longest in (
        (token.api.post("/x/", patience=Patience.SLOW), Patience.LOOKUP),
        (Lms(listing.api, STATES).rows.queue(["PENDING"], 7), Patience.LISTING),
        (Lms(claim.api, STATES).partner_queue.claim([].append), Patience.CLAIM),
    ):
        ended, seconds = run(work)
        assert isinstance(ended, Transient)
        assert seconds == pytest.approx(longest.value.whole, abs=BEAT)


def test_a_slow_answer_within_its_time_is_taken() -> None:
    """The bound is no other time limit in disguise."""

    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for each in b'["edX"]':
                await asyncio.sleep(BEAT * 8)
                yield bytes([each])

    async def service(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Slow())

    client = Pool("https://svc.example", httpx.MockTransport(service))
    ended, seconds = run(Api("SVC", client).get("/x/", patience=Patience.LOOKUP))

    assert getattr(ended, "data", None) == ["edX"]
    assert seconds == pytest.approx(56)


def test_a_cancelled_request_is_no_answer_that_is_late() -> None:
    """SIGTERM cancels: the error of the engine stays what it is."""

    async def cancelled() -> str:
        task = asyncio.create_task(Drip("/x").plain.get("/x"))
        await asyncio.sleep(BEAT * 5)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return "cancelled" if task.cancelled() else "answered"

    ended, seconds = run(cancelled())
    assert (ended, seconds) == ("cancelled", 5 * BEAT)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(headers: str, *pieces: bytes, endless: bytes = b"") -> AsyncIterator[Api]:
    """A real server that gives every request this answer, and then one piece for ever."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {headers}\r\nConnection: close\r\n\r\n".encode())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while endless:
                writer.write(endless)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = pool(f"http://127.0.0.1:{port}", 1)
    try:
        yield Api("SVC", client, retry=Retry(attempts=1))
    finally:
        await client.aclose()
        server.close()


@cache
def packed(megabytes: int, window: int) -> bytes:
    """So many megabytes of blanks, packed."""
    packer = zlib.compressobj(wbits=window)
    blanks = b" " * MEGABYTE
    return b"".join([*(packer.compress(blanks) for _ in range(megabytes)), packer.flush()])


GZIP, ZLIB, RAW = 31, 15, -15
JSON = "Content-Type: application/json"


@pytest.mark.sweep
@pytest.mark.anyio
@pytest.mark.parametrize("status", ["200 OK", "401 No", "404 Not Found", "503 Down"])
@pytest.mark.parametrize(("encoding", "window"), [("gzip", GZIP), ("deflate", ZLIB), ("deflate", RAW)])
async def test_a_body_that_grows_when_it_is_unpacked_is_cut(status: str, encoding: str, window: int) -> None:
    """While it is unpacked: what is held never grows much beyond the largest size."""
    bomb = packed(100, window)
    tracemalloc.start()
    try:
        async with serving(f"{status}\r\n{JSON}\r\nContent-Encoding: {encoding}", bomb) as api:
            with pytest.raises(Transient) as caught:
                await api.get("/x/", patience=Patience.LOOKUP)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (caught.value.reason, caught.value.in_doubt) == ("the answer is larger than 8 MB", True)
    assert caught.value.status == int(status[:3])
    assert peak < 4 * Patience.LOOKUP.value.largest


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "pieces", "endless"),
    [
        (JSON, [], b" " * 65536),
        (f"{JSON}\r\nContent-Length: 1000000000", [], b" " * 65536),
        (f"{JSON}\r\nTransfer-Encoding: chunked", [], b"10000\r\n" + b" " * 65536 + b"\r\n"),
        (f"{JSON}\r\nContent-Encoding: gzip", [gzip.compress(b"[]")], b" " * 65536),
    ],
    ids=["plain", "named", "chunked", "after-the-end"],
)
async def test_a_body_without_end_is_cut(headers: str, pieces: list[bytes], endless: bytes) -> None:
    """Packed or not, and also what follows on the end of what was packed."""
    async with serving(f"200 OK\r\n{headers}", *pieces, endless=endless) as api:
        with pytest.raises(Transient, match="larger than 8 MB"):
            await api.get("/x/", patience=Patience.LOOKUP)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(b" " * MEGABYTE))),
        ("deflate, gzip", gzip.compress(zlib.compress(b"[]"))),
        ("gzip", gzip.compress(b"[]")[:-3]),
        ("gzip", b"no gzip at all"),
        ("deflate", b"\xff\xff\xff"),
    ],
    ids=["twice", "two-ways", "half", "none", "no-deflate"],
)
async def test_what_cannot_be_unpacked_passes_by_itself(encoding: str, body: bytes) -> None:
    """It is a fault of the way, after the work was done perhaps. Packed twice is a millionfold at once."""
    async with serving(f"200 OK\r\n{JSON}\r\nContent-Encoding: {encoding}", body) as api:
        with pytest.raises(Transient, match="encoding cannot be read") as caught:
            await api.get("/x/")

    assert caught.value.in_doubt


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b'["edX"]')),
        ("X-GZIP", gzip.compress(b'["edX"]')),
        ("deflate", zlib.compress(b'["edX"]')),
        ("deflate", zlib.compress(b'["edX"]')[2:-4]),
        ("identity", b'["edX"]'),
        ("gzip, identity", gzip.compress(b'["edX"]')),
    ],
)
async def test_what_is_packed_as_asked_is_read(encoding: str, body: bytes) -> None:
    """With and without the head of zlib."""
    async with serving(f"200 OK\r\n{JSON}\r\nContent-Encoding: {encoding}", body[:3], body[3:]) as api:
        assert (await api.get("/x/")).data == ["edX"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(204, headers=[("set-cookie", "a=1"), ("set-cookie", "b=2; Path=/")]),
        httpx.Response(204, headers={"set-cookie": "session=1; Domain=svc.example; Max-Age=99999"}),
        httpx.Response(503, headers={"set-cookie": "sticky=7; Secure; HttpOnly"}),
    ],
)
async def test_no_cookie_is_kept_or_sent(answer: httpx.Response) -> None:
    """A session is a state that two learners would share; their number has no bound either."""
    script = Script(answer, httpx.Response(204))
    api = script.api(naps=Naps())

    for _ in range(3):
        await api.get("/x/")

    assert all("cookie" not in each.headers for each in script.requests)
    assert len(script.requests) >= 3


@pytest.mark.anyio
async def test_no_cookie_of_a_token_endpoint_or_a_refusal_is_kept() -> None:
    """Nor between the two requests of one call, when a token is renewed."""
    seen: list[httpx.Request] = []

    async def platform(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        named = {"set-cookie": f"n{len(seen)}={'x' * 3000}"}
        if request.url.path == "/oauth2/access_token":
            grant = {"access_token": f"t{len(seen)}", "expires_in": 3600, "token_type": "JWT"}
            return httpx.Response(200, json=grant, headers=named)
        return httpx.Response(401, json={"detail": "stale"}, headers=named)

    client = Pool("https://lms.example", httpx.MockTransport(platform))
    plain = Api("LMS", client)
    api = Api("LMS", client, auth=TokenAuth(lms_tokens(plain, "w", SecretStr("s"))))

    with pytest.raises(Misconfigured):
        await api.get("/x/")

    assert len(seen) == 4
    assert all("cookie" not in each.headers for each in seen)
