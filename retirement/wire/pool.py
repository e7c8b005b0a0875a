"""The connections to one service, and requests as they go out on them.

A request is sent once, as it is: no redirect is followed, no cookie kept, nothing signed. httpx' own client does all
of that, and looks for it with each request: an eighth of what a learner costs our process (docs/decisions/0036).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx

from retirement.wire.proxies import transport

#: What each request says beside its own headers.
_HEADERS = {
    "Connection": "keep-alive",
    "User-Agent": f"python-httpx/{httpx.__version__}",
}


class Pool:
    """The connections to a base URL, over a transport of httpx; whoever made it closes it."""

    def __init__(self, base_url: str | httpx.URL, transport: httpx.AsyncBaseTransport) -> None:
        self.base_url = httpx.URL(base_url)
        self._prefix = str(self.base_url).rstrip("/")
        self._transport = transport

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str],
        timeout: Mapping[str, float],
    ) -> httpx.Request:
        """A request for a path below the base URL. Raises `httpx.InvalidURL`, and `UnicodeEncodeError`."""
        said = httpx.Headers(_HEADERS)
        said.update(headers)
        return httpx.Request(
            method,
            httpx.URL(self._prefix + path),
            params=list(params) or None,
            json=json,
            data=form,
            content=content,
            headers=said,
            extensions={"timeout": timeout},
        )

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, with its body still to come. Raises `httpx.TransportError`."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def pool(url: str, at_once: int) -> Pool:
    """The connections to one service, enough for that many learners at the same time. Raises `ConfigError`."""
    return Pool(url, transport(url, at_once * 2))
