"""What stands around every answer of the door: which requests are looked at at all, and what every answer carries.

A request is refused before a route sees it: one to another host (a page whose name was pointed at us), one of another
origin that would change something, one with a path that two programs read differently, one that is too large. What a
proxy says about a request counts where the proxy is trusted, and is taken away where it is not.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from retirement.api.refusals import DoorError, Forbidden, TooLarge
from retirement.config import DoorSettings
from retirement.errors import Defect

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Bytes of a body, and of all headers of a request.
LARGEST_BODY = 1024 * 1024
LARGEST_HEADERS = 64 * 1024
#: Methods that change nothing.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: In a path as it was sent, what one program takes for a folder and another one for a letter.
_AMBIGUOUS = (b"//", b"/./", b"/../", b"\\", b"%2f", b"%5c", b"%2e", b"%00", b"%25")
#: What a request says about another one that came before it.
_FORWARDED = frozenset(
    {b"forwarded", b"x-real-ip", b"x-original-url", b"x-rewrite-url"}
    | {b"x-forwarded-" + name for name in (b"for", b"host", b"proto", b"port", b"prefix", b"server", b"uri", b"method")}
)
#: Where a request has what a trusted proxy says of the one that it asks about (`forward_auth`).
FORWARDED = "retirement.forwarded"
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    # Without any a browser says of a form of ours that it is of no page (Fetch, "append a request `Origin` header"),
    # and signing out would be refused.
    b"referrer-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_TOO_LARGE = "the body of the request is larger than 1 MB"
_FOR_A_YEAR = b"max-age=31536000"


class Around:
    """The outermost application; `app` is what it lets requests through to."""

    def __init__(self, app: App, settings: DoorSettings) -> None:
        self.app = app
        self.origin = origin_of(settings.url)
        self._hosts = hosts_of(settings.url)
        self._trusted = [ip_network(each, strict=False) for each in settings.trusted_proxies]
        self._added = dict(_HEADERS)
        if settings.is_secure:
            self._added[b"strict-transport-security"] = _FOR_A_YEAR

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or one websocket."""
        if scope["type"] not in ("http", "websocket"):
            return
        answer = _Answer(scope, send, self._added)
        try:
            await self.app(self._let_in(scope), _Bounded(receive), answer.send)
        except DoorError as error:
            logger.warning("refused: %s: %s", error.status, error.detail)
            await answer.refuse(error.status, error.detail)
        except Exception as error:  # noqa: BLE001 - what a defect says may name a learner: it is told by type and line
            logger.error("%s", Defect.at(error))
            await answer.refuse(500, "a defect in the program")

    def _let_in(self, scope: Scope) -> Scope:
        """The request as routes see it. Raises `DoorError`."""
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        _require_bounds(headers)
        is_trusted = _is_in(_address(scope), self._trusted)
        self._require_own_host(headers, is_trusted=is_trusted)
        _require_one_reading(scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass"))
        self._require_own_origin(scope, headers)
        told = _last_before(headers, self._trusted) if is_trusted else None
        kept = [each for each in headers if each[0] not in _FORWARDED]
        asks = {name: _one(headers, b"x-forwarded-" + name.encode()) for name in ("method", "uri")}
        client = (told, 0) if told else scope.get("client")
        return {**scope, "headers": kept, "client": client, FORWARDED: asks if is_trusted else None}

    def _require_own_host(self, headers: Sequence[tuple[bytes, bytes]], *, is_trusted: bool) -> None:
        """Raises `DoorError` for a request to another host, as far as the program that sent it is to be believed."""
        forwarded = _one(headers, b"x-forwarded-host") if is_trusted else None
        host = _one(headers, b"host") if forwarded is None else forwarded
        if host is None or host.lower() not in self._hosts:
            raise DoorError("the request is to another host than the door's")

    def _require_own_origin(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> None:
        if scope["type"] != "http" or scope["method"] not in SAFE:
            require_origin(_one(headers, b"origin"), self.origin)


class _Bounded:
    """Gives the body of a request, as long as it is not too large."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = LARGEST_BODY

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise TooLarge(_TOO_LARGE)
        return message


class _Answer:
    """Sends an answer with what every answer carries."""

    def __init__(self, scope: Scope, send: Send, added: dict[bytes, bytes]) -> None:
        self._is_websocket = scope["type"] == "websocket"
        self._send, self._added = send, added
        self._has_begun = False

    async def send(self, message: Message) -> None:
        """What a route sends; a header that it has set itself stays."""
        if message["type"] == "http.response.start":
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            message["headers"] = [*given, *(each for each in self._added.items() if each[0] not in names)]
        self._has_begun = True
        await self._send(message)

    async def refuse(self, status: int, detail: str) -> None:
        """The answer to a request that no route answers; nothing where one has begun to."""
        if self._has_begun:
            return
        if self._is_websocket:
            await self.send({"type": "websocket.close", "code": 1008, "reason": detail})
            return
        body = json.dumps({"detail": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def hosts_of(url: str) -> frozenset[str]:
    """The `Host` headers by which an address is asked: with its port, and without where that is the usual one."""
    parts = urlsplit(url.lower())
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    usual = 443 if parts.scheme == "https" else 80
    port = parts.port or usual
    return frozenset({f"{name}:{port}", *([name] if port == usual else [])})


def origin_of(url: str) -> str:
    """The `Origin` that a browser sends for pages of an address: without a port that is the usual one."""
    return f"{urlsplit(url.lower()).scheme}://{min(hosts_of(url), key=len)}"


def require_origin(origin: str | None, ours: str) -> None:
    """Raises `Forbidden` for what a page of another origin would have done, by any kind of sign-in."""
    if origin is not None and origin.lower() != ours:
        raise Forbidden("the request is of a page of another origin")


def _require_bounds(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises `TooLarge` for a request that says itself that it is."""
    if sum(len(name) + len(value) for name, value in headers) > LARGEST_HEADERS:
        raise TooLarge("the headers of the request are too large")
    length = _one(headers, b"content-length")
    if length is not None and (not length.isdigit() or len(length) > 12 or int(length) > LARGEST_BODY):
        raise TooLarge(_TOO_LARGE)


def _require_one_reading(path: bytes) -> None:
    """Raises `DoorError` for a path that two programs would read differently."""
    lowered = path.lower()
    if any(each in lowered for each in _AMBIGUOUS) or path.endswith((b"/.", b"/..")) or not path.startswith(b"/"):
        raise DoorError("the path of the request has more than one reading")


def _one(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The value of a header, None where it is not there; no value that counts where it is there twice."""
    found = [value for each, value in headers if each == name]
    if len(found) > 1:
        return ""
    return found[0].decode("latin-1").strip() if found else None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _is_in(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    # A socket for both kinds of addresses has a proxy of the older kind as `::ffff:10.0.0.7`.
    mapped = getattr(found, "ipv4_mapped", None)
    return any(found in each or (mapped is not None and mapped in each) for each in networks)


def _last_before(headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """The address from which a request came to the first proxy that is trusted; what stands before it is hearsay."""
    told = (_one(headers, b"x-forwarded-for") or "").split(",")
    return next((each.strip() for each in reversed(told) if each.strip() and not _is_in(each.strip(), trusted)), None)
