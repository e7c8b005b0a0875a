"""Signing requests: tokens that are fetched and renewed, and secrets that stay as they are."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta

import httpx
from pydantic import SecretStr

from retirement.errors import Misconfigured, NotFound, RateLimited, Refused
from retirement.wire.api import UNAUTHORIZED, Api, Auth
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply


class TokenSource:
    """OAuth tokens of one client, fetched when first needed and shared by all learners.

    `form` is what the endpoint is sent, asked for anew each time, since assertions expire. `kind` is the
    `token_type` that is due. `lifetime` in seconds is for endpoints that name none. Raises `Misconfigured` for
    credentials that the endpoint does not know.
    """

    MARGIN_SECONDS = 60.0
    #: No token lives as long as this, and `float` has no number of 400 digits.
    LONGEST_SECONDS = 10 * 365 * 86_400.0
    #: Between two tries where the endpoint counts requests and does not say until when.
    PAUSE_SECONDS = 20.0

    def __init__(
        self,
        api: Api,
        path: str,
        form: Callable[[], Mapping[str, str]],
        *,
        kind: str = "Bearer",
        lifetime: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._path, self._form = api, path, form
        self._now = now
        self.kind = kind
        self._lifetime = lifetime
        self._clock = clock
        self._renewal: asyncio.Task[None] | None = None
        self._token = ""
        self._good_until = 0.0

    async def current(self) -> str:
        """A token that is good for a while yet."""
        return await self._fetch(lambda: not self._token or self._clock() >= self._good_until)

    async def renewed(self, refused: str) -> str:
        """A token other than the one that was just refused; learners at the same time share one request."""
        return await self._fetch(lambda: self._token == refused)

    async def _fetch(self, stale: Callable[[], bool]) -> str:
        if stale():
            if self._renewal is None:
                self._renewal = asyncio.create_task(self._renew())
                self._renewal.add_done_callback(self._renewal_ended)
            # One request, and one failure, for all that wait; a cancelled learner does not end it for the others.
            await asyncio.shield(self._renewal)
        return self._token

    async def _renew(self) -> None:
        try:
            # Once: the request that needs the token is the one to be retried.
            form, patience = self._form(), Patience.LOOKUP
            reply = await self._api.post(self._path, form=form, patience=patience, judge=self._refusal, once=True)
        except (NotFound, Refused) as error:
            # Never the answer to what was asked with the token: `absent`, or a learner who is refused.
            raise Misconfigured(error.service, error.request, error.status, "the endpoint gives no token") from None
        token, lifetime = self._token_of(reply)
        self._token = token
        self._good_until = self._clock() + lifetime - min(self.MARGIN_SECONDS, lifetime / 2)

    def _renewal_ended(self, renewal: asyncio.Task[None]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # retrieved, even when all who waited are gone

    def _refusal(self, reply: Reply) -> None:
        if reply.status in (400, 401, 403):
            raise reply.misconfigured(f"{self._who} does not accept client_id and client_secret")
        if reply.status == 429:
            raise self._too_many(reply)

    def _too_many(self, reply: Reply) -> RateLimited:
        """Waited for by the retries of the call, as far as those go; then it says when to come again."""
        reason = "too many requests for tokens from this address"
        if reply.pause is not None:
            return reply.rate_limited(reply.pause, f"{reason}: {self._moment(reply.pause)}")
        if self._api.service == "LMS":
            # Its limit is by the minute, for all clients of the address, and it says no more (contract, section 1.3).
            reason += f", which the LMS counts by the minute: {self._moment(60)}"
        # Short enough for two of them within the patience of a call.
        return reply.rate_limited(min(self.PAUSE_SECONDS, self._api.retry.seconds * 0.45), reason)

    def _moment(self, seconds: float) -> str:
        if seconds > 86_400:
            return "not before tomorrow"
        again = self._now() + timedelta(seconds=seconds + 59)
        return f"again at {again:%H:%M} UTC"

    def _token_of(self, reply: Reply) -> tuple[str, float]:
        data = reply.mapping
        token, kind = data.get("access_token"), data.get("token_type")
        lifetime = data.get("expires_in", self._lifetime)
        if (
            not isinstance(token, str)
            or not isinstance(lifetime, (int, float))
            or str(kind).upper() != self.kind.upper()
        ):
            raise reply.misconfigured(f"the answer holds no {'JWT' if self.kind == 'JWT' else 'token'}")
        if not (token.isascii() and token.isprintable()):
            raise reply.misconfigured("the token cannot stand in a header")
        if not lifetime < self.LONGEST_SECONDS:
            raise reply.misconfigured("expires_in is no time that a token can live")
        return token, float(lifetime)

    @property
    def _who(self) -> str:
        return "the LMS" if self._api.service == "LMS" else "the token endpoint"


def lms_tokens(
    api: Api,
    client_id: str,
    client_secret: SecretStr,
    *,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> TokenSource:
    """JWTs of the retirement worker, which all Open edX services take. Source: contract, section 3."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "token_type": "jwt"}

    def filled() -> dict[str, str]:
        return form | {"client_secret": client_secret.get_secret_value()}

    return TokenSource(api, "/oauth2/access_token", filled, kind="JWT", clock=clock, now=now)


class TokenAuth(httpx.Auth):
    """`Authorization: KIND TOKEN`, renewed once when the service no longer takes it."""

    def __init__(self, tokens: TokenSource) -> None:
        self._tokens = tokens

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._tokens.current()
        request.headers["Authorization"] = f"{self._tokens.kind} {token}"
        response = yield request
        if response.status_code in request.extensions.get("renew_on", UNAUTHORIZED):
            request.headers["Authorization"] = f"{self._tokens.kind} {await self._tokens.renewed(token)}"
            yield request


class HeaderAuth(httpx.Auth):
    """A header that is the same in every request."""

    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers[self._name] = self._value
        yield request


def bearer(token: SecretStr) -> Auth:
    """`Authorization: Bearer TOKEN` with a token that was made for this program."""
    return HeaderAuth("Authorization", f"Bearer {token.get_secret_value()}")


def basic(name: str, password: SecretStr) -> Auth:
    """`Authorization: Basic …`."""
    return httpx.BasicAuth(name, password.get_secret_value())
