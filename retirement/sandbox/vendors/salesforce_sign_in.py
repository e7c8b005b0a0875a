"""Signing in to the simulated Salesforce: both OAuth grants and sessions of two hours (contract services.md B5.2)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.vendors.assertions import GRANT, SigningKey, Tokens, token_error
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

CLIENT_ID, CLIENT_SECRET = "3MVG9-sandbox", "salesforce-sandbox-secret"
USERNAME = "pipeline@org.example"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
SESSION = timedelta(hours=2)
#: How far ahead an assertion may expire.
AHEAD_S = 180
_KEY = SigningKey()
_SESSIONS = Tokens("00D", b"salesforce-sandbox-sessions")


def private_key() -> str:
    """The key whose certificate the app has, in PEM."""
    return _KEY.pem


def refused(status: int, code: str, text: str) -> Answer:
    """An error as all but the token endpoint have it: a list."""
    return as_json([{"message": text, "errorCode": code}], status)


def token(call: Call) -> Answer:
    form = call.request.form
    grant = form.get("grant_type")
    if grant == "client_credentials":
        if form.get("client_id") != CLIENT_ID:
            return token_error("invalid_client_id", "client identifier invalid")
        if form.get("client_secret") != CLIENT_SECRET:
            return token_error("invalid_client", "invalid client credentials")
    elif grant == GRANT:
        if problem := _problem_of(form.get("assertion", "")):
            return problem
    else:
        return token_error("unsupported_grant_type", "grant type not supported")
    return as_json(
        {
            "access_token": _SESSIONS.until(call.world.now() + SESSION),
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
    claims = _KEY.claims(assertion)
    if claims is None:
        return token_error("invalid_grant", "invalid assertion")
    if claims.get("iss") != CLIENT_ID:
        return token_error("invalid_client_id", "client identifier invalid")
    if claims.get("aud") not in AUDIENCES:
        return token_error("invalid_grant", "audience is invalid")
    if claims.get("sub") != USERNAME:
        return token_error("invalid_grant", "user hasn't approved this consumer")
    if not time.time() < claims.get("exp", 0) <= time.time() + AHEAD_S:
        return token_error("invalid_grant", "expired authorization code")
    return None


def gate(request: Request, world: World) -> Principal:
    """A session that the token endpoint issued and that has not expired."""
    if not _SESSIONS.is_good(request, world.now()):
        raise AbortError(refused(401, "INVALID_SESSION_ID", "Session expired or invalid"))
    return NO_ACCOUNT


TOKEN_ROUTE = Route("/services/oauth2/token", gates.open_to_all, {"POST": token})


def settings(url: str) -> dict[str, Any]:
    """How a configuration signs in with the app's key."""
    return {"url": url, "client_id": CLIENT_ID, "private_key": private_key(), "username": USERNAME}
