"""Requests over real connections, by aiohttp below httpx: a third of the CPU time that httpx' own pool takes.

What went wrong is said in httpx' exceptions (`failures`). A connection is taken only where nothing has come in since
its last answer: a server that answers twice has said that to another request, perhaps another learner's.
"""

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache, partial
from io import BytesIO
from select import POLLIN, poll
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from retirement.wire.failures import meaning_of
from retirement.wire.patience import IDLE_SECONDS

#: Bytes of the first line of an answer, and of one of its headers.
LONGEST_LINE = 64 * 1024
#: Bytes of a body that the system takes at once; for more of them the service has to read meanwhile.
_AT_ONCE = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"
#: The name of a header (RFC 9110, 5.6.2).
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TOO_EARLY = "an answer was there before its request"


class _Stale(Exception):
    """An idle connection has something to say, or is at its end; nothing was written to it."""


class Network(httpx.AsyncBaseTransport):
    """Connections to one service, at most so many; the event loop of the first request keeps them.

    No redirect is followed, no cookie kept, no request sent twice, and no header added to those of the request.
    """

    def __init__(self, most: int, trusted: ssl.SSLContext, proxy: httpx.Proxy | None = None) -> None:
        self._most, self._trusted = most, trusted
        self._places = asyncio.Semaphore(most)
        self._session: aiohttp.ClientSession | None = None
        self._socks = proxy if proxy and proxy.url.scheme.startswith("socks") else None
        self._proxy = _through(proxy) if proxy and not self._socks else {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, with its body still to come. Raises `httpx.TransportError`."""
        seconds = request.extensions.get("timeout", {})
        await self._place(seconds.get("pool"))
        try:
            answer = await self._answer(request, seconds)
        except BaseException:
            self._places.release()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Body(answer, self._places.release),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _place(self, seconds: float | None) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("no free connection in time") from None

    async def _answer(self, request: httpx.Request, seconds: Mapping[str, float | None]) -> "_Response":
        session = self._session = self._session or self._opened()
        content = await request.aread()
        address, asked = _address(request), _Asked(_headers(request, content), seconds.get("write"))
        times = _times(bool(self._proxy), seconds.get("connect"), seconds.get("read"))
        # Each turn that fails ends an idle connection, and there are no more of them.
        for _ in range(self._most + 1):
            try:
                answer = await session.request(
                    request.method,
                    address,
                    # A large body in pieces, each when the one before it is on its way.
                    data=BytesIO(content) if len(content) > _AT_ONCE else content or None,
                    allow_redirects=False,
                    timeout=times,
                    # aiohttp repeats what it thinks may be repeated; not what ends with an exception of ours.
                    middlewares=(partial(_meant, asked),),
                    **self._proxy,
                )
            except _Stale:
                continue
            except httpx.TransportError:
                raise
            except Exception as error:  # noqa: BLE001 - what is none of these is raised again
                meaning = meaning_of(error, is_sent=asked.has_begun)
            else:
                assert isinstance(answer, _Response)  # noqa: S101 - the session makes no others
                return answer
            raise meaning
        raise httpx.RemoteProtocolError(_TOO_EARLY)

    def _opened(self) -> aiohttp.ClientSession:
        # How many there are is told by our places: to wait for one and to connect have times of their own.
        given: dict[str, Any] = {"ssl": self._trusted, "limit": 0, "keepalive_timeout": IDLE_SECONDS}
        if self._socks:
            connector = _through_socks(self._socks, given)
        else:
            connector = aiohttp.TCPConnector(**given, use_dns_cache=False, resolver=aiohttp.ThreadedResolver())
            connector._factory = partial(_line, connector._loop)
        return aiohttp.ClientSession(
            connector=connector,
            request_class=_Request,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            auto_decompress=False,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
        )


def _through(proxy: httpx.Proxy) -> dict[str, Any]:
    headers = dict(proxy.headers)
    if proxy.raw_auth:
        headers["Proxy-Authorization"] = f"Basic {b64encode(b':'.join(proxy.raw_auth)).decode('ascii')}"
    return {"proxy": URL(str(proxy.url), encoded=True), "proxy_headers": headers}


def _through_socks(proxy: httpx.Proxy, given: Mapping[str, Any]) -> aiohttp.TCPConnector:
    # Here, since the package is installed where a site has such a proxy.
    import python_socks
    from aiohttp_socks import ProxyConnector, ProxyType

    class Through(ProxyConnector):
        async def _connect_via_proxy(self, *of: Any, **named: Any) -> tuple[asyncio.Transport, ResponseHandler]:
            try:
                transport, theirs = await super()._connect_via_proxy(*of, **named)
            except python_socks.ProxyTimeoutError:
                raise httpx.ConnectTimeout("no connection in time") from None
            except python_socks.ProxyConnectionError:
                raise httpx.ConnectError("no connection") from None
            except python_socks.ProxyError:
                raise httpx.ProxyError("the proxy refused") from None
            line = _Line(self._loop)
            line.writer = theirs
            transport.set_protocol(line)
            line.connection_made(transport)
            return transport, line

    user, password = proxy.auth or (None, None)
    return Through(
        proxy.url.host,
        proxy.url.port or 1080,
        ProxyType.SOCKS5,
        user,
        password,
        rdns=True,
        **given,
    )


def _address(request: httpx.Request) -> URL:
    """The URL just as it is: what is encoded in a path is the name of a learner."""
    try:
        url = URL(str(request.url), encoded=True)
    except ValueError:
        raise httpx.LocalProtocolError("no address") from None
    if url.raw_path_qs.encode() != request.url.raw_path:
        raise httpx.LocalProtocolError("an address that would be sent as another one")
    return url


def _headers(request: httpx.Request, content: bytes) -> list[tuple[str, str]]:
    """Those of httpx, which have to name the body as it is sent: else what follows on it would be another request."""
    is_framed = "transfer-encoding" not in request.headers
    if not is_framed or request.headers.get("content-length", "0") != str(len(content)):
        raise httpx.LocalProtocolError("a body of another length than its header says")
    if not all(_NAME.fullmatch(name) for name, _ in request.headers.raw):
        raise httpx.LocalProtocolError("a header that cannot be sent")
    try:
        return [(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw]
    except UnicodeDecodeError:
        raise httpx.LocalProtocolError("a header that cannot be sent") from None


@lru_cache
def _times(through_proxy: bool, connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    """The times of a request: for one address with TLS, for all until there is a connection, and so on."""
    whole = connect + read if through_proxy and connect and read else connect
    return aiohttp.ClientTimeout(total=None, connect=whole, sock_connect=connect, sock_read=read)


class _Asked:
    """What aiohttp is not told of a request: headers as they are, and seconds for a body that takes time."""

    #: Whether aiohttp took the request, so that an exception says something of a connection.
    has_begun = False

    def __init__(self, headers: list[tuple[str, str]], write_seconds: float | None) -> None:
        self.headers, self.write_seconds = headers, write_seconds


class _Line(ResponseHandler):
    """A connection. It remembers whether it has answered before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.is_asked = self.has_answered = False
        #: What has to live as long as the connection.
        self.writer: object = None

    def data_received(self, data: bytes) -> None:
        """Called by the event loop. The head by itself: garbage after it, as a body of 204, would take it away too."""
        if data and not self.is_asked:
            self.force_close()
        end = data.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        if len(_END_OF_HEAD) <= end < len(data):
            super().data_received(data[:end])
            data = data[end:]
        super().data_received(data)
        # A chunk that is none ends the connection, and nothing but this the body that waits for it.
        body = self._payload
        if body is not None and self.exception() is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the event loop. A body that only the end of the connection ends is not whole where it broke."""
        body = self._payload if self._payload is not None and not self._payload.is_eof() else None
        super().connection_lost(exc)
        # Many servers end TLS without saying so.
        is_broken = exc is not None and not isinstance(exc, ssl.SSLEOFError)
        if is_broken and body is not None and body.exception() is None:
            body.set_exception(aiohttp.ClientOSError())

    def rest(self) -> None:
        """Its answer is whole, and nothing else is due."""
        self.is_asked = False

    def require_silence(self) -> None:
        """Raises where something came in that no request asked for: it would be taken for the answer to the next one.

        What the system has of it counts where an answer has been read before; a new one may talk of TLS first.
        """
        if self.should_close or self.transport is None or self.transport.is_closing():
            raise _Stale if self.has_answered else httpx.RemoteProtocolError(_TOO_EARLY)
        if self.has_answered:
            waiting = poll()
            waiting.register(self.transport.get_extra_info("socket").fileno(), POLLIN)
            if waiting.poll(0):
                raise _Stale


def _line(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Line(loop)


class _Request(aiohttp.ClientRequest):
    """A request that knows whether a byte of it may have been written."""

    is_sent = False
    #: What ended it while it was written, before all others.
    failure: Exception | None = None
    asked: _Asked
    line: _Line
    _transport: asyncio.Transport | None = None

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Writes the request, or sees to it; raises `_Stale` for a connection that is of no use."""
        line = conn.protocol
        assert isinstance(line, _Line)  # noqa: S101 - the connector makes no others
        line.require_silence()
        line.is_asked = True
        self.line, self._transport = line, line.transport
        self.is_sent = True
        self.headers.clear()
        self.headers.extend(self.asked.headers)
        try:
            return await super().send(conn)
        except ValueError:
            self.failure = httpx.LocalProtocolError("a header that cannot be sent")
        raise self.failure

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Writes head and body, on Python 3.11 a turn of the loop later; what broke, the wait for the answer says."""
        seconds = self.asked.write_seconds if content_length and content_length > _AT_ONCE else None
        try:
            self.line.require_silence()
            async with asyncio.timeout(seconds):
                await super().write_bytes(writer, conn, content_length)
        except (_Stale, httpx.RemoteProtocolError) as too_early:
            self.failure = too_early
            self.abort()
        except TimeoutError:
            self.failure = httpx.WriteTimeout("not sent in time")
            self.abort()
        except (aiohttp.ClientError, OSError):
            self.abort()

    def abort(self) -> None:
        """Ends its connection without waiting for a service that reads no more."""
        if self._transport is not None:
            self._transport.abort()


async def _meant(
    asked: _Asked, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Says what went wrong in httpx' words; raised outside of its block, so that no other exception hangs on it."""
    assert isinstance(request, _Request)  # noqa: S101 - the session makes no others
    request.asked, asked.has_begun = asked, True
    try:
        answer = await handler(request)
    except (_Stale, httpx.TransportError):
        raise
    except Exception as error:  # noqa: BLE001 - what is none of these is raised again
        meaning = request.failure or meaning_of(error, is_sent=request.is_sent)
    except BaseException:
        request.abort()
        raise
    else:
        if request.failure is None:
            return answer
        answer.close()
        meaning = request.failure
    request.abort()
    raise meaning


class _Response(aiohttp.ClientResponse):
    """An answer of which the head is there."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Waits for the head."""
        line = connection.protocol
        assert isinstance(line, _Line)  # noqa: S101 - the connector makes no others
        await super().start(connection)
        line.has_answered = True
        self.content.on_eof(line.rest)
        return self


class _Body(httpx.AsyncByteStream):
    """The bytes of an answer as they come in; `left` is called once, when the answer is done with."""

    def __init__(self, answer: _Response, left: Callable[[], None]) -> None:
        self._answer, self._left = answer, left
        self._is_open = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._piece():
            yield piece
        if self._answer.content.exception() is not None:  # with the end, which woke the reader before
            raise httpx.ReadError("broken before the answer was whole")

    async def _piece(self) -> bytes:
        try:
            return await self._answer.content.readany()
        except Exception as error:  # noqa: BLE001 - what is none of these is raised again
            meaning = meaning_of(error, is_sent=True)
        raise meaning

    async def aclose(self) -> None:
        """Ends the connection where the answer is not whole: what is left of it belongs to no other request."""
        if not self._is_open:
            return
        self._is_open = False
        if connection := self._answer.connection:
            transport = connection.transport
            self._answer.close()
            if transport is not None:
                transport.abort()
        self._left()
