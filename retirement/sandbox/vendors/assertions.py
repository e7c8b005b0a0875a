"""What simulated vendors share that let an application sign in by what it has signed (RFC 7523)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from retirement.sandbox.wire import Answer, Request, as_json

#: The grant by which an assertion is exchanged for a token.
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Claims have an answer each, which the vendor gives.
_SIGNATURE_ONLY: Options = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_sub": False,
}


class SigningKey:
    """The key of an application; made when first needed, since few tests need it."""

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def pem(self) -> str:
        """The private key, as the application has it."""
        kind = serialization.PrivateFormat.PKCS8
        return self._private.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()

    def claims(self, assertion: str) -> dict[str, Any] | None:
        """What an assertion says that this key has signed; None for any other."""
        try:
            claims: dict[str, Any] = jwt.decode(assertion, self._private.public_key(), ["RS256"], _SIGNATURE_ONLY)
        except jwt.InvalidTokenError:
            return None
        return claims


@dataclass(frozen=True)
class Tokens:
    """Tokens of one vendor, which are known again without being kept; `beginning` is what all begin with."""

    beginning: str
    secret: bytes

    def until(self, end: datetime) -> str:
        """A token that is good until then."""
        text = end.isoformat()
        return f"{self.beginning}!{text}!{self._mac(text)}"

    def is_good(self, request: Request, now: datetime) -> bool:
        """Whether a request has such a token, which has not expired."""
        word, _, given = request.headers.get("authorization", "").partition(" ")
        _, until, mac = [*given.split("!"), "", ""][:3]
        is_ours = word == "Bearer" and hmac.compare_digest(mac, self._mac(until))
        return is_ours and datetime.fromisoformat(until) > now

    def _mac(self, until: str) -> str:
        return hmac.new(self.secret, until.encode(), hashlib.sha256).hexdigest()


def token_error(error: str, text: str, status: int = 400) -> Answer:
    """A refusal of a token endpoint (RFC 6749, 5.2)."""
    return as_json({"error": error, "error_description": text}, status)
