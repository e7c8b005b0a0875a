"""Real connections: what each way to fail means for a request, and what an answer may look like on the wire."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from retirement.wire.certificates import certificates
from retirement.wire.network import Network
from tests.patient import PATIENCE

from .mailboxes import self_signed
from .services_on_sockets import OK, PATH, WHOLE, End, Service, client_of, close, failed, reset, stay

pytestmark = pytest.mark.anyio

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

LOST: dict[str, tuple[bytes, End, type[httpx.TransportError]]] = {
    "closed": (b"", close, httpx.RemoteProtocolError),
    "reset": (b"", reset, httpx.ReadError),
    "half a head": (OK + b"Content-Le", close, httpx.RemoteProtocolError),
    "half a head, reset": (OK + b"Content-Le", reset, httpx.ReadError),
    "only interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n",
        close,
        httpx.RemoteProtocolError,
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", stay, httpx.RemoteProtocolError),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", stay, httpx.RemoteProtocolError),
    "no header": (OK + b"no header\r\n\r\n", stay, httpx.RemoteProtocolError),
    "a header too long": (OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n", stay, httpx.RemoteProtocolError),
    "headers too many": (OK + b"X: x\r\n" * 20_000 + b"\r\n", stay, httpx.RemoteProtocolError),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12", stay, httpx.RemoteProtocolError),
    "no length": (OK + b"Content-Length: -1\r\n\r\n12", stay, httpx.RemoteProtocolError),
    "body cut": (OK + b'Content-Length: 9\r\n\r\n["rig', close, httpx.RemoteProtocolError),
    "body cut, reset": (OK + b'Content-Length: 9\r\n\r\n["rig', reset, httpx.RemoteProtocolError),
    "chunks cut": (OK + b'Transfer-Encoding: chunked\r\n\r\n9\r\n["right"]\r\n', close, httpx.RemoteProtocolError),
    "chunk bad": (OK + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n["right"]\r\n', stay, httpx.RemoteProtocolError),
    "no end, reset": (OK + b'\r\n["right"]', reset, httpx.ReadError),
    "no end, coded, reset": (OK + b'Transfer-Encoding: x-chunked\r\n\r\n["right"]', reset, httpx.ReadError),
}


@pytest.mark.sweep
@pytest.mark.parametrize("way", LOST)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "kept"])
@pytest.mark.parametrize("parts", [1, 9])
async def test_a_lost_answer_is_no_lost_connection_and_nothing_is_sent_again(
    way: str, method: str, is_first: bool, parts: int
) -> None:
    """Also on a connection that was kept, and where the method may be repeated: what was done is not known."""
    said, end, kind = LOST[way]
    if method == "HEAD" and ("Length: 9" in said.decode("latin-1") or "chunk" in way or "no end" in way):
        pytest.skip("no body is due")
    service = Service(*([] if is_first else [(WHOLE, stay)]), (said, end), (WHOLE, close), parts=parts)
    async with service.open() as client:
        if not is_first:
            await client.get("/")
        error = await failed(client.request(method, PATH, content=b"{}" if method[0] == "P" else None))

    assert type(error) is kind
    assert len(service.heads) == 2 - is_first
    assert len(service.writers) == 1


@asynccontextmanager
async def talking(said: bytes, end: End) -> AsyncIterator[int]:
    """A server that says something at once, whatever it is asked; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(1)
            writer.write(said)
            await writer.drain()
            end(writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def refusing() -> int:
    """A port of this machine at which no program listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


NEVER = {
    "no TLS": (b"HTTP/1.1 400 Bad Request\r\n\r\n", stay, httpx.ConnectError),
    "closed within TLS": (b"", close, httpx.ConnectError),
    "reset within TLS": (b"", reset, httpx.ConnectError),
    "silent": (b"", stay, httpx.ConnectTimeout),
}


@pytest.mark.parametrize("way", NEVER)
async def test_what_ends_before_a_byte_of_the_request_was_not_sent(way: str) -> None:
    """An address, and a server without TLS."""
    said, end, kind = NEVER[way]
    seconds = httpx.Timeout(PATIENCE, connect=0.1 if way == "silent" else PATIENCE)
    async with talking(said, end) as port, client_of(f"https://127.0.0.1:{port}", 1) as client:
        error = await failed(client.delete(PATH, timeout=seconds))

    assert type(error) is kind


@pytest.mark.parametrize("host", ["127.0.0.1", "canary.invalid"])
async def test_a_host_that_is_not_there_was_sent_nothing(host: str) -> None:
    """Refused, or a name that nothing knows."""
    async with client_of(f"http://{host}:{refusing()}", 1) as client:
        error = await failed(client.delete(PATH))

    assert type(error) is httpx.ConnectError


THROUGH = {
    "refused": (b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", stay, httpx.ProxyError),
    "no credentials": (b"HTTP/1.1 407 No\r\nConnection: close\r\n\r\n", close, httpx.ProxyError),
    "closed": (b"", close, httpx.ConnectError),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", stay, httpx.ConnectError),
    "silent": (b"", stay, httpx.ConnectTimeout),
}


@pytest.mark.parametrize("way", THROUGH)
async def test_what_a_proxy_does_before_the_tunnel_was_not_sent(way: str) -> None:
    """Its password is in no error either."""
    said, end, kind = THROUGH[way]
    bound = 0.1 if way == "silent" else PATIENCE
    async with talking(said, end) as port:
        proxy = httpx.Proxy(f"http://canary:canary%40pass@127.0.0.1:{port}")
        async with httpx.AsyncClient(transport=Network(1, certificates(), proxy), timeout=bound) as client:
            error = await failed(client.delete(f"https://lms.example{PATH}"))

    assert type(error) is kind


async def tunnel(told: list[bytes], port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that leads wherever it is asked to this port."""
    told.append(await reader.readuntil(b"\r\n\r\n"))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await joined(port, reader, writer)


async def joined(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes both ways on what comes, until one of them ends."""
    theirs, ours = await asyncio.open_connection("127.0.0.1", port)

    async def passed(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await one.read(65536):
                other.write(piece)
        other.close()

    await asyncio.gather(passed(reader, ours), passed(theirs, writer))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_leads_to_the_service_whose_certificate_is_looked_at(scheme: str, tmp_path: Path) -> None:
    """It is told the host and its password, and sees nothing of the request; the tunnel is kept."""
    file = self_signed(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(file)
    trusted = ssl.create_default_context(cafile=file)
    service, told = Service((WHOLE, stay)), list[bytes]()
    async with service.open(tls=shown):
        port = int(service.url.rpartition(":")[2])
        listening = await asyncio.start_server(
            lambda *both: tunnel(told, port, *both), "127.0.0.1", 0, ssl=shown if scheme == "https" else None
        )
        proxy = httpx.Proxy(f"{scheme}://us%40er:pass@localhost:{listening.sockets[0].getsockname()[1]}")
        async with listening, httpx.AsyncClient(transport=Network(1, trusted, proxy)) as client:
            for _ in range(2):
                assert (await client.get(f"https://localhost{PATH}")).json() == ["right"]

    assert [each.split(b"\r\n")[0] for each in told] == [b"CONNECT localhost:443 HTTP/1.1"]
    assert b"Proxy-Authorization: Basic dXNAZXI6cGFzcw==\r\n" in told[0]
    assert [b"proxy" in each.lower() for each in service.heads] == [False, False]


async def socks(told: list[bytes], port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A SOCKS5 proxy that takes one password, and leads wherever it is asked to this port."""
    methods = await reader.readexactly((await reader.readexactly(2))[1])
    if 2 not in methods:
        writer.write(b"\x05\xff")
        writer.close()
        return
    writer.write(b"\x05\x02")
    user = await reader.readexactly((await reader.readexactly(2))[1])
    password = await reader.readexactly((await reader.readexactly(1))[0])
    writer.write(b"\x01\x00")
    await reader.readexactly(4)
    host = await reader.readexactly((await reader.readexactly(1))[0])
    await reader.readexactly(2)
    told += [user, password, host]
    writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
    await joined(port, reader, writer)


async def test_a_socks_proxy_leads_to_the_service(tmp_path: Path) -> None:
    """It looks for the host itself; without its password it refuses, and where it is not there, nothing is sent."""
    file = self_signed(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(file)
    trusted = ssl.create_default_context(cafile=file)
    service, told, kinds = Service((WHOLE, stay)), list[bytes](), []
    async with service.open(tls=shown):
        port = int(service.url.rpartition(":")[2])
        listening = await asyncio.start_server(lambda *both: socks(told, port, *both), "127.0.0.1", 0)
        there = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with listening:
            proxy = httpx.Proxy(f"socks5h://us%40er:pass@{there}")
            async with httpx.AsyncClient(transport=Network(1, trusted, proxy)) as client:
                for _ in range(2):
                    assert (await client.get(f"https://localhost{PATH}")).json() == ["right"]
            for context, at in (
                (trusted, there),
                (trusted, f"127.0.0.1:{refusing()}"),
                (certificates(), f"u:p@{there}"),
            ):
                proxy = httpx.Proxy(f"socks5://{at}")
                async with httpx.AsyncClient(transport=Network(1, context, proxy)) as client:
                    kinds.append(await failed(client.delete(f"https://localhost{PATH}")))

    assert told[:3] == [b"us@er", b"pass", b"localhost"]
    assert [type(each) for each in kinds] == [httpx.ProxyError, httpx.ConnectError, httpx.ConnectError]
    assert str(kinds[-1]) == "CERTIFICATE_VERIFY_FAILED"
    assert (len(told), len(service.heads)) == (6, 2)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_is_of_this_host_and_of_an_authority_that_is_trusted(host: str, tmp_path: Path) -> None:
    """Its own file is trusted here, and names one host."""
    file = self_signed(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(file)
    service = Service((WHOLE, stay))
    async with service.open(tls=shown) as by_default:
        url = service.url.replace("127.0.0.1", host) + PATH
        error = await failed(by_default.delete(url))
        async with httpx.AsyncClient(transport=Network(1, ssl.create_default_context(cafile=file))) as client:
            answered = host == "localhost"
            for _ in range(2):
                if answered:
                    assert (await client.delete(url)).json() == ["right"]
                else:
                    assert "CERTIFICATE_VERIFY_FAILED" in str(await failed(client.delete(url)))

    assert (type(error), str(error)) == (httpx.ConnectError, "CERTIFICATE_VERIFY_FAILED")
    assert len(service.heads) == 2 * answered


def garble(writer: asyncio.StreamWriter) -> None:
    """Bytes that no holder of the key has written, and the end."""
    os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    writer.transport.abort()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_answer_that_ends_in_garbled_tls_is_not_whole(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """Where nothing but the end of the connection says how long it is."""
    file = self_signed(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(file)
    shown.maximum_version = version
    service = Service((OK + b'\r\n["right"]', garble))
    async with service.open(tls=shown):
        url = service.url.replace("127.0.0.1", "localhost") + PATH
        async with httpx.AsyncClient(transport=Network(1, ssl.create_default_context(cafile=file))) as client:
            error = await failed(client.delete(url))

    assert type(error) is httpx.ReadError
