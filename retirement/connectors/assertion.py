"""Signed assertions for the OAuth grant "JWT bearer" (RFC 7523): who we are, under our own private key.

Contract of the services, section B5.2: RS256, and no longer than three minutes ahead.
"""

import base64
import json
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
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
    key: RSAPrivateKey, *, issuer: str, subject: str, audience: str, clock: Callable[[], float] = time.time
) -> str:
    """A JWT of the issuer that speaks for `subject`. `clock` tells seconds since 1970."""
    claims = {"iss": issuer, "sub": subject, "aud": audience, "exp": int(clock()) + SECONDS}
    signed = f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{_part(claims)}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{_unpadded(signature)}"


def _part(value: object) -> str:
    return _unpadded(json.dumps(value).encode())


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
