"""An OpenID provider that others have written, on a socket of its own: both flows, and keys that rotate."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from retirement.api.app import door
from retirement.api.keys import PAUSE_SECONDS
from tests.wsgi import serving_wsgi

from .desk import CLIENT, URL, Desk, bearer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses a module of Authlib that has moved
    import oidc_provider_mock
    from authlib.jose import JsonWebKey

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:authlib"),
]


@dataclass(frozen=True)
class Real:
    """The provider: its name, and where it keeps its key."""

    issuer: str
    storage: Any

    def rotate(self) -> None:
        """From now on it signs with another key, and shows no other."""
        self.storage.jwk = JsonWebKey.generate_key("RSA", 2048, {"kid": "rotated"}, is_private=True)

    def access_token(self, subject: str) -> str:
        """It makes opaque ones only; this is one as RFC 9068 has it, with its key."""
        now = int(time.time())
        said = {"iss": self.issuer, "sub": subject, "aud": CLIENT, "iat": now, "exp": now + 300}
        private = load_pem_private_key(self.storage.jwk.as_pem(is_private=True), None)
        head = {"typ": "at+jwt", "kid": self.storage.jwk.as_dict().get("kid")}
        return jwt.encode(said, private, "RS256", headers=head)  # type: ignore[arg-type] # any kind of key, says its type


@pytest.fixture
def real() -> Iterator[Real]:
    """The provider, until the test ends."""
    app = oidc_provider_mock.app(require_nonce=True)
    with app.test_request_context():
        app.preprocess_request()
        from flask import g

        storage = g.oidc_provider_mock_storage
    with serving_wsgi(app) as address:
        yield Real(address, storage)


async def signed_in(client: httpx.AsyncClient, subject: str) -> int:
    """The status with which a person comes back who has signed in at the provider."""
    place = (await client.get("/sign-in")).headers["location"]
    async with httpx.AsyncClient(trust_env=False) as browser:
        back = (await browser.post(place, data={"sub": subject})).headers["location"]
    parts = urlsplit(back)
    assert back.startswith(f"{URL}/sign-in/callback?")
    return (await client.get(f"{parts.path}?{parts.query}")).status_code


async def test_both_flows_work_with_a_provider_of_others(desk: Desk, real: Real) -> None:
    """People by code, programs by token; both after its key has changed as well."""
    desk.settings |= {"issuer": real.issuer, "administrators": ["an-administrator"], "client_secret": "any"}
    async with door(desk.configuration, clock=desk.clock) as app:
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            found = [await signed_in(client, "an-administrator")]
            mine = (await client.get("/api/permissions/system")).json()["actions"]
            old = bearer(real.access_token("an-administrator"))
            found.append((await client.get("/api/permissions/system/all", headers=old)).status_code)
            real.rotate()
            desk.clock.seconds += PAUSE_SECONDS + 1
            new = bearer(real.access_token("an-administrator"))
            found += [(await client.get("/api/me", headers=each)).status_code for each in (new, old)]
            found.append(await signed_in(client, "a-stranger"))
            found.append((await client.get("/api/permissions/system")).status_code)

    assert len(mine) == 10
    assert found == [303, 200, 200, 401, 303, 404]
