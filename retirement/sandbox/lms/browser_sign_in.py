"""People who sign in with a browser: the OAuth2 authorization endpoint, and its codes (contract lms.md 3)."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy import bindparam, func, select

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import HTML, Answer, as_json, html
from retirement.sandbox.world import schema
from retirement.sandbox.world.codes import Code
from retirement.sandbox.world.database import folded
from retirement.sandbox.world.identity import DOOR_CLIENT
from retirement.sandbox.world.tokens import learner_token

SCOPES = ("read", "write", "email", "profile")
#: Of a token for a person, who may be named by number.
SCOPES_OF_PEOPLE = (*SCOPES, "user_id")
#: The path of the one address to which the application of the sandbox has its people sent back, on any host.
REDIRECT_PATH = "/sign-in/callback"
CODE_LIFETIME_S = 60
_ACCOUNT = select(schema.user).where(func.folded(schema.user.c.username) == bindparam("name"))


def account_of(call: Call) -> Any:
    """The account of the name and the password in a form; None for a wrong one, or one that was retired."""
    form = call.request.form
    account = call.db.execute(_ACCOUNT, {"name": folded(form.get("username", ""))}).first()
    return account if account and account.password == form.get("password") and account.is_active else None


def refused(error: str) -> Answer:
    """A refusal of the token endpoint."""
    return as_json({"error": error}, 400)


def authorize(call: Call) -> Answer:
    """Asks for name and password, and sends the browser back with a code; the real LMS has a page of its own for it."""
    asked = {name: values[-1] for name, values in call.request.query.items()}
    place = asked.get("redirect_uri", "")
    if asked.get("client_id") != DOOR_CLIENT.client_id or urlsplit(place).path != REDIRECT_PATH:
        return html(400, "Invalid client_id or redirect_uri")
    if asked.get("response_type") != "code":
        return _back(asked, error="unsupported_response_type")
    scope = asked.get("scope", "").split() or list(SCOPES)
    if not set(scope) <= set(SCOPES_OF_PEOPLE):
        return _back(asked, error="invalid_scope")
    if "code_challenge" in asked and asked.get("code_challenge_method") != "S256":
        return _back(asked, error="invalid_request")
    if call.request.method == "GET":
        return _form(call, "")
    account = account_of(call)
    if account is None:
        return _form(call, "<p>Email or password is incorrect.</p>")
    code = secrets.token_urlsafe(24)
    ends_at = time.monotonic() + CODE_LIFETIME_S
    call.world.codes[code] = Code(account.username, place, " ".join(scope), asked.get("code_challenge"), ends_at)
    return _back(asked, code=code)


def by_code(call: Call) -> Answer:
    """The token of the person whose code a client gives, once."""
    form, lifetime = call.request.form, call.world.settings.token_lifetime_s
    code = call.world.codes.pop(form.get("code", ""), None)
    if code is None or code.ends_at <= time.monotonic() or code.redirect_uri != form.get("redirect_uri"):
        return refused("invalid_grant")
    if code.challenge is not None and code.challenge != _challenge(form.get("code_verifier", "")):
        return refused("invalid_grant")
    account = call.db.execute(_ACCOUNT, {"name": folded(code.username)}).first()
    if account is None or not account.is_active:
        return refused("invalid_grant")
    said = {"expires_in": lifetime, "scope": code.scope, "refresh_token": secrets.token_hex(15)}
    if form.get("token_type", "").lower() != "jwt":
        return as_json({"access_token": secrets.token_hex(20), "token_type": "Bearer", **said})
    token = learner_token(
        account.id,
        account.username,
        account.email,
        lifetime,
        code.scope,
        asymmetric=form.get("asymmetric_jwt") == "true",
        grant="authorization-code",
    )
    return as_json({"access_token": token, "token_type": "JWT", **said})


def _back(asked: dict[str, str], **told: str) -> Answer:
    state = {"state": asked["state"]} if "state" in asked else {}
    place = asked["redirect_uri"]
    glue = "&" if urlsplit(place).query else "?"
    return Answer(302, headers=(("location", f"{place}{glue}{urlencode({**told, **state})}"),))


def _form(call: Call, problem: str) -> Answer:
    action = escape(f"{call.request.path}?{call.request.query_string}")
    page = (
        f"<!doctype html>\n<html lang=en><title>Sign in</title><h1>Sign in</h1>{problem}"
        f'<form method=post action="{action}"><input name=username><input name=password type=password>'
        "<button>Sign in</button></form></html>\n"
    )
    return Answer(200, page.encode(), HTML)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


_VIEWS = {"GET": authorize, "POST": authorize}
ROUTES = [
    Route("/oauth2/authorize", gates.open_to_all, _VIEWS),
    Route("/oauth2/authorize/", gates.open_to_all, _VIEWS),
    Route("/logout", gates.open_to_all, {"GET": lambda _: html(200, "You have signed out.")}),
]
