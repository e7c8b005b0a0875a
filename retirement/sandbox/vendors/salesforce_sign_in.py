"""Signing in to the simulated Salesforce: both OAuth grants and sessions of two hours (contract services.md B5.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.tokens import ANYBODY, Principal
from retirement.sandbox.wire import AbortError, Answer, Request, as_json

if TYPE_CHECKING:
    from retirement.sandbox.platform import Platform

CLIENT_ID, CLIENT_SECRET = "3MVG9-sandbox", "salesforce-sandbox-secret"
USERNAME = "pipeline@org.example"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SESSION = timedelta(hours=2)
#: How far ahead an assertion may expire.
AHEAD_S = 180
_KEY = b"salesforce-sandbox-sessions"


@cache
def _key() -> rsa.RSAPrivateKey:
    """The app's key; made when first needed, since few do."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key() -> str:
    """The key whose certificate the app has, in PEM."""
    kind = serialization.PrivateFormat.PKCS8
    pem = _key().private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return pem.decode()


def refused(status: int, code: str, text: str) -> Answer:
    """An error as all but the token endpoint have it: a list."""
    return as_json([{"message": text, "errorCode": code}], status)


def _token_error(error: str, text: str) -> Answer:
    return as_json({"error": error, "error_description": text}, 400)


def token(call: Call) -> Answer:
    form = call.request.form
    grant = form.get("grant_type")
    if grant == "client_credentials":
        if form.get("client_id") != CLIENT_ID:
            return _token_error("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != CLIENT_SECRET:
            return _token_error("invalid_client", "invalid client credentials")
    elif grant == JWT_BEARER:
        if problem := _problem_of(form.get("assertion", "")):
            return problem
    else:
        return _token_error("unsupported_grant_type", "grant type not supported")
    until = (call.platform.now() + SESSION).isoformat()
    return as_json(
        {
            "access_token": f"00D!{until}!{_mac(until)}",
            "instance_url": "https://org.my.salesforce.com",
            "token_type": "Bearer",
            "scope": "api",
            "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000002AAA",
            "issued_at": str(int(call.platform.now().timestamp() * 1000)),
            "signature": "c2FuZGJveA==",
        }
    )


def _problem_of(assertion: str) -> Answer | None:
    """None for an assertion that is signed with the app's key, for its user, for us, and not for long."""
    signed, _, signature = assertion.rpartition(".")
    try:
        _key().public_key().verify(_plain(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        header, claims = (json.loads(_plain(part)) for part in signed.split("."))
    except (InvalidSignature, binascii.Error, ValueError):
        return _token_error("invalid_grant", "invalid assertion")
    if header.get("alg") != "RS256" or claims.get("iss") != CLIENT_ID:
        return _token_error("invalid_client_id", "client identifier invalid")
    if claims.get("aud") not in AUDIENCES:
        return _token_error("invalid_grant", "audience is invalid")
    if claims.get("sub") != USERNAME:
        return _token_error("invalid_grant", "user hasn't approved this consumer")
    if not time.time() < claims.get("exp", 0) <= time.time() + AHEAD_S:
        return _token_error("invalid_grant", "expired authorization code")
    return None


def _plain(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _mac(until: str) -> str:
    return hmac.new(_KEY, until.encode(), hashlib.sha256).hexdigest()


def gate(request: Request, platform: Platform) -> Principal:
    """A session that we gave, and that is not over."""
    word, _, session = request.headers.get("authorization", "").partition(" ")
    _, until, mac = [*session.split("!"), "", ""][:3]
    if word != "Bearer" or not hmac.compare_digest(mac, _mac(until)) or _is_over(until, platform.now()):
        raise AbortError(refused(401, "INVALID_SESSION_ID", "Session expired or invalid"))
    return ANYBODY


def _is_over(until: str, now: datetime) -> bool:
    return datetime.fromisoformat(until) <= now


TOKEN_ROUTE = Route("/services/oauth2/token", gates.open_to_all, {"POST": token})


def settings(url: str) -> dict[str, Any]:
    """How a configuration signs in with the app's key."""
    return {"url": url, "client_id": CLIENT_ID, "private_key": private_key(), "username": USERNAME}
