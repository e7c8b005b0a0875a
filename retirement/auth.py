"""Signing requests: tokens that are fetched and renewed, and secrets that stay as they are."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping

import httpx
from pydantic import SecretStr

from retirement.errors import Misconfigured, NotFound, Refused
from retirement.http import UNAUTHORIZED, Api, Auth, Reply


class TokenSource:
    """OAuth tokens of one client, fetched when first needed and shared by all learners.

    `form` is what the endpoint is sent, asked for anew each time, since assertions expire. `kind` is the
    `token_type` that is due. `lifetime` in seconds is for endpoints that name none. Raises `Misconfigured` for
    credentials that the endpoint does not know.
    """

    MARGIN_SECONDS = 60.0

    def __init__(
        self,
        api: Api,
        path: str,
        form: Callable[[], Mapping[str, str]],
        *,
        kind: str = "Bearer",
        lifetime: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._path, self._form = api, path, form
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
            # One request, and one failure, for all who wait; a learner who is cancelled ends it for nobody.
            await asyncio.shield(self._renewal)
        return self._token

    async def _renew(self) -> None:
        try:
            # Once: whoever needed the token owns the retry.
            reply = await self._api.post(self._path, form=self._form(), judge=self._refusal, once=True)
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
            raise self._misconfigured(reply, f"{self._who} does not accept client_id and client_secret")

    def _token_of(self, reply: Reply) -> tuple[str, float]:
        data = reply.data if isinstance(reply.data, dict) else {}
        token, kind = data.get("access_token"), data.get("token_type")
        lifetime = data.get("expires_in", self._lifetime)
        if (
            not isinstance(token, str)
            or not isinstance(lifetime, (int, float))
            or str(kind).upper() != self.kind.upper()
        ):
            raise self._misconfigured(reply, f"the answer holds no {'JWT' if self.kind == 'JWT' else 'token'}")
        return token, float(lifetime)

    @property
    def _who(self) -> str:
        return "the LMS" if self._api.service == "LMS" else "the token endpoint"

    def _misconfigured(self, reply: Reply, reason: str) -> Misconfigured:
        return Misconfigured(self._api.service, f"POST {self._path}", reply.status, reason)


def lms_tokens(
    api: Api, client_id: str, client_secret: SecretStr, *, clock: Callable[[], float] = time.monotonic
) -> TokenSource:
    """JWTs of the retirement worker, which all Open edX services take. Source: contract, section 3."""
    form = {"grant_type": "client_credentials", "client_id": client_id, "token_type": "jwt"}

    def filled() -> dict[str, str]:
        return form | {"client_secret": client_secret.get_secret_value()}

    return TokenSource(api, "/oauth2/access_token", filled, kind="JWT", clock=clock)


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
    """`Authorization: Bearer TOKEN` with a token that somebody made for us."""
    return HeaderAuth("Authorization", f"Bearer {token.get_secret_value()}")


def basic(name: str, password: SecretStr) -> Auth:
    """`Authorization: Basic …`."""
    return httpx.BasicAuth(name, password.get_secret_value())
