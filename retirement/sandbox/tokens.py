"""JSON Web Tokens (HS256), and who a request comes from (contract lms.md 1.1, services.md A0 and A7)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, replace
from typing import Any

from retirement.sandbox.identity import CLIENTS, WORKER, Client
from retirement.sandbox.wire import ApiError, Request

CHALLENGE = 'JWT realm="api"'
NOT_PROVIDED = "Authentication credentials were not provided."
SIGNING_KEY = "sandbox-signing-key-for-tokens"
LEEWAY_S = 1


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(signed: str, key: str) -> str:
    return _b64(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())


def encode(claims: dict[str, Any], key: str = SIGNING_KEY) -> str:
    header = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = f"{header}.{_b64(json.dumps(claims).encode())}"
    return f"{signed}.{_signature(signed, key)}"


def decode(token: str, key: str = SIGNING_KEY) -> dict[str, Any] | None:
    """The claims of a token that is well signed and whose time is not over; nothing else is told apart."""
    signed, _, signature = token.rpartition(".")
    header, _, payload = signed.partition(".")
    if not hmac.compare_digest(_signature(signed, key).encode(), signature.encode()):
        return None
    try:
        claims = json.loads(_unb64(payload))
        algorithm = json.loads(_unb64(header))["alg"]
    except (ValueError, binascii.Error, LookupError, TypeError):
        return None
    if not isinstance(claims, dict) or algorithm != "HS256" or is_over(claims):
        return None
    return claims


def is_over(claims: dict[str, Any]) -> bool:
    return float(claims.get("exp", 0)) <= time.time() - LEEWAY_S


def access_token(client: Client, lifetime_s: int, scope: str) -> str:
    now = int(time.time())
    claims: dict[str, Any] = {
        "aud": "openedx",
        "exp": now + lifetime_s,
        "grant_type": "client-credentials",
        "iat": now,
        "iss": "http://sandbox/oauth2",
        "preferred_username": client.username,
        "scopes": scope.split(),
        "version": "1.2.0",
        "sub": hashlib.md5(client.username.encode(), usedforsecurity=False).hexdigest(),
        "filters": [],
        "is_restricted": False,
        "email_verified": True,
    }
    if "email" in claims["scopes"]:
        claims["email"] = f"{client.username}@example.org"
    if "profile" in claims["scopes"]:
        claims |= {"name": "", "family_name": "", "given_name": ""}
        claims |= {"administrator": client.is_superuser, "superuser": client.is_superuser}
    return encode(claims)


def annotator_token(client: Client, anonymous_id: str) -> str:
    """The token that the LMS mints for its call to the notes service."""
    now = int(time.time())
    claims = {"sub": anonymous_id, "aud": client.client_id, "iat": now, "exp": now + 300}
    return encode(claims, client.client_secret)


@dataclass(frozen=True, slots=True)
class Principal:
    """The account a request comes from, as the LMS knows it."""

    user_id: int
    username: str
    is_superuser: bool
    is_staff: bool = False


#: Whoever calls a route that looks at no credentials.
ANYBODY = Principal(0, "", is_superuser=False)
_ACCOUNTS = {c.username: Principal(c.user_id, c.username, c.is_superuser, c.is_superuser) for c in CLIENTS.values()}


class Authenticator:
    """Reads `Authorization: JWT …`; remembers good tokens, since a client sends the same one for an hour."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}
        #: The docs create the worker as staff; the retirement API does without (lms.md 1.2).
        self.worker_is_staff = False

    def principal(self, request: Request) -> Principal:
        """Raises 401, with the same text for an expired, a forged and an unreadable token."""
        word, *tokens = request.headers.get("authorization", "").split() or [""]
        if word.upper() != "JWT" or len(tokens) != 1:
            raise ApiError(401, NOT_PROVIDED, challenge=CHALLENGE)
        claims = self._known.get(tokens[0])
        if claims is None or is_over(claims):
            claims = decode(tokens[0])
            if claims is None:
                raise ApiError(401, "Invalid token.", challenge=CHALLENGE)
            self._known[tokens[0]] = claims
        account = _ACCOUNTS.get(str(claims.get("preferred_username")))
        if account is None:
            raise ApiError(401, "Invalid token.", challenge=CHALLENGE)
        if self.worker_is_staff and account.username == WORKER:
            return replace(account, is_staff=True)
        return account
