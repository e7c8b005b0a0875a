"""Signing in to the simulated Google: a service account's assertion for an access token (contract services.md B9.3)."""

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

ACCOUNT = "partner-reports@sandbox.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/drive"
PATH = "/token"
_LIFETIME = timedelta(seconds=3599)
#: The longest time between `iat` and `exp`, and how far a clock may be ahead of Google's.
_LONGEST_S, _AHEAD_S = 3600, 300
_KEY = SigningKey()
_TOKENS = Tokens("ya29", b"drive-sandbox-tokens")


def account_key(url: str) -> dict[str, Any]:
    """The key of the service account, as Google gives it; `url` is where the simulated Google answers."""
    return {
        "type": "service_account",
        "project_id": "sandbox",
        "private_key_id": "sandbox-1",
        "private_key": _KEY.pem,
        "client_email": ACCOUNT,
        "client_id": "100000000000000000001",
        "token_uri": f"{url}{PATH}",
    }


def refused(status: int, reason: str, text: str) -> Answer:
    """An error as all but the token endpoint have it."""
    errors = [{"domain": "global", "reason": reason, "message": text}]
    return as_json({"error": {"code": status, "message": text, "errors": errors}}, status)


def token(call: Call) -> Answer:
    form = call.request.form
    if form.get("grant_type") != GRANT:
        return token_error("unsupported_grant_type", "Invalid grant_type")
    host = call.request.headers.get("host", "")
    if problem := _problem_of(form.get("assertion", ""), (f"http://{host}{PATH}", f"https://{host}{PATH}")):
        return problem
    given = _TOKENS.until(call.world.now() + _LIFETIME)
    seconds = int(_LIFETIME.total_seconds())
    return as_json({"access_token": given, "expires_in": seconds, "token_type": "Bearer"})


def _problem_of(assertion: str, audiences: tuple[str, ...]) -> Answer | None:
    """None for an assertion that the account has signed, for this endpoint, this scope and itself, and not for long."""
    claims = _KEY.claims(assertion)
    if claims is None:
        return token_error("invalid_grant", "Invalid JWT Signature.")
    if claims.get("iss") != ACCOUNT:
        return token_error("invalid_grant", "Invalid grant: account not found")
    if claims.get("aud") not in audiences:
        return token_error("invalid_grant", "Invalid JWT: Failed audience check.")
    if claims.get("sub", ACCOUNT) != ACCOUNT:
        return token_error("unauthorized_client", "Client is unauthorized to retrieve access tokens", 401)
    if SCOPE not in str(claims.get("scope", "")).split():
        return token_error("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    begins, ends, now = claims.get("iat", 0), claims.get("exp", 0), time.time()
    if not (begins - _AHEAD_S <= now < ends and ends - begins <= _LONGEST_S):
        return token_error("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")
    return None


def gate(request: Request, world: World) -> Principal:
    """A token that the endpoint above issued, and that has not expired."""
    if not _TOKENS.is_good(request, world.now()):
        raise AbortError(refused(401, "authError", "Invalid Credentials"))
    return NO_ACCOUNT


TOKEN_ROUTE = Route(PATH, gates.open_to_all, {"POST": token})
