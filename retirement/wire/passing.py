"""Passing a request on to a server of this machine, and its answer back, piece by piece, as they are.

Nothing is judged or decoded here, as `api` does with services; time and size are bounded. What only reads is sent once
more where the connection broke before an answer: a server closes a connection that is idle, Prefect's after five
seconds, and pages that ask every five seconds meet that moment often.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import tenacity

from retirement.errors import EngineLost
from retirement.wire.certificates import certificates
from retirement.wire.patience import IDLE_SECONDS, MEGABYTE

#: Seconds without a byte, and seconds of an answer as a whole.
SILENT_SECONDS, WHOLE_SECONDS = 60.0, 300.0
#: Bytes of an answer, as they are sent.
LARGEST_ANSWER = 64 * MEGABYTE
#: Requests under way at the same time; further ones wait.
_AT_ONCE = 50

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Passed:
    """An answer: the body comes in pieces, each once, encoded as the server has sent it."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]

    async def whole(self) -> bytes:
        """The body. Raises `EngineLost`."""
        return b"".join([piece async for piece in self.pieces])


class Passing:
    """Connections to one server. `transport` stands for the network in tests."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            verify=certificates(trust_env=False),
            follow_redirects=False,
            timeout=httpx.Timeout(SILENT_SECONDS, connect=5),
            limits=httpx.Limits(
                max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE, keepalive_expiry=IDLE_SECONDS
            ),
        )
        # What is not given is not sent: no header of a library's own.
        self._client.headers.clear()

    @asynccontextmanager
    async def sent(
        self, method: str, url: str, headers: Headers, content: bytes = b"", *, reads: bool
    ) -> AsyncIterator[Passed]:
        """Sends a request; the answer is open until the block ends. Raises `EngineLost` where none comes."""
        request = self._client.build_request(method, url, headers=headers, content=content or None)
        again = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((httpx.NetworkError, httpx.RemoteProtocolError)),
            stop=tenacity.stop_after_attempt(2 if reads else 1),
            reraise=True,
        )
        try:
            response: httpx.Response = await again(self._client.send, request, stream=True)
        except httpx.HTTPError:
            raise EngineLost("Prefect's server does not answer") from None
        try:
            yield Passed(response.status_code, list(response.headers.raw), _pieces(response))
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Raises `EngineLost` for an answer that breaks off, takes too long or is too large."""
    left = LARGEST_ANSWER
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            async for piece in response.aiter_raw():
                left -= len(piece)
                if left < 0:
                    raise EngineLost("the answer of Prefect's server is too large to be passed on")
                yield piece
    except (httpx.HTTPError, TimeoutError):
        raise EngineLost("the answer of Prefect's server breaks off") from None
