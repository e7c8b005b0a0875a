"""Signing in: the provider says who a person is, in answer to a question that only this browser has asked.

Authorisation code with PKCE (RFC 7636): `state` is good once and for the browser that began, and the code is of no use
without the verifier, which never leaves this process. What the answer has to be is in `retirement.api.answers`.
"""

import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode

from retirement.api.answers import Answers, OfOpenId, OfTheLms, is_same
from retirement.api.gate import Gate
from retirement.api.once import Once
from retirement.api.pace import SignIns
from retirement.api.provider import Provider
from retirement.api.refusals import DoorError, Forbidden, Unauthenticated, Unavailable
from retirement.errors import Refused, ServiceError

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Where the provider sends people back to, and where it says that a session has ended.
CALLBACK, BACK_CHANNEL = "/sign-in/callback", "/sign-out/back-channel"
#: Seconds to type a password in, and a second factor.
PENDING_SECONDS = 600.0
#: Where people go to after they have signed in: a page of ours.
_PAGE = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that has begun: what the provider is told, the page that the person wants, and when it ends."""

    state: str
    nonce: str
    verifier: str
    page: str
    ends_at: float


class Begun:
    """Sign-ins that have begun. Each is in its browser's cookie, so that no number of others makes one end.

    The cookie has a number and what the person wants, signed; `state`, `nonce` and verifier are made of the number with
    a key of this process, and so is known here what no cookie tells.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._answered = Once(PENDING_SECONDS, clock)

    def new(self, page: str) -> tuple[Pending, str]:
        """A sign-in, and what the cookie of its browser holds."""
        wanted = page if _PAGE.fullmatch(page) else "/"
        ends_at = int(self._clock() + PENDING_SECONDS)
        told = f"{secrets.token_urlsafe(32)}.{ends_at}.{quote(wanted, safe='')}"
        return self._pending(told), f"{told}.{self._made('cookie', told)}"

    def answered(self, cookie: str, state: str) -> Pending:
        """The sign-in of a browser that comes back with this state, once. Raises `DoorError`."""
        told, _, signature = cookie.rpartition(".")
        if not is_same(signature, self._made("cookie", told)):
            raise DoorError("this sign-in has not begun in this browser: begin anew")
        pending = self._pending(told)
        if not is_same(pending.state, state):
            raise DoorError("this sign-in has begun in another browser: begin anew")
        if pending.ends_at <= self._clock() or not self._answered.is_first(pending.state):
            raise DoorError("this sign-in has ended already: begin anew")
        return pending

    def _pending(self, told: str) -> Pending:
        number, ends_at, page = told.split(".", 2)
        state, nonce, verifier = (self._made(what, number) for what in ("state", "nonce", "verifier"))
        return Pending(state, nonce, verifier, unquote(page), float(ends_at))

    def _made(self, what: str, of: str) -> str:
        found = hmac.new(self._key, f"{what} {of}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who has signed in: what the session cookie holds, and the page that they wanted."""

    cookie: str
    page: str


class SignIn:
    """Sends people to the provider, and takes them when they come back."""

    def __init__(self, gate: Gate, provider: Provider, clock: Callable[[], float] = time.monotonic) -> None:
        self._gate, self._provider = gate, provider
        self._answers: Answers = OfTheLms(gate) if gate.settings.is_of_the_lms else OfOpenId(gate)
        self._begun, self._pace = Begun(clock), SignIns(clock)
        self.cookie = f"{gate.cookie}-sign-in"

    @property
    def _callback(self) -> str:
        return f"{self._gate.settings.url.rstrip('/')}{CALLBACK}"

    async def begin(self, page: str) -> tuple[str, str]:
        """The address at the provider, and what the cookie of this browser has to hold. Raises `Unavailable`."""
        endpoints = await _available(self._provider.endpoints())
        pending, cookie = self._begun.new(page)
        asked = {
            "response_type": "code",
            "client_id": self._gate.settings.client_id,
            "redirect_uri": self._callback,
            **self._answers.query(pending.nonce),
            "state": pending.state,
            "code_challenge": challenge(pending.verifier),
            "code_challenge_method": "S256",
        }
        glue = "&" if "?" in endpoints.authorization else "?"
        return f"{endpoints.authorization}{glue}{urlencode(asked)}", cookie

    async def complete(self, answer: Mapping[str, str], browser: str, address: str) -> SignedIn:
        """What the provider's answer is good for; `browser` is what the cookie of this browser holds.

        It is counted by its address before the provider is asked: any text may have been given for a code.
        Raises `DoorError`: whatever is wrong, the sign-in has to begin anew.
        """
        pending = self._begun.answered(browser, answer.get("state", ""))
        if answer.get("iss", self._gate.provider.name) != self._gate.provider.name:
            raise DoorError("the answer is of another provider")
        if "code" not in answer:
            raise Forbidden("the provider has not let this person in")
        self._pace.count(address)
        told = await self._tokens(answer["code"], pending.verifier)
        person, session = await self._answers.person(told, pending.nonce)
        is_permitted = await self._gate.is_permitted(person)
        return SignedIn(self._gate.sessions.open(person, session, is_permitted=is_permitted), pending.page)

    async def _tokens(self, code: str, verifier: str) -> Mapping[str, Any]:
        """What the provider gives for a code. Raises `Unauthenticated` or `Unavailable`."""
        endpoints = await _available(self._provider.endpoints())
        settings = self._gate.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._callback,
            "client_id": settings.client_id,
            "code_verifier": verifier,
            **self._answers.form,
        }
        headers: dict[str, str] = {}
        if settings.client_secret is not None:
            secret = settings.client_secret.get_secret_value()
            if "client_secret_basic" in endpoints.secret_in or "client_secret_post" not in endpoints.secret_in:
                headers["Authorization"] = basic(settings.client_id, secret)
            else:
                form["client_secret"] = secret
        try:
            return (await _available(self._provider.asked(endpoints.token, form, headers))).mapping
        except Refused:
            raise Unauthenticated("the provider does not know this sign-in: begin anew") from None

    async def end_session(self) -> str | None:
        """Where the provider ends its own session; None where it says no such place, or does not answer."""
        try:
            place = (await self._provider.endpoints()).end_session
        except ServiceError:
            return None
        if place is None:
            return None
        asked = {"client_id": self._gate.settings.client_id, "post_logout_redirect_uri": self._gate.settings.url}
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}"


def challenge(verifier: str) -> str:
    """What the provider is told of a verifier before (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def basic(client_id: str, secret: str) -> str:
    """The header of a client; both are encoded as in a form first (RFC 6749, 2.3.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


async def _available(asked: Awaitable[T]) -> T:
    """An answer of the provider. Raises `Refused` where it says no, and `Unavailable` where there is none."""
    try:
        return await asked
    except Refused:
        raise
    except ServiceError as error:
        logger.warning("people cannot sign in: %s", error)
        raise Unavailable("the sign-in provider does not answer as it has to") from None
