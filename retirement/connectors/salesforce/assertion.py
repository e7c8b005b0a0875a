"""Signed assertions for the OAuth grant "JWT bearer" (RFC 7523): who we are, under our own private key.

Contract of the services, section B5.2: RS256, and no longer than three minutes ahead.
"""

import time
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: How long an assertion is good for: less than is allowed, since two clocks never agree.
SECONDS = 120


def rsa_key(pem: SecretStr) -> RSAPrivateKey:
    """The key of a PEM text; raises ValueError, which quotes nothing of it."""
    try:
        key = load_pem_private_key(pem.get_secret_value().encode(), password=None)
    except (ValueError, TypeError):  # TypeError: it wants a password
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("private_key must be an RSA private key in PEM, without a password")
    return key


def assertion(
    key: RSAPrivateKey,
    *,
    issuer: str,
    subject: str | None,
    audience: str,
    scope: str | None = None,
    clock: Callable[[], float] = time.time,
) -> str:
    """A JWT of the issuer that speaks for `subject`, None: for itself. `clock` tells seconds since 1970."""
    now = int(clock())
    claims: dict[str, object] = {"iss": issuer, "aud": audience, "exp": now + SECONDS}
    claims |= {"sub": subject} if subject is not None else {}
    claims |= {"scope": scope, "iat": now} if scope is not None else {}
    return jwt.encode(claims, key, algorithm="RS256")
