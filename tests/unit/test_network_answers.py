"""Real connections: what is sent, what an answer may look like on the wire, and which connection it comes from."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote

import httpx
import pytest

from retirement.errors import Transient
from retirement.wire import network
from retirement.wire.api import Api, Retry
from retirement.wire.patience import MEGABYTE
from retirement.wire.pool import pool
from tests.patient import PATIENCE

from .services_on_sockets import OK, PATH, WHOLE, Service, client_of, close, failed, stay

pytestmark = pytest.mark.anyio

NAMES = [
    "a/b",
    "a%2Fb",
    "?",
    "#x",
    "a b",
    "ä",
    "+",
    "%",
    ";v=1",
    "'\"<>\\^`{|}",
    "~._-",
    "\u202e",
    "a&b=c",
    "@:",
    "x\ty",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_what_is_sent_is_what_was_built(method: str) -> None:
    """Line, headers and body: nothing of the library's own, and no name is encoded in another way."""
    service = Service((OK + b"Content-Length: 0\r\nSet-Cookie: a=1\r\n\r\n", stay))
    async with service.open() as client:
        for name in NAMES:
            content = name.encode() if method in ("POST", "PUT", "PATCH") else None
            url = f"/x/{quote(name, safe='')}/"
            headers = [("X-A", "1"), ("Expect", "100-continue"), ("x-a", "2"), ("X-B", ""), ("X-A", "1")]
            query = [("q", name), ("q", "")]
            request = client.build_request(method, url, params=query, content=content, headers=headers)
            await client.send(request)
            lines = [b"%s %s HTTP/1.1" % (method.encode(), request.url.raw_path)]
            lines += [b": ".join(header) for header in request.headers.raw if header[0] != b"Cookie"]
            assert service.heads[-1] == b"\r\n".join([*lines, b"", b""])
            assert service.bodies[-1] == (content or b"")

    assert len(service.writers) == 1


async def test_an_address_that_would_be_sent_as_another_one_is_not_sent() -> None:
    """A mark of a query without a query, which would be lost."""
    service = Service((WHOLE, stay))
    async with service.open() as client:
        error = await failed(client.delete("/x/?"))

    assert (type(error), service.heads) == (httpx.LocalProtocolError, [])


@pytest.mark.parametrize("value", ["canary\r\nX: y", "canary\n", "canary\0"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_header_that_would_begin_another_one_is_not_sent(method: str, value: str) -> None:
    """As a token with a line break; the error does not show it."""
    service = Service((WHOLE, stay))
    async with service.open() as client:
        error = await failed(client.request(method, "/x/", headers={"X-Token": value}, content=b"{}"))
        await asyncio.sleep(0)

    assert (type(error), service.heads) == (httpx.LocalProtocolError, [])


async def pieces() -> AsyncIterator[bytes]:
    yield b"canary"


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ([], pieces),
        ([("Transfer-Encoding", "chunked")], b"canary"),
        ([("Content-Length", "3")], b"canary"),
        ([("Content-Length", "9")], b"canary"),
        ([("Content-Length", "6"), ("Content-Length", "6")], b"canary"),
        ([("X: y", "canary")], b""),
        ([("", "canary")], b""),
    ],
)
async def test_a_request_whose_end_its_headers_do_not_say_is_not_sent(
    headers: list[tuple[str, str]], content: bytes | Callable[[], AsyncIterator[bytes]]
) -> None:
    """What follows on it would be read as another request, or waited for."""
    service = Service((WHOLE, stay))
    async with service.open() as client:
        body = content if isinstance(content, bytes) else content()
        error = await failed(client.post("/x/", headers=headers, content=body))

    assert (type(error), service.heads) == (httpx.LocalProtocolError, [])


@pytest.mark.parametrize(
    ("method", "url", "kind"),
    [
        ("GET", "ftp://mail.example/canary", httpx.UnsupportedProtocol),
        ("GET", "http://mail.example:99999/canary", httpx.LocalProtocolError),
        ("GET\r\ncanary", "http://mail.example/", httpx.LocalProtocolError),
    ],
)
async def test_what_the_library_does_not_take_is_said_as_all_else(
    method: str, url: str, kind: type[httpx.TransportError]
) -> None:
    """Without the address, which the library's exceptions have."""
    async with client_of("http://mail.example", 1) as client:
        assert type(await failed(client.request(method, url))) is kind


ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "length": (WHOLE, 200, b'["right"]'),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", 200, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n1", 200, b"1"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /y/\r\nContent-Length: 0\r\n\r\n", 302, b""),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n" + WHOLE, 200, b'["right"]'),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n1;ext=x\r\n5\r\n0\r\n\r\n", 200, b"12345"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\nX-Sum: y\r\n\r\n", 200, b"1"),
    "packed as it is": (OK + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\n\x0b\x01\x80", 200, b"\x0b\x01\x80"),
}
LAST: dict[str, tuple[bytes, int, bytes]] = {
    "switching": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, b""),
    "last": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n1", 200, b"1"),
    "no end": (OK + b"\r\n123", 200, b"123"),
    "no end, old": (b"HTTP/1.0 200 OK\r\n\r\n123", 200, b"123"),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, b"1"),
}


@pytest.mark.parametrize("form", [*ANSWERS, *LAST])
@pytest.mark.parametrize("parts", [1, 5, 1000])
async def test_the_forms_of_an_answer(form: str, parts: int) -> None:
    """Raw, as it was sent; a connection is kept unless the answer ends it."""
    said, status, body = (ANSWERS | LAST)[form]
    service = Service((said, close if "no end" in form else stay), parts=parts)
    async with service.open() as client:
        for _ in range(3):
            async with client.stream("GET", PATH) as answer:
                assert answer.status_code == status
                assert b"".join([piece async for piece in answer.aiter_raw()]) == body

    assert len(service.heads) == 3
    assert len(service.writers) == (3 if form in LAST else 1)


@pytest.mark.parametrize("head", [OK + b"Content-Length: 9\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_an_answer_to_head_names_a_length_and_has_no_body(head: bytes) -> None:
    """The next answer begins right after it."""
    service = Service((head, stay))
    async with service.open() as client:
        for _ in range(3):
            assert (await client.head(PATH)).content == b""

    assert len(service.writers) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_body_where_none_is_due_is_not_read(method: str) -> None:
    """As some frameworks send it with 204; it ends the connection, and begins no other answer."""
    body = b'Content-Length: 15\r\n\r\n{"answer": true}'
    said = (OK if method == "HEAD" else b"HTTP/1.1 204 No Content\r\n") + body
    service = Service((said, stay))
    async with service.open() as client:
        for _ in range(3):
            assert (await client.request(method, PATH)).content == b""

    assert len(service.heads) == 3


@pytest.mark.parametrize("answer", [WHOLE, b"HTTP/1.1 204 No Content\r\n\r\n"])
@pytest.mark.parametrize("much", [WHOLE, WHOLE[:25], b"\r\n", b"x", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("later", [False, True], ids=["with", "later"])
async def test_what_comes_without_a_request_ends_its_connection(
    answer: bytes, much: bytes, method: str, later: bool
) -> None:
    """In the packet of an answer, or while no request is under way; the next one takes another connection."""
    service = Service((answer if later else answer + much, stay), (answer, stay))
    async with service.open() as client:
        await client.request(method, "/", content=b"{}")
        if later:
            service.writers[0].write(much)
            if method == "GET":
                await asyncio.sleep(0.01)  # it is in the library by then, else in the system
        second = await client.request(method, PATH, content=b"{}")

    assert second.content in answer
    assert len(service.heads) == 2
    if later or much == WHOLE:
        assert len(service.writers) == 2


async def test_a_service_that_talks_first_is_not_believed() -> None:
    """On a new connection; where it comes after the request was written, nothing tells it from an answer."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await writer.drain()
        writer.close()

    server, loop = await asyncio.start_server(serve, "127.0.0.1", 0), asyncio.get_running_loop()
    line = network._Line(loop)
    async with server:
        transport, _ = await loop.create_connection(lambda: line, *server.sockets[0].getsockname())
        while not line.should_close:  # noqa: ASYNC110 - the loop tells no one
            await asyncio.sleep(0)
        with pytest.raises(httpx.RemoteProtocolError):
            line.require_silence()
        transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_kept_connection_that_was_closed_is_not_taken(method: str) -> None:
    """Nothing is sent on it, so that nothing is in doubt."""
    service = Service((WHOLE, close), (WHOLE, stay))
    async with service.open() as client:
        await client.get("/")
        await service.writers[0].wait_closed()
        assert (await client.request(method, PATH)).status_code == 200

    assert len(service.heads) == 2


@asynccontextmanager
async def listening(said: bytes) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that reads heads only, and answers each before the body is there."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            await left.wait()
        writer.transport.abort()

    left = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    try:
        async with client_of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 1) as client:
            yield client
    finally:
        left.set()
        server.close()


@pytest.mark.parametrize("size", [10, 4 * MEGABYTE])
async def test_an_answer_that_is_there_before_the_whole_request_is_taken(size: int) -> None:
    """As of a service that refuses what is too large for it, and reads no more of it."""
    async with listening(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n") as client:
        assert (await client.post("/", content=b"x" * size)).status_code == 413
        if size > MEGABYTE:  # on another connection
            assert (await client.post("/", content=b"x" * size)).status_code == 413


async def test_a_body_that_nothing_reads_is_given_up() -> None:
    """A limit of its own, since no answer is waited for yet."""
    async with listening(b"") as client:
        seconds = httpx.Timeout(PATIENCE, write=0.1)
        error = await failed(client.post("/", content=b"x" * 20 * MEGABYTE, timeout=seconds))

    assert type(error) is httpx.WriteTimeout


@pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 9\r\n\r\n[", OK + b"\r\n["])
async def test_silence_is_no_answer_in_time(said: bytes) -> None:
    """Within head and body."""
    service = Service((said, stay))
    async with service.open() as client:
        error = await failed(client.get(PATH, timeout=httpx.Timeout(PATIENCE, read=0.05)))

    assert type(error) is httpx.ReadTimeout


@pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 9\r\n\r\n["], ids=["head", "half", "body"])
async def test_a_request_that_was_cancelled_leaves_no_connection_to_another_one(said: bytes) -> None:
    """Its answer would be the next one's; its place is free again."""
    service = Service((said, stay), (WHOLE, stay))
    async with service.open(most=1) as client:
        for _ in range(3):
            service.answers.insert(0, (said, stay))
            task, asked = asyncio.create_task(client.get(PATH)), len(service.heads)
            while len(service.heads) == asked:  # noqa: ASYNC110 - the server knows nothing of its test
                await asyncio.sleep(0.01)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            service.writers[-1].write(WHOLE)
        service.answers = [(WHOLE, stay)]
        assert (await client.get("/")).json() == ["right"]

    assert len(service.writers) == 4
    assert len(service.heads) == 4


async def test_an_answer_that_is_not_read_ends_its_connection() -> None:
    """What is left of it belongs to no other request."""
    service = Service((OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000, stay), (WHOLE, stay))
    async with service.open(most=1) as client:
        async with client.stream("GET", PATH):
            pass
        assert (await client.get("/")).json() == ["right"]

    assert len(service.writers) == 2


async def test_no_more_connections_than_places_and_a_wait_for_one_has_an_end() -> None:
    """That request was not sent."""
    service = Service((WHOLE, stay))
    async with service.open(most=1) as client:  # two places, for a second request of each learner
        async with client.stream("GET", "/"), client.stream("GET", "/"):
            error = await failed(client.get(PATH, timeout=httpx.Timeout(PATIENCE, pool=0.01)))
        answers = await asyncio.gather(*(client.get("/") for _ in range(20)))

    assert type(error) is httpx.PoolTimeout
    assert {each.status_code for each in answers} == {200}
    assert len(service.heads) == 22
    assert len(service.writers) <= 4


async def test_idle_connections_are_ours_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the service does it."""
    monkeypatch.setattr(network, "IDLE_SECONDS", 0.0)
    service = Service((WHOLE, stay))
    async with service.open() as client:
        for _ in range(3):
            assert (await client.get("/")).status_code == 200

    assert len(service.writers) == 3


async def test_a_large_answer_is_read_no_faster_than_it_is_taken() -> None:
    """What the service sends meanwhile waits in the system; the connection is kept."""
    size = 30 * MEGABYTE
    service = Service((OK + b"Content-Length: %d\r\n\r\n" % size + bytes(size), stay))
    async with service.open(most=1) as client:
        for _ in range(2):
            tracemalloc.start()
            try:
                async with client.stream("GET", "/") as answer:
                    await asyncio.sleep(0.05)
                    taken = 0
                    async for piece in answer.aiter_raw():
                        taken += len(piece)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert taken == size

    assert len(service.writers) == 1
    assert peak < 2 * size  # the server's part of it is in this process


def test_each_loop_has_a_client_of_its_own() -> None:
    """Flows run in threads, each with a loop; what was closed leaves nothing that warns."""

    async def asked() -> int:
        service = Service((WHOLE, stay))
        async with service.open() as client:
            await client.get("/")
        return len(service.heads)

    assert [asyncio.run(asked()), asyncio.run(asked())] == [1, 1]


async def test_a_lost_answer_is_in_doubt_and_a_refused_connection_is_not() -> None:
    """As the errors of ours say it."""
    service = Service((b"", close))
    async with service.open(), pool(service.url, 1) as connections:
        with pytest.raises(Transient) as lost:
            await Api("SVC", connections, retry=Retry(attempts=1)).delete("/x/")
    async with pool(service.url, 1) as connections:
        with pytest.raises(Transient) as refused:
            await Api("SVC", connections, retry=Retry(attempts=1)).delete("/x/")

    assert (lost.value.in_doubt, refused.value.in_doubt) == (True, False)
