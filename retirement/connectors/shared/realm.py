"""What connectors share that talk to a Keycloak realm: signing in to it, and finding one learner there.

Contract of the services, sections C10, D0, D1 and D3. Older servers ignore `exact` without a word and search for
parts of a name, so what a search returns is compared here: Keycloak writes usernames and e-mails in lower case.

Documentation: https://www.keycloak.org/docs-api/latest/rest-api/index.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, model_validator

from retirement.connectors import Identity, ServiceSettings
from retirement.learner import Learner
from retirement.wire.api import Api, Auth
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

USERS, USER = "/users", "/users/{id}"
#: Most hits that a search is asked for. A full list may lack a user, so it proves nothing.
MOST_HITS = 100


class RealmSettings(ServiceSettings):
    """How to sign in: as a client with a service account, or as a user through a client that lets users."""

    realm: str = Field(min_length=1, description="Realm that the learners are in.")
    client_id: str = Field(min_length=1, description="Client to get tokens with; `admin-cli` for an administrator.")
    client_secret: SecretStr | None = Field(
        default=None, description="Secret of the client; without username it signs in as its service account."
    )
    username: str | None = Field(
        default=None, min_length=1, description="Account to sign in as, where the client has no service account."
    )
    password: SecretStr | None = Field(default=None, description="Password of that account.")

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; give both, or client_secret alone")
        if self.client_secret is None and self.username is None:
            raise ValueError("needs client_secret, or username and password")
        return self

    def form(self) -> dict[str, str]:
        """What the token endpoint is sent."""
        form = {"client_id": self.client_id, "grant_type": "client_credentials"}
        if self.client_secret is not None:
            form["client_secret"] = self.client_secret.get_secret_value()
        if self.username is not None and self.password is not None:
            form |= {"grant_type": "password", "username": self.username}
            form["password"] = self.password.get_secret_value()
        return form


def tokens(service: str, keycloak: str, realm: str, settings: RealmSettings, wiring: Wiring) -> Auth:
    """Signs with access tokens of a realm at a Keycloak's base URL."""
    url = f"{keycloak.rstrip('/')}/realms/{quote(realm, safe='')}"
    return wiring.oauth(service, url, "/protocol/openid-connect/token", settings.form)


def admin_url(keycloak: str, realm: str) -> str:
    """Where a realm is administered."""
    return f"{keycloak.rstrip('/')}/admin/realms/{quote(realm, safe='')}"


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found: the ids of users who are the learner, and whether there were others only."""

    ids: frozenset[str]
    others_only: bool
    reply: Reply


async def search(api: Api, learner: Learner, key: Identity) -> Hits:
    """Users of the realm whose username or e-mail is the learner's. Raises `ServiceError`."""
    field, wanted = key.value, str(getattr(learner, key.value)).lower()
    if not wanted.strip():
        # An empty filter is no filter: it would find every user.
        raise api.refused(f"GET {USERS}", f"the learner has no {field} to look for")
    users, reply = await _users(api, (field, wanted), ("exact", "true"))
    if not users and "+" in wanted:
        # Servers and proxies are known to read `+` as a blank and to find no user: only a part proves absence.
        users, reply = await _users(api, (field, max(wanted.split("+"), key=len)), ("exact", "false"))
        users = _with(field, wanted, users)
    ids = frozenset(each["id"] for each in _with(field, wanted, users))
    return Hits(ids, others_only=bool(users) and not ids, reply=reply)


def _with(field: str, wanted: str, users: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in users if str(each.get(field) or "").lower() == wanted]


async def _users(api: Api, *condition: tuple[str, str]) -> tuple[list[Mapping[str, Any]], Reply]:
    params = [*condition, ("max", str(MOST_HITS))]
    reply = await api.get(USERS, params=params, patience=Patience.LOOKUP, judge=no_absence)
    users = reply.items(reply.data, _is_user, "a list of users is due")
    if len(users) >= MOST_HITS:
        raise reply.refused("it finds too many users to tell who is meant")
    return users, reply


def _is_user(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("id"), str) and bool(value["id"])


async def one_for_each(api: Api, learner: Learner, *keys: Identity) -> list[str | None]:
    """The id of the one user that each key leads to, None where it leads to no user.

    Raises `Refused` where a key leads to several, or to others only: a person has to say who is meant.
    """
    found: list[str | None] = []
    for key in keys:
        hits = await search(api, learner, key)
        if len(hits.ids) > 1:
            raise hits.reply.refused(f"several users have this {key.value}")
        if hits.others_only:
            reason = f"it finds only users with another {key.value}: a person has to decide which user is the learner"
            raise hits.reply.refused(reason)
        found.append(next(iter(hits.ids), None))
    return found


def no_absence(reply: Reply) -> None:
    """For searches and counts: no hit is an empty list and never a 404."""
    if reply.status == 404:
        raise reply.misconfigured("no such realm: check url and realm")
    if reply.status == 403:
        raise reply.misconfigured("the client needs the roles view-users and query-users")


#: How Keycloak and RESTEasy begin when it is the realm or the route that they do not find.
_OF_A_ROUTE = re.compile(
    r"realm|http 404|unable to find|resteasy|could not find resource|feature not enabled", re.IGNORECASE
)


def own_404_only(reply: Reply) -> None:
    """For what belongs to one user: a 404 counts when Keycloak says it, and says it of that and not of the realm.

    403 is what a client without the right to query gets for a user who is gone, so it proves nothing.
    """
    if reply.status == 403:
        raise reply.misconfigured("the client needs manage-users, view-users and query-users")
    if reply.status == 404 and not _is_of_a_user(reply):
        raise reply.misconfigured("no such realm or route: check url and realm")


def _is_of_a_user(reply: Reply) -> bool:
    text = str(reply.at("error") or reply.at("errorMessage") or "")
    return bool(text) and not _OF_A_ROUTE.match(text)
