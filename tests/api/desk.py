"""A door in memory, before it a provider that can be told to lie, and people with tokens of it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from retirement.api.app import door
from retirement.api.around import App, Around, Message
from retirement.config import Configuration, load
from retirement.errors import EngineLost
from retirement.ledger import Act, Ledger, opened
from retirement.site import Site, ledger_location
from retirement.wire.pool import Pool
from tests.config.desk import ENVIRON, OWN
from tests.ledgers import place_file
from tests.unit.doubles import Calendar, World, holder, shipped

URL = "https://door.example.com"
ISSUER = "https://sso.example.com/realms/site"
CLIENT = "retirement-door"
#: Seconds.
DAY = 86_400
#: `sub` of the first administrator, and of one whom nothing is granted to.
ADMIN, STRANGER = "8f2f1c1e-admin", "77aa10f2-stranger"
LMS_ISSUER, LMS_AUDIENCE = "https://courses.example.com/oauth2", "openedx"

DOOR: Mapping[str, Any] = {
    "url": URL,
    "issuer": ISSUER,
    "client_id": CLIENT,
    "administrators": [ADMIN],
    "groups": {"operators": ["view", "retire"]},
}


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True, eq=False)
class Signer:
    """A private key of a provider."""

    kid: str
    algorithm: str = "RS256"
    other: Signer | None = None  #: whose private key it has, None: its own

    @cached_property
    def private(self) -> Any:
        """Made where it is needed first: keys take longer than most tests, and all workers read this module."""
        if self.other:
            return self.other.private
        if self.algorithm == "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        return rsa.generate_private_key(65537, 2048)

    @property
    def public(self) -> dict[str, Any]:
        """As it stands in the JWK set."""
        made = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        told: dict[str, Any] = made.to_jwk(self.private.public_key(), as_dict=True)
        return told | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def signed(self, claims: Mapping[str, Any], **head: Any) -> str:
        """A token with these claims; `head` overwrites what its head has."""
        return jwt.encode(dict(claims), self.private, self.algorithm, headers={"kid": self.kid, **head})


FIRST, SECOND, FOREIGN = Signer("first"), Signer("second"), Signer("first")
ELLIPTIC = Signer("elliptic", "ES256")
LMS_KEY = Signer("lms", "RS512")


class Provider:
    """The provider: what it says about itself, which keys it shows, and whether it answers at all."""

    def __init__(self) -> None:
        self.keys = [FIRST, ELLIPTIC]
        self.more_keys: list[Any] = []
        self.said: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/certs",
            "end_session_endpoint": f"{ISSUER}/logout",
        }
        self.is_down = False
        self.asked: list[str] = []
        self.tokens: dict[str, Any] = {}
        self.forms: list[Mapping[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.is_down:
            raise httpx.ConnectError("down")
        if request.url.path.endswith("/.well-known/openid-configuration"):
            return httpx.Response(200, json=self.said)
        if request.url.path.endswith("/token"):
            self.forms.append(dict(httpx.QueryParams(request.content.decode())))
            return httpx.Response(200 if self.tokens else 400, json=self.tokens or {"error": "invalid_grant"})
        return httpx.Response(200, json={"keys": [*self.more_keys, *(each.public for each in self.keys)]})

    def pool(self, url: str) -> Pool:
        """Connections to it."""
        return Pool(url, httpx.MockTransport(self))


def claims(subject: str = ADMIN, **more: Any) -> dict[str, Any]:
    """An access token of the provider as Keycloak makes it; None takes a claim out.

    It lasts a day, since some are made when the tests are collected.
    """
    now = int(time.time())
    told = {"iss": ISSUER, "sub": subject, "aud": CLIENT, "azp": CLIENT, "typ": "Bearer", "iat": now, "exp": now + DAY}
    return {name: value for name, value in (told | more).items() if value is not None}


def token(subject: str = ADMIN, signer: Signer = FIRST, **more: Any) -> str:
    """The same, signed."""
    return signer.signed(claims(subject, **more))


def learner_token(user_id: object = 17, signer: Signer = LMS_KEY, **more: Any) -> str:
    """A token of the LMS for a learner who has signed in (contract, section 3)."""
    told = {
        "iss": LMS_ISSUER,
        "aud": LMS_AUDIENCE,
        "sub": "c4ca4238a0b923820dcc509a6f75849b",
        "typ": None,
        "azp": None,
        "preferred_username": "ana.gomez+x",
        "email": "ana@example.com",
        "user_id": user_id,
        "grant_type": "password",
        "scopes": ["user_id", "email", "profile"],
        "filters": [],
        "version": "1.2.0",
        "is_restricted": False,
    }
    return signer.signed(claims(**(told | more)))


def bearer(token: str) -> dict[str, str]:
    """The header that gives it."""
    return {"Authorization": f"Bearer {token}"}


@dataclass
class Desk:
    """A folder with a configuration; the provider; and, while it is open, the door."""

    folder: Path
    provider: Provider = field(default_factory=Provider)
    clock: Clock = field(default_factory=Clock)
    settings: dict[str, Any] = field(default_factory=lambda: dict(DOOR))
    world: World | None = None
    started: list[tuple[int, str | None]] = field(default_factory=list)
    schedules: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[UUID, str] = field(default_factory=dict)  #: what can be cancelled: the flow of each run
    engine_is_lost: bool = False
    more: str = ""  #: further sections of the configuration
    client: httpx.AsyncClient = field(init=False)
    app: App = field(init=False)
    _loaded: tuple[str, Configuration] | None = None  #: the file as it was read, and what it says

    @property
    def configuration(self) -> Configuration:
        """Loaded from a file, as `serve` does it."""
        (self.folder / "lms.json").write_text(json.dumps({"keys": [LMS_KEY.public]}))
        if not (ledger := self.folder / "ledger.db").exists():
            place_file(ledger)
        text = f"{OWN}ledger: {{url: 'sqlite:///ledger.db'}}\ndoor: {json.dumps(self.settings)}\n{self.more}"
        if self._loaded is None or self._loaded[0] != text:
            file = self.folder / "retirement.yaml"
            file.write_text(text)
            file.chmod(0o600)
            self._loaded = text, load(file, environ=ENVIRON)
        return self._loaded[1]

    def with_learners(self) -> Desk:
        """Takes tokens of the LMS as well."""
        self.settings |= {"learners_keys": "lms.json", "learners_audience": LMS_AUDIENCE}
        return self

    @asynccontextmanager
    async def open(self, peer: str = "192.0.2.7") -> AsyncIterator[httpx.AsyncClient]:
        """The door, and a client at this address who asks it."""
        given: Any = {"pools": self.provider.pool, "clock": self.clock, "sites": self.site, "start": self.start}
        given |= {"schedules": self.planned, "cancel": self.cancel}
        async with door(self.configuration, **given) as self.app:
            transport = httpx.ASGITransport(self.app, client=(peer, 4711))
            async with httpx.AsyncClient(transport=transport, base_url=URL) as self.client:
                yield self.client

    async def planned(self) -> list[dict[str, Any]]:
        """What Prefect's server would say."""
        return self.schedules

    @asynccontextmanager
    async def site(self, _: Configuration) -> AsyncIterator[Site]:
        """The simulated platform, with the ledger of the door."""
        async with self.ledger() as ledger:
            self.world = self.world or World(ledger, Calendar())
            self.world.ledger = ledger
            yield self.world.site(shipped("default"))

    async def seed(self, *usernames: str, days: float = 30) -> dict[str, int]:
        """Learners who asked to be retired so many days ago; their numbers."""
        async with self.site(self.configuration):
            assert self.world is not None
            planted = ({**holder(each), "requested_days_ago": days} for each in usernames)
            self.world.seed(*planted, states=shipped("default").lms_states)
            return self.world.user_ids

    async def start(self, user_id: int, early: str | None) -> None:
        """Takes down what would be started."""
        if self.engine_is_lost:
            raise EngineLost("Prefect's server did not start the run")
        self.started.append((user_id, early))

    async def cancel(self, run: UUID, before: Callable[[str], Awaitable[object]]) -> bool:
        """Cancels one of the runs, once."""
        if run not in self.runs:
            return False
        await before(self.runs[run])
        del self.runs[run]
        return True

    @property
    def application(self) -> FastAPI:
        """The routes, behind what is around them."""
        assert isinstance(self.app, Around)
        assert isinstance(self.app.app, FastAPI)
        return self.app.app

    async def status(self, raw_path: bytes, headers: Mapping[str, str]) -> int:
        """What the door answers to a path of these bytes; clients make others of them before they are sent."""
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            sent.append(message)

        given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": unquote(raw_path.decode()),
            "raw_path": raw_path,
            "query_string": b"",
            "client": ("::1", 1),
            "headers": [(b"host", b"door.example.com"), *given],
        }
        await self.app(scope, receive, send)
        return int(sent[0]["status"])

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[Ledger]:
        """The ledger, beside the door."""
        async with opened(ledger_location(self.configuration)) as ledger:
            yield ledger

    async def acts(self, kind: str) -> list[Act]:
        """The acts of a kind."""
        async with self.ledger() as ledger:
            found = await ledger.acts.since(ledger.now().replace(year=2020))
        return [each for each in found if each.kind == kind]
