"""JSON Web Tokens, and the account a request comes from (contract lms.md 1.1 and 3, services.md A0 and A7)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options

from retirement.sandbox.wire import ApiError, Request
from retirement.sandbox.world.identity import CLIENTS, WORKER, Client

CHALLENGE = 'JWT realm="api"'
NOT_PROVIDED = "Authentication credentials were not provided."
SIGNING_KEY = "sandbox-signing-key-for-tokens-of-64-bytes-so-that-hs512-takes-it-too"
LEEWAY_S = 1


#: One kind of signature for the tokens that the platform itself takes; with another one a token is not valid.
ALGORITHM = "HS256"
#: The signature of tokens that are for others to check, and the name of its key.
ASYMMETRIC, KEY_ID = "RS512", "sandbox"
ISSUER, AUDIENCE = "http://sandbox/oauth2", "openedx"
#: The audience is for the service to look at, and vendors issue tokens by a clock that may be ahead.
_CHECKS: Options = {"require": ["exp"], "verify_aud": False, "verify_iat": False}


def encode(claims: dict[str, Any], key: str = SIGNING_KEY) -> str:
    return jwt.encode(claims, key, ALGORITHM)


def decode(token: str, key: str = SIGNING_KEY) -> dict[str, Any] | None:
    """The claims of a token with a good signature that has not expired; None for every other text."""
    claims = _signed(token, key)
    return None if claims is None or is_over(claims) else claims


@lru_cache(1024)
def _signed(token: str, key: str) -> dict[str, Any] | None:
    """Looked at once, since a client sends the same token for an hour; nothing changes the claims."""
    try:
        claims: dict[str, Any] = jwt.decode(token, key, [ALGORITHM], _CHECKS, leeway=LEEWAY_S)
    except jwt.InvalidTokenError:
        return None
    return claims


def is_over(claims: dict[str, Any]) -> bool:
    """Whether a token has expired since it was decoded."""
    return float(claims["exp"]) <= time.time() - LEEWAY_S


@cache
def _private_key() -> rsa.RSAPrivateKey:
    """Of this process: it takes a while to be made, and most runs need none."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_keys() -> dict[str, Any]:
    """The JWK set by which others check tokens, which a site has in its `JWT_PUBLIC_SIGNING_JWK_SET`."""
    key = RSAAlgorithm.to_jwk(_private_key().public_key(), as_dict=True)
    return {"keys": [{**key, "kid": KEY_ID, "alg": ASYMMETRIC, "use": "sig"}]}


def _claims(username: str, grant: str, lifetime_s: int, scope: str) -> dict[str, Any]:
    now = int(time.time())
    return {
        "aud": AUDIENCE,
        "exp": now + lifetime_s,
        "grant_type": grant,
        "iat": now,
        "iss": ISSUER,
        "preferred_username": username,
        "scopes": scope.split(),
        "version": "1.2.0",
        "sub": hashlib.md5(username.encode(), usedforsecurity=False).hexdigest(),
        "filters": [],
        "is_restricted": False,
        "email_verified": True,
    }


def learner_token(
    user_id: int, username: str, email: str, lifetime_s: int, scope: str, *, asymmetric: bool, grant: str = "password"
) -> str:
    """The token of an account that has signed in, by its password or with a browser."""
    claims = _claims(username, grant, lifetime_s, scope)
    claims |= {"user_id": user_id} if "user_id" in claims["scopes"] else {}
    claims |= {"email": email} if "email" in claims["scopes"] else {}
    if asymmetric:
        return jwt.encode(claims, _private_key(), ASYMMETRIC, headers={"kid": KEY_ID})
    return encode(claims)


def access_token(client: Client, lifetime_s: int, scope: str) -> str:
    claims = _claims(client.username, "client-credentials", lifetime_s, scope)
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


#: For routes that look at no credentials, and for services with credentials of their own.
NO_ACCOUNT = Principal(0, "", is_superuser=False)
_ACCOUNTS = {c.username: Principal(c.user_id, c.username, c.is_superuser, c.is_superuser) for c in CLIENTS.values()}


class Authenticator:
    """Reads `Authorization: JWT …`."""

    def __init__(self) -> None:
        #: The docs create the worker as staff; the retirement API does without (lms.md 1.2).
        self.worker_is_staff = False

    def principal(self, request: Request) -> Principal:
        """Raises 401, with the same text for an expired, a forged and an unreadable token."""
        word, *tokens = request.headers.get("authorization", "").split() or [""]
        if word.upper() != "JWT" or len(tokens) != 1:
            raise ApiError(401, NOT_PROVIDED, challenge=CHALLENGE)
        claims = decode(tokens[0])
        if claims is None:
            raise ApiError(401, "Invalid token.", challenge=CHALLENGE)
        account = _ACCOUNTS.get(str(claims.get("preferred_username")))
        if account is None:
            raise ApiError(401, "Invalid token.", challenge=CHALLENGE)
        if self.worker_is_staff and account.username == WORKER:
            return replace(account, is_staff=True)
        return account
