"""Signing in to the simulated Salesforce: both OAuth grants and sessions of two hours (contract services.md B5.2)."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

CLIENT_ID, CLIENT_SECRET = "3MVG9-sandbox", "salesforce-sandbox-secret"
USERNAME = "pipeline@org.example"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SESSION = timedelta(hours=2)
#: How far ahead an assertion may expire.
AHEAD_S = 180
#: Claims have an answer each, in the order of the real endpoint.
_SIGNATURE_ONLY: Options = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_sub": False,
}
_KEY = b"salesforce-sandbox-sessions"


@cache
def _key() -> rsa.RSAPrivateKey:
    """The app's key; made when first needed, since few tests need it."""
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
    until = (call.world.now() + SESSION).isoformat()
    return as_json(
        {
            "access_token": f"00D!{until}!{_mac(until)}",
            "instance_url": "https://org.my.salesforce.com",
            "token_type": "Bearer",
            "scope": "api",
            "id": "https://login.salesforce.com/id/00D000000000001AAA/005000000000002AAA",
            "issued_at": str(int(call.world.now().timestamp() * 1000)),
            "signature": "c2FuZGJveA==",
        }
    )


def _problem_of(assertion: str) -> Answer | None:
    """None for an assertion that is signed with the app's key, for its user, for us, and not for long."""
    try:
        claims = jwt.decode(assertion, _key().public_key(), ["RS256"], _SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        return _token_error("invalid_grant", "invalid assertion")
    if claims.get("iss") != CLIENT_ID:
        return _token_error("invalid_client_id", "client identifier invalid")
    if claims.get("aud") not in AUDIENCES:
        return _token_error("invalid_grant", "audience is invalid")
    if claims.get("sub") != USERNAME:
        return _token_error("invalid_grant", "user hasn't approved this consumer")
    if not time.time() < claims.get("exp", 0) <= time.time() + AHEAD_S:
        return _token_error("invalid_grant", "expired authorization code")
    return None


def _mac(until: str) -> str:
    return hmac.new(_KEY, until.encode(), hashlib.sha256).hexdigest()


def gate(request: Request, world: World) -> Principal:
    """A session that the token endpoint issued and that has not expired."""
    word, _, session = request.headers.get("authorization", "").partition(" ")
    _, until, mac = [*session.split("!"), "", ""][:3]
    if word != "Bearer" or not hmac.compare_digest(mac, _mac(until)) or _is_over(until, world.now()):
        raise AbortError(refused(401, "INVALID_SESSION_ID", "Session expired or invalid"))
    return NO_ACCOUNT


def _is_over(until: str, now: datetime) -> bool:
    return datetime.fromisoformat(until) <= now


TOKEN_ROUTE = Route("/services/oauth2/token", gates.open_to_all, {"POST": token})


def settings(url: str) -> dict[str, Any]:
    """How a configuration signs in with the app's key."""
    return {"url": url, "client_id": CLIENT_ID, "private_key": private_key(), "username": USERNAME}
