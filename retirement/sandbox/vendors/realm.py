"""A Keycloak realm as services see it that trust it: who may sign in, and its tokens (contract services.md, C10, D1).

One realm of learners, and `master`, whose administrator may manage it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import Boolean, Column

from retirement.sandbox.routing import Call
from retirement.sandbox.wire import AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import decode, encode

REALM, MASTER = "learners", "master"
#: Seconds that an access token lives, by realm.
LIFETIMES = {REALM: 300, MASTER: 60}
#: Clients with a service account: their secrets and their roles of `realm-management`.
CLIENTS = {
    "retirement-pipeline": ("keycloak-sandbox-secret", ("view-users", "query-users", "manage-users")),
    "reader": ("reader-secret", ("view-users", "query-users")),
    "nobody": ("nobody-secret", ()),
}
ADMIN, ADMIN_PASSWORD, NEW_ADMIN = "admin", "admin-sandbox-password", "new-admin"
#: Clients through which users sign in with their passwords.
PUBLIC = {MASTER: "admin-cli", REALM: "codeready-public"}
NAMES = ("username", "email", "first_name", "last_name")
user = table_of("keycloak", "keycloak_user", "uid", *NAMES, Column("enabled", Boolean, nullable=False), "origin")
session = table_of("keycloak", "keycloak_session", "uid", "session", "ip_address")


def refused(status: int, error: str, description: str = "") -> AbortError:
    return AbortError(as_json({"error": error} | ({"error_description": description} if description else {}), status))


def token(realm: str, lifetime: int, now: datetime, claims: Mapping[str, Any]) -> Answer:
    """The answer of the token endpoint."""
    times = {"iat": int(now.timestamp()), "exp": int(now.timestamp()) + lifetime, "typ": "Bearer", "iss": realm}
    access = encode({**times, **claims})
    return as_json({"access_token": access, "expires_in": lifetime, "token_type": "Bearer", "scope": "email"})


def claims_of(request: Request, world: World) -> dict[str, Any] | None:
    """Of a Bearer token that has not expired, by the platform's clock: what an offline verifier sees."""
    word, _, text = request.headers.get("authorization", "").partition(" ")
    claims = decode(text) if word == "Bearer" else None
    alive = claims is not None and claims.get("typ") == "Bearer" and claims["exp"] > world.now().timestamp()
    return claims if alive else None


def sign_in(call: Call) -> Answer:
    """client_credentials and password; nothing else is on."""
    realm, form = call.arguments["realm"], call.request.form
    if realm not in LIFETIMES:
        raise refused(404, "Realm does not exist")
    grants = {"client_credentials": _service_account, "password": _with_password}
    if form.get("grant_type") not in grants:
        raise refused(400, "unsupported_grant_type", "Unsupported grant_type")
    claims = grants[form["grant_type"]](call, realm, form)
    return token(realm, LIFETIMES[realm], call.world.now(), claims)


def _service_account(call: Call, realm: str, form: Mapping[str, str]) -> dict[str, Any]:
    name = form.get("client_id", "")
    secret, roles = CLIENTS.get(name, ("", ())) if realm == REALM else ("", ())
    if not secret or form.get("client_secret") != secret:
        raise refused(401, "invalid_client", "Invalid client or Invalid client credentials")
    account = f"service-account-{name}"
    claims = {"sub": str(uuid5(NAMESPACE_URL, account)), "preferred_username": account, "azp": name}
    # Service accounts have no address of their own; this one was given an address, else Che would refuse it (C10).
    return claims | {"email": f"{name}@sandbox.invalid", "roles": list(roles)}


def _with_password(call: Call, realm: str, form: Mapping[str, str]) -> dict[str, Any]:
    if form.get("client_id") != PUBLIC[realm]:
        raise refused(401, "invalid_client", "Invalid client or Invalid client credentials")
    name, password = form.get("username", "").lower(), form.get("password")
    if realm == MASTER:
        if name == NEW_ADMIN:
            raise refused(400, "invalid_grant", "Account is not fully set up")
        if (name, password) != (ADMIN, ADMIN_PASSWORD):
            raise refused(401, "invalid_grant", "Invalid user credentials")
        roles = ["view-users", "query-users", "manage-users"]
        return {"sub": str(uuid5(NAMESPACE_URL, name)), "preferred_username": name, "azp": "admin-cli", "roles": roles}
    row = call.db.execute(user.select().where(user.c.username == name)).first()
    if row is None or password != f"password-of-{row.learner}":
        raise refused(401, "invalid_grant", "Invalid user credentials")
    if not row.enabled:
        raise refused(400, "invalid_grant", "Account disabled")
    opened = {"learner": row.learner, "uid": row.uid, "session": str(uuid4()), "ip_address": "192.0.2.7"}
    call.db.execute(session.insert().values(opened))
    claims = {"sub": row.uid, "preferred_username": row.username, "email": row.email, "azp": PUBLIC[realm]}
    # The mark of the sandbox' reports, for services that make users of a token.
    return claims | {"roles": [], "sandbox_learner": row.learner}
