"""Talking to services: send, wait, and turn every answer into a reply or one error. Who signs is `auth`.

Nothing that a remote sent, and no value that was put into a path, leaves this module inside an error or a
log line: errors name the path template and the status (`retirement.errors`).
"""

import asyncio
import json as jsonlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from retirement.errors import Misconfigured, NotFound, RateLimited, Refused, ServiceError, Transient
from retirement.limits import Gate, Limits

# httpx logs the whole URL of every request at INFO, and usernames are part of some.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class Patience(Enum):
    """How long an answer may take, by class of operation; seconds to connect and to read."""

    LOOKUP = httpx.Timeout(30, connect=5)
    ERASURE = httpx.Timeout(120, connect=5)
    #: `unenroll` of a learner with hundreds of courses works for minutes (contract, section 4.18).
    SLOW = httpx.Timeout(600, connect=5)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, what kind of body it had, and the body when that was JSON."""

    status: int
    kind: str
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def says(self, text: str) -> bool:
        """Whether the body is JSON and holds this text somewhere."""
        return self.kind == "json" and text in jsonlib.dumps(self.data, ensure_ascii=False)


#: Looks at an answer before the general table does. True: take it as the reply. None: the table decides.
Judge = Callable[[Reply], bool | None]

#: How requests are signed; made by `auth`.
Auth = httpx.Auth
#: Connections to one host.
Pool = httpx.AsyncClient

#: Statuses at which a token is renewed once. Proctoring answers 403 where others answer 401.
UNAUTHORIZED = frozenset({401})


#: How long an answer may take where the request itself does not say; operations declare it.
patience_of_operation: ContextVar[Patience] = ContextVar("patience", default=Patience.ERASURE)

#: Called before each try of a call; raises once whoever makes it has lost the right to go on.
permission: ContextVar[Callable[[], None] | None] = ContextVar("permission", default=None)


def _ask_permission(_state: tenacity.RetryCallState) -> None:
    if allowed := permission.get():
        allowed()


@dataclass(frozen=True)
class Retry:
    """How often and how long to try again within one call. Bounded twice; seconds, never minutes."""

    attempts: int = 4
    seconds: float = 45.0
    first_wait: float = 0.5
    longest_wait: float = 15.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __call__(self) -> tenacity.AsyncRetrying:
        """The attempts for one call."""
        backoff = tenacity.wait_exponential_jitter(
            multiplier=self.first_wait, max=self.longest_wait, jitter=self.first_wait
        )

        def worth_it(error: BaseException) -> bool:
            # A longer pause belongs to the next owner of the wait: the task, or the next queue run.
            too_long = isinstance(error, RateLimited) and error.retry_after > self.seconds
            return isinstance(error, Transient) and not too_long

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, RateLimited) else 0.0
            return max(asked, backoff(state))

        return tenacity.AsyncRetrying(
            sleep=self.sleep,
            before=_ask_permission,
            stop=tenacity.stop_after_attempt(self.attempts) | tenacity.stop_before_delay(self.seconds),
            wait=wait,
            retry=tenacity.retry_if_exception(worth_it),
            reraise=True,
        )


def pool(url: str, at_once: int) -> Pool:
    """The connections to one service, enough for that many learners at the same time."""
    limits = httpx.Limits(max_connections=at_once * 2, max_keepalive_connections=at_once * 2)
    return httpx.AsyncClient(base_url=url, limits=limits)


class Api:
    """One service: its connection pool, its credentials, its limits and its share of patience."""

    def __init__(
        self,
        service: str,
        client: Pool,
        *,
        auth: Auth | None = None,
        retry: Retry | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.service = service
        self.retry = retry or Retry()
        self._client = client
        self._auth = auth
        self._gate = gate or Gate(Limits(), sleep=self.retry.sleep)

    @property
    def host(self) -> str:
        """The host that requests go to."""
        return self._client.base_url.host

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.send("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        return await self.send("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Reply:
        return await self.send("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Reply:
        return await self.send("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        return await self.send("DELETE", path, **options)

    async def send(
        self,
        method: str,
        path: str,
        *,
        values: Mapping[str, object] | None = None,
        params: Sequence[tuple[str, str]] = (),
        json: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        once: bool = False,
        renew_on: frozenset[int] = UNAUTHORIZED,
        judge: Judge | None = None,
    ) -> Reply:
        """Sends one request, again while that is useful, and returns a 2xx answer or what `judge` took.

        `path` is a template and `values` fills it, each value percent-encoded. `once` is for requests that are
        not safe to repeat: their caller owns the retry. Raises `ServiceError`.
        """
        name = f"{method} {path}"
        request = self._client.build_request(
            method,
            self._url(name, path, values or {}),
            params=list(params) or None,
            json=json,
            data=form,
            timeout=(patience or patience_of_operation.get()).value,
            headers={"Accept": "application/json", **(headers or {})},
        )
        request.extensions["renew_on"] = renew_on
        if once:
            return await self._attempt(name, request, judge)
        async for attempt in self.retry():
            with attempt:
                reply = await self._attempt(name, request, judge)
        return reply

    async def _attempt(self, name: str, request: httpx.Request, judge: Judge | None) -> Reply:
        async with self._gate.passing(name):
            reply = await self._exchange(name, request)
        if (judge is None or not judge(reply)) and (error := classify(self.service, name, reply)):
            raise error
        return reply

    def _url(self, name: str, path: str, values: Mapping[str, object]) -> httpx.URL:
        quoted = {key: quote(str(value), safe="") for key, value in values.items()}
        if any(value.strip(".") == "" for value in quoted.values()):
            # `.` and `..` would be read as folders and lead to another route.
            raise Refused(self.service, name, None, "a value cannot stand in a path")
        return httpx.URL(str(self._client.base_url).rstrip("/") + path.format_map(quoted))

    async def _exchange(self, name: str, request: httpx.Request) -> Reply:
        try:
            response = await self._client.send(request, auth=self._auth, follow_redirects=False)
        except httpx.HTTPError as error:
            raise translate(self.service, name, error) from None
        except httpx.InvalidURL:
            raise Misconfigured(self.service, name, None, "the address is no URL") from None
        return _read(response)


def _read(response: httpx.Response) -> Reply:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not response.content:
        return Reply(response.status_code, "empty", None, response.headers)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return Reply(response.status_code, "json", response.json(), response.headers)
        except (ValueError, RecursionError):
            return Reply(response.status_code, "unreadable", None, response.headers)
    return Reply(response.status_code, "html" if kind == "text/html" else "text", None, response.headers)


#: Transport errors after which the service has surely not seen the whole request.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

_TRANSPORT_REASONS: dict[type[httpx.HTTPError], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "the request could not be sent in time",
    httpx.PoolTimeout: "no free connection in time",
    httpx.ConnectError: "no connection",
    httpx.ReadError: "the connection broke before the answer was whole",
    httpx.WriteError: "the connection broke while sending",
    httpx.CloseError: "the connection broke while closing",
    httpx.ProxyError: "the proxy refused",
    httpx.LocalProtocolError: "the request broke the protocol",
    httpx.RemoteProtocolError: "the connection closed before the answer was whole",
    httpx.DecodingError: "the answer's encoding cannot be read",
    httpx.UnsupportedProtocol: "the address is neither http nor https",
    httpx.TooManyRedirects: "it redirects in circles",
}


def translate(service: str, request: str, error: httpx.HTTPError) -> ServiceError:
    """The error of ours for one of httpx; theirs hold the request, so they never travel further."""
    reason = _TRANSPORT_REASONS.get(type(error), "the exchange failed")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Misconfigured(service, request, None, "its certificate is not one that this machine trusts")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects)):
        return Misconfigured(service, request, None, reason)
    return Transient(service, request, None, reason, not isinstance(error, _NOT_SENT))


#: 4xx that may pass by themselves; 409 is a matter of the operation, not of time.
_PASSING = frozenset({408, 425, 429})
#: 5xx that will not: the server does not do such things at all.
_LASTING = frozenset({501, 505, 506, 508, 510, 511})


def classify(service: str, request: str, reply: Reply) -> ServiceError | None:
    """The error that an answer means by itself, None for success: the one table of statuses.

    Operations know more (a 404 that is success, a 500 that is permanent): their `judge` looks first.
    """
    status = reply.status
    if 200 <= status < 300:
        return _unusable_success(service, request, reply)
    if status < 400:
        return Misconfigured(service, request, status, "a redirect: check the scheme and the path of the base URL")
    if status in _PASSING or (status >= 500 and status not in _LASTING):
        return _passing(service, request, reply)
    if status == 404 and reply.kind not in ("json", "empty"):
        return Misconfigured(service, request, status, "no such route: wrong base URL, or the feature is off")
    if status == 404:
        return NotFound(service, request, status)
    if status in (401, 403):
        return Misconfigured(service, request, status, "credentials or permission missing")
    if status in (405, 407) or status in _LASTING:
        return Misconfigured(service, request, status, "the service does not do this here")
    return Refused(service, request, status)


def _unusable_success(service: str, request: str, reply: Reply) -> ServiceError | None:
    if reply.kind in ("html", "text"):
        return Misconfigured(service, request, reply.status, "a page where data is due: a login page or a wrong host")
    if reply.kind == "unreadable":
        return Refused(service, request, reply.status, "the answer is no JSON although it says so")
    return None


def _passing(service: str, request: str, reply: Reply) -> Transient:
    pause = retry_after(reply.headers.get("retry-after", ""))
    # Over its limit a service does nothing; whoever stands before it may have passed the request on.
    in_doubt = reply.status != 429
    if pause is None:
        return Transient(service, request, reply.status, "", in_doubt)
    return RateLimited(service, request, reply.status, "", in_doubt, pause)


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """Seconds to wait by a `Retry-After` header, given as seconds or as a date; None without a usable one."""
    if value.strip().isdecimal():
        return float(value)
    moment = moment_of(value)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()) if moment else None


def moment_of(value: str) -> datetime | None:
    """The moment of an HTTP date, None for what is none."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
