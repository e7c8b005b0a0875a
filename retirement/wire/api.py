"""Talking to services: send, wait, and turn every answer into a reply or one error. Who signs is `auth`.

No value that was put into a path leaves this module inside an error or a log line: errors name the path template
(`retirement.errors`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx
import tenacity

from retirement.errors import Misconfigured, NotFound, RateLimited, Refused, Transient
from retirement.process import waiting
from retirement.wire.exchange import ENCODINGS, Each, Exchange
from retirement.wire.limits import Gate, Limits
from retirement.wire.patience import Bounds, Patience, current_patience, current_permission
from retirement.wire.pool import Pool
from retirement.wire.reply import Judge, Reply, classify, translate
from retirement.wire.success import Success

# httpx logs the whole URL of every request at INFO, and usernames are part of some.
for _library in ("httpx", "httpcore", "aiohttp"):
    logging.getLogger(_library).setLevel(logging.WARNING)

#: How requests are signed; made by `auth`.
Auth = httpx.Auth

#: Statuses at which a token is renewed once. Proctoring answers 403 where others answer 401.
UNAUTHORIZED = frozenset({401})


def _ask_permission(_state: tenacity.RetryCallState) -> None:
    if check := current_permission():
        check()


@dataclass(frozen=True)
class Retry:
    """How often and how long to try again within one call. Bounded twice; seconds, never minutes."""

    attempts: int = 4
    seconds: float = 45.0
    first_wait: float = 0.5
    longest_wait: float = 15.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic  #: by which `seconds` are counted

    def __call__(self) -> tenacity.AsyncRetrying:
        """The attempts for one call."""
        began = self.clock()
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

        def enough(state: tenacity.RetryCallState) -> bool:
            return state.attempt_number >= self.attempts or self.clock() - began + state.upcoming_sleep >= self.seconds

        return tenacity.AsyncRetrying(
            sleep=self.sleep,
            before=_ask_permission,
            stop=enough,
            wait=wait,
            retry=tenacity.retry_if_exception(worth_it),
            reraise=True,
        )


class Options(TypedDict, total=False):
    """What a request may have beside method and path; `Request` says what each means."""

    values: Mapping[str, object]
    params: Sequence[tuple[str, str]]
    json: Any
    form: Mapping[str, str] | None
    content: bytes | None
    headers: Mapping[str, str]
    patience: Patience | None
    once: bool
    each: Each | None
    renew_on: frozenset[int]


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a service, as a connector writes it."""

    method: str
    #: A template, as `/users/{user}`,
    path: str
    #: and what fills it, each value percent-encoded.
    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    #: The query; a name may stand in it several times.
    params: Sequence[tuple[str, str]] = field(default=(), repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    #: A body that is neither; its type is among the headers.
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: How long its answer may take; None: as long as the operation says (`patient`).
    patience: Patience | None = None
    #: Not safe to repeat: its caller owns the retry.
    once: bool = False
    #: Makes what takes the elements of a JSON list while they come in; the reply has what it keeps of them, and not the
    #: list. Made anew for each answer, since one that breaks off is asked for again. None: the reply has the list.
    each: Each | None = field(default=None, repr=False)
    #: Statuses at which a token is renewed once.
    renew_on: frozenset[int] = UNAUTHORIZED

    @property
    def name(self) -> str:
        """Method and path template, as errors and limits name it."""
        return f"{self.method} {self.path}"


class Api:
    """One service: its connection pool, its credentials, its limits and its share of patience."""

    def __init__(
        self,
        service: str,
        pool: Pool,
        *,
        auth: Auth | None = None,
        retry: Retry | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.service = service
        self.retry = retry or Retry()
        self._pool = pool
        self._auth = auth
        self._successes: Mapping[str, Success] = {}
        self._gate = gate or Gate(Limits(), sleep=self.retry.sleep)

    @property
    def host(self) -> str:
        """The host that requests go to."""
        return self._pool.base_url.host

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    def expecting(self, successes: Mapping[str, Success]) -> Self:
        """The same service, where these requests, by method and path template, have to be answered so."""
        narrower = copy(self)
        narrower._successes = {**self._successes, **successes}
        return narrower

    async def get(self, path: str, *, judge: Judge | None = None, **options: Unpack[Options]) -> Reply:
        return await self.send(Request("GET", path, **options), judge)

    async def find(self, path: str, *, judge: Judge | None = None, **options: Unpack[Options]) -> Reply | None:
        """A look-up for one thing; None where the service itself says that it has no such thing."""
        options.setdefault("patience", Patience.LOOKUP)
        try:
            return await self.get(path, judge=judge, **options)
        except NotFound:
            return None

    async def post(self, path: str, *, judge: Judge | None = None, **options: Unpack[Options]) -> Reply:
        return await self.send(Request("POST", path, **options), judge)

    async def put(self, path: str, *, judge: Judge | None = None, **options: Unpack[Options]) -> Reply:
        return await self.send(Request("PUT", path, **options), judge)

    async def patch(self, path: str, *, judge: Judge | None = None, **options: Unpack[Options]) -> Reply:
        return await self.send(Request("PATCH", path, **options), judge)

    async def delete(self, path: str, *, judge: Judge | None = None, **options: Unpack[Options]) -> Reply:
        return await self.send(Request("DELETE", path, **options), judge)

    async def send(self, request: Request, judge: Judge | None = None) -> Reply:
        """Sends one request, again while that is useful, and returns its success or what `judge` took.

        Raises `ServiceError`.
        """
        bounds = (request.patience or current_patience()).value
        built = self._built(request, bounds)
        attempt_one = partial(self._attempt, request.name, built, bounds, request.each, judge)
        with waiting(f"{self.service}: {request.name}"):
            if request.once:
                return await attempt_one()
            async for attempt in self.retry():
                with attempt:
                    reply = await attempt_one()
            return reply

    def refused(self, request: str, reason: str, status: int | None = None) -> Refused:
        """What no single answer shows: a request that must not be sent, or answers that contradict each other."""
        return Refused(self.service, request, status, reason)

    def misconfigured(self, request: str, reason: str) -> Misconfigured:
        """What no single answer shows: settings that do not fit what the service has."""
        return Misconfigured(self.service, request, None, reason)

    def _built(self, request: Request, bounds: Bounds) -> httpx.Request:
        try:
            built = self._pool.request(
                request.method,
                self._path(request),
                params=request.params,
                json=request.json,
                form=request.form,
                content=request.content,
                timeout=bounds.timeout,
                headers={"Accept": "application/json", "Accept-Encoding": ENCODINGS, **request.headers},
            )
        except UnicodeEncodeError:
            raise self.refused(request.name, "a value holds half a character, which cannot be sent") from None
        except httpx.InvalidURL:
            raise self.misconfigured(request.name, "the address is no URL") from None
        built.extensions["renew_on"] = request.renew_on
        return built

    async def _attempt(
        self, name: str, request: httpx.Request, bounds: Bounds, each: Each | None, judge: Judge | None
    ) -> Reply:
        async with self._gate.passing(name):
            reply = await self._exchange(name, request, bounds, each)
            # Within the turn, since what an answer means is how many more the service is asked at a time.
            if (judge is None or not judge(reply)) and (error := classify(reply) or self._unexpected(reply)):
                raise error
        return reply

    def _unexpected(self, reply: Reply) -> Refused | None:
        success = self._successes.get(reply.request)
        if success is None or success.shown_by(reply):
            return None
        return reply.refused(f"it proves nothing: {success} is due")

    def _path(self, request: Request) -> str:
        quoted = {key: quote(str(value), safe="") for key, value in request.values.items()}
        if any(value.strip(".") == "" for value in quoted.values()):
            # `.` and `..` would be read as folders and lead to another route.
            raise self.refused(request.name, "a value cannot stand in a path")
        return request.path.format_map(quoted)

    async def _exchange(self, name: str, request: httpx.Request, bounds: Bounds, each: Each | None) -> Reply:
        try:
            return await Exchange(self.service, self._pool, self._auth).reply(name, request, bounds, each)
        except httpx.HTTPError as error:
            raise translate(self.service, name, error) from None
        except UnicodeEncodeError:
            raise Misconfigured(self.service, name, None, "a credential cannot stand in a header") from None
