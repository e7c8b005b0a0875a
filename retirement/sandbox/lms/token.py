"""The OAuth token endpoint and the heartbeat (contract lms.md 3)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from retirement.sandbox import gates
from retirement.sandbox.lms.browser_sign_in import SCOPES, SCOPES_OF_PEOPLE, account_of, by_code, refused
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import Answer, Request, as_json, empty, html
from retirement.sandbox.world.identity import CLIENTS, DOOR_CLIENT, Client
from retirement.sandbox.world.tokens import access_token, learner_token

OPAQUE_LIFETIME_S = 36000
_BY_ID = {client.client_id: client for client in (*CLIENTS.values(), DOOR_CLIENT)}
_TOO_MANY = html(429, "Too Many Requests")


def token(call: Call) -> Answer:
    """The checks in the order of the real endpoint: rate, grant type, client, scope."""
    request = call.request
    if call.world.token_rate.exceeded(request.address):
        return _TOO_MANY
    # Only forms are read: with a JSON body the grant type counts as missing.
    form = request.form
    grant = form.get("grant_type")
    if grant not in ("client_credentials", "password", "authorization_code", "refresh_token"):
        return refused("unsupported_grant_type")
    client = client_of(request)
    if client is None:
        challenge = (("www-authenticate", 'Bearer error="invalid_client"'),)
        return as_json({"error": "invalid_client"}, 401, challenge)
    if grant == "password" and client is not DOOR_CLIENT:
        return _signed_in(call)
    if grant == "authorization_code" and client is DOOR_CLIENT:
        return by_code(call)
    if grant != "client_credentials" or client is DOOR_CLIENT:
        return refused("unauthorized_client")
    scope = form.get("scope", "").split() or list(SCOPES)
    if not set(scope) <= set(SCOPES):
        return refused("invalid_scope")
    return _granted(call, client, " ".join(scope))


def _granted(call: Call, client: Client, scope: str) -> Answer:
    request, lifetime = call.request, call.world.settings.token_lifetime_s
    kind = request.form.get("token_type", request.headers.get("x-token-type", ""))
    if kind.lower() == "jwt":
        jwt = access_token(client, lifetime, scope)
        return as_json({"access_token": jwt, "expires_in": lifetime, "token_type": "JWT", "scope": scope})
    # The retirement views do not accept this one; nothing in the sandbox does.
    opaque = secrets.token_hex(20)
    return as_json({"access_token": opaque, "expires_in": OPAQUE_LIFETIME_S, "token_type": "Bearer", "scope": scope})


def _signed_in(call: Call) -> Answer:
    """The token of an account by its password; who has asked for retirement has none any more."""
    form, lifetime = call.request.form, call.world.settings.token_lifetime_s
    account = account_of(call)
    if account is None:
        return as_json({"error": "invalid_grant", "error_description": "Invalid credentials given."}, 400)
    scopes = form.get("scope", "").split() or list(SCOPES)
    if not set(scopes) <= set(SCOPES_OF_PEOPLE):
        return refused("invalid_scope")
    scope, refresh = " ".join(scopes), secrets.token_hex(15)
    jwt = learner_token(
        account.id, account.username, account.email, lifetime, scope, asymmetric=form.get("asymmetric_jwt") == "true"
    )
    said = {"access_token": jwt, "expires_in": lifetime, "token_type": "JWT", "scope": scope, "refresh_token": refresh}
    return as_json(said)


def client_of(request: Request) -> Client | None:
    """The client by HTTP Basic, else by form fields."""
    named = [(request.form.get("client_id", ""), request.form.get("client_secret", ""))]
    word, _, encoded = request.headers.get("authorization", "").partition(" ")
    if word.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        named.insert(0, (name, secret))
    for name, secret in named:
        client = _BY_ID.get(name)
        if client and secrets.compare_digest(_sha(client.client_secret), _sha(secret)):
            return client
    return None


def _sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def token_by_get(call: Call) -> Answer:
    return empty(405, allow="POST, OPTIONS")


def heartbeat(call: Call) -> Answer:
    up = {"status": True, "message": "OK"}
    return as_json({"modulestore": up, "sql": up})


_TOKEN_VIEWS = {
    "POST": token,
    **dict.fromkeys(("GET", "PUT", "PATCH", "DELETE"), token_by_get),
}
ROUTES = [
    Route("/oauth2/access_token", gates.open_to_all, _TOKEN_VIEWS),
    Route("/oauth2/access_token/", gates.open_to_all, _TOKEN_VIEWS),
    Route("/heartbeat", gates.open_to_all, {"GET": heartbeat}),
]
