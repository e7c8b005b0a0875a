"""One exchange: a signed request out, and its answer in, within the bounds of its class.

The limits of the HTTP library are for each read and begin anew with each byte; a body that is packed can be a
thousand times what came over the wire. So the time is counted from the request to the last byte, and the size
after decoding, while it is decoded. No cookie is kept or sent: each call stands alone.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator

import httpx

from retirement.errors import Transient
from retirement.wire.elements import Elements, Keep, begins_list
from retirement.wire.patience import MEGABYTE, Bounds
from retirement.wire.pool import Pool
from retirement.wire.reply import Body, Reply, is_json, read

#: What the answers may be packed with: `_Unpacked` can stop in the middle of these.
ENCODINGS = "gzip, deflate"
#: Bytes of a list of which an element at a time is in memory: what ends it before is the time of the whole answer.
LARGEST_LIST = 1024 * MEGABYTE
#: Makes what takes the elements of one answer: each try of a request has one of its own.
Each = Callable[[], Keep]
#: Bytes that are unpacked at a time.
_PIECE = 64 * 1024
#: Bytes in which the first sign of a list is looked for, and those that tell how it is encoded.
_BEGIN, _LEAST = 64, 3
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Exchange:
    """Sends the requests of one service, each within its bounds.

    Raises what httpx raises, and `Transient` for an answer that passes its bounds; the request may have been done
    then.
    """

    def __init__(self, service: str, pool: Pool, auth: httpx.Auth | None) -> None:
        self._service, self._pool = service, pool
        self._auth = auth or httpx.Auth()

    async def reply(self, name: str, request: httpx.Request, bounds: Bounds, each: Each | None = None) -> Reply:
        """The answer to a request that errors call `name`; sent a second time where its signer wants that.

        With `each` a success that is a JSON list is read element by element; see `Request`.
        """
        flow = self._auth.async_auth_flow(request)
        try:
            # What the signer itself asks (for a token) has bounds of its own.
            signed = await anext(flow)
            while True:
                response, body = await self._answer(name, signed, bounds, each)
                try:
                    signed = await flow.asend(response)
                except StopAsyncIteration:
                    return read(self._service, name, response, body)
        finally:
            await flow.aclose()

    async def _answer(
        self, name: str, request: httpx.Request, bounds: Bounds, each: Each | None
    ) -> tuple[httpx.Response, Body]:
        limit = asyncio.timeout(bounds.whole)
        try:
            async with limit:
                response = await self._pool.send(request)
                try:
                    return response, await self._body(name, response, bounds.largest, each)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not limit.expired():
                raise
            reason = f"the answer was not whole within {bounds.whole:g} s"
            raise Transient(self._service, name, None, reason, in_doubt=True) from None

    async def _body(self, name: str, response: httpx.Response, largest: int, each: Each | None) -> Body:
        body = _Body(each() if each and is_json(response) and response.is_success else None)
        unpacked = _Unpacked(response.headers.get("content-encoding", ""))
        if response.is_stream_consumed:
            # A stand-in of a test, made with its body.
            body.take(response.content)
            return body.whole()
        async for chunk in response.aiter_raw():
            for piece in unpacked.pieces(chunk):
                body.take(piece)
                room = LARGEST_LIST if body.is_list else largest
                if unpacked.size > room:
                    reason = f"the answer is larger than {room // MEGABYTE} MB"
                    raise Transient(self._service, name, response.status_code, reason, in_doubt=True)
                if body.is_list:
                    # A few bytes unpack to very many elements: others have their turn, and the time is looked at.
                    await asyncio.sleep(0)
        unpacked.require_whole()
        return body.whole()


class _Body:
    """A body while it comes in; with `keep` a JSON list is read element by element, and nothing else of it is kept."""

    def __init__(self, keep: Keep | None) -> None:
        self._keep = keep
        self._data = bytearray()
        self._elements: Elements | None = None
        self._is_readable = True

    @property
    def is_list(self) -> bool:
        """Whether it is read element by element."""
        return self._elements is not None

    def take(self, piece: bytes) -> None:
        """Adds a piece."""
        if self._elements:
            self._read(self._elements.take, piece)
            return
        self._data += piece
        if self._keep and len(self._data) > _LEAST and self._data[:_BEGIN].strip():
            self._look()

    def _look(self) -> None:
        """Looks whether it is a list, once."""
        keep, self._keep = self._keep, None
        if keep and begins_list(self._data):
            self._elements, data = Elements(keep), bytes(self._data)
            self._data.clear()
            self._read(self._elements.take, data)

    def whole(self) -> Body:
        """The body, when all pieces are there."""
        self._look()
        if self._elements is None:
            return self._data
        self._read(self._elements.end)
        return self._elements.kept if self._is_readable else None

    def _read(self, read: Callable[..., None], *piece: bytes) -> None:
        """What comes after the first fault is not looked at: it is all the same to whom the list was meant for."""
        if self._is_readable:
            try:
                read(*piece)
            except ValueError:
                self._is_readable = False


class _Unpacked:
    """Unpacks a body while it comes in, in pieces that are small even where a few bytes unpack to very many."""

    def __init__(self, encoding: str) -> None:
        known = [each for each in (name.strip().lower() for name in encoding.split(",")) if each in _WINDOWS]
        if len(known) > 1:
            # Packed twice is a millionfold at once; no request asks for it.
            raise httpx.DecodingError("packed more than once")
        self._packed = self._unpacked = 0
        self._inflater = zlib.decompressobj(_WINDOWS[known[0]]) if known else None
        self._is_raw = known != ["deflate"]

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What the next bytes unpack to; an empty piece is of bytes that unpack to nothing, which count as they are."""
        is_first = not self._packed
        self._packed += len(chunk)
        piece = self._inflated(chunk, is_first=is_first)
        while piece:
            self._unpacked += len(piece)
            yield piece
            piece = self._inflated(self._inflater.unconsumed_tail if self._inflater else b"", is_first=False)
        yield b""

    @property
    def size(self) -> int:
        """Bytes so far, before or after, whichever is more."""
        return max(self._packed, self._unpacked)

    def require_whole(self) -> None:
        """Raises where the body ends before its end."""
        if self._inflater and self._packed and not self._inflater.eof:
            raise httpx.DecodingError("it ends in the middle")

    def _inflated(self, chunk: bytes, *, is_first: bool) -> bytes:
        if self._inflater is None:
            return chunk
        if self._inflater.eof:
            return b""  # what follows on the end would be kept
        try:
            return self._inflater.decompress(chunk, _PIECE)
        except zlib.error:
            if not is_first or self._is_raw:
                raise httpx.DecodingError("damaged") from None
        # `deflate` is sent with and without the head of zlib (RFC 9110, 8.4.1.2).
        self._is_raw = True
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflated(chunk, is_first=is_first)
