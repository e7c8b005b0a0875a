"""One exchange: a signed request out, and its answer in, within the bounds of its class.

The limits of the HTTP library are for each read and begin anew with each byte; a body that is packed can be a
thousand times what came over the wire. So the time is counted from the request to the last byte, and the size
after decoding, while it is decoded. No cookie is kept or sent, and no answer is taken that
was there before its request: each call stands alone.
"""

import asyncio
import zlib
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx

from retirement.errors import Transient
from retirement.wire.patience import MEGABYTE, Bounds
from retirement.wire.reply import Reply, read

#: What the answers may be packed with: `_Unpacked` can stop in the middle of these.
ENCODINGS = "gzip, deflate"
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Exchange:
    """Sends the requests of one service, each within its bounds.

    Raises what httpx raises, and `Transient` for an answer that passes its bounds; the request may have been done
    then.
    """

    def __init__(self, service: str, client: httpx.AsyncClient, auth: httpx.Auth | None) -> None:
        self._service, self._client = service, client
        self._auth = auth or httpx.Auth()
        # A session beside the token is a state that two learners would share.
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))

    async def reply(self, name: str, request: httpx.Request, bounds: Bounds) -> Reply:
        """The answer to a request that errors call `name`; sent a second time where its signer wants that."""
        flow = self._auth.async_auth_flow(request)
        try:
            # What the signer itself asks (for a token) has bounds of its own.
            signed = await anext(flow)
            while True:
                response, body = await self._answer(name, signed, bounds)
                try:
                    signed = await flow.asend(response)
                except StopAsyncIteration:
                    return read(self._service, name, response, body)
        finally:
            await flow.aclose()

    async def _answer(self, name: str, request: httpx.Request, bounds: Bounds) -> tuple[httpx.Response, bytearray]:
        limit = asyncio.timeout(bounds.whole)
        try:
            async with limit:
                request.extensions["trace"] = _Order()
                # `auth`: the request is signed already.
                response = await self._client.send(request, auth=httpx.Auth(), stream=True, follow_redirects=False)
                try:
                    return response, await self._body(name, response, bounds.largest)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not limit.expired():
                raise
            reason = f"the answer was not whole within {bounds.whole:g} s"
            raise Transient(self._service, name, None, reason, in_doubt=True) from None

    async def _body(self, name: str, response: httpx.Response, largest: int) -> bytearray:
        unpacked = _Unpacked(response.headers.get("content-encoding", ""), largest)
        if response.is_stream_consumed:
            # A stand-in of a test, made with its body.
            return bytearray(response.content)
        async for chunk in response.aiter_raw():
            if not unpacked.takes(chunk):
                reason = f"the answer is larger than {largest // MEGABYTE} MB"
                raise Transient(self._service, name, response.status_code, reason, in_doubt=True)
        return unpacked.whole()


class _Order:
    """Sees to it that an answer comes after its request; told by the HTTP library how far an exchange is.

    A server that answers twice leaves its second answer in the buffer of the connection, where the library takes it
    for the answer to the next request, which may be another learner's. What is read from a network takes a turn of
    the event loop at least, and what lay in the buffer takes none.
    """

    def __init__(self) -> None:
        self._took_a_turn = False

    async def __call__(self, event: str, _facts: Mapping[str, Any]) -> None:
        if event == "http11.send_request_body.complete":
            asyncio.get_running_loop().call_soon(self._turn)
        elif event == "http11.receive_response_headers.complete" and not self._took_a_turn:
            raise httpx.RemoteProtocolError("an answer was there before its request")

    def _turn(self) -> None:
        self._took_a_turn = True


class _Unpacked:
    """A body while it comes in: never more of it than the largest size, packed or not."""

    def __init__(self, encoding: str, largest: int) -> None:
        known = [each for each in (name.strip().lower() for name in encoding.split(",")) if each in _WINDOWS]
        if len(known) > 1:
            # Packed twice is a millionfold at once; no request asks for it.
            raise httpx.DecodingError("packed more than once")
        self._inflater = zlib.decompressobj(_WINDOWS[known[0]]) if known else None
        self._largest = largest
        self._is_raw = known != ["deflate"]
        self._packed = 0
        self._data = bytearray()

    def takes(self, chunk: bytes) -> bool:
        """Adds a piece; False where the body is too large."""
        room = self._largest + 1 - len(self._data)
        self._data += chunk[:room] if self._inflater is None else self._inflated(self._inflater, chunk, room)
        self._packed += len(chunk)
        return max(self._packed, len(self._data)) <= self._largest

    def whole(self) -> bytearray:
        """The body, when all pieces are there."""
        if self._inflater and self._packed and not self._inflater.eof:
            raise httpx.DecodingError("it ends in the middle")
        return self._data

    def _inflated(self, inflater: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
        try:
            return inflater.decompress(chunk, room)
        except zlib.error:
            if self._packed or self._is_raw:
                raise httpx.DecodingError("damaged") from None
        # `deflate` is sent with and without the head of zlib (RFC 9110, 8.4.1.2).
        self._is_raw = True
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflated(self._inflater, chunk, room)
