"""Keycloak and Red Hat Single Sign-On: the account that learners sign in with.

Contract of the services, sections C7 and D. A learner with an open session brings back what other services erased,
so the safe order is `disable_and_log_out` here, then `delete_learner` of what trusts this realm (CHE), then
`delete_learner` here, by which the look-up of the others ends. Access tokens that are out live on until they expire
(5 minutes by default), and offline sessions go with a client's consent, or else with the user.

Deletion leaves events of the realm and log lines until they expire there. Users from an LDAP come back with its next
import, under a new id, unless they are removed there first.

Documentation: https://www.keycloak.org/docs-api/latest/rest-api/index.html
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Operation,
    Outcome,
    Repeats,
    Success,
    Verdict,
    a_list,
    an_object,
    empty_only,
    nothing,
    operation,
)
from retirement.connectors.shared.realm import (
    USER,
    USERS,
    RealmSettings,
    admin_url,
    no_absence,
    one_for_each,
    own_404_only,
    search,
    tokens,
)
from retirement.errors import NotFound
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.patience import Patience
from retirement.wire.reply import Judge, Reply
from retirement.wire.wiring import Wiring

LOGOUT, SESSIONS = f"{USER}/logout", f"{USER}/sessions"
CONSENTS, CONSENT = f"{USER}/consents", f"{USER}/consents/{{client}}"
LINKS, LINK = f"{USER}/federated-identity", f"{USER}/federated-identity/{{provider}}"
FAILURES = "/attack-detection/brute-force/users/{id}"
COUNT = f"{USERS}/count"


class FindBy(StrEnum):
    """What the learner is looked up by; `both` have to lead to the same user, or nothing is done."""

    USERNAME = "username"
    EMAIL = "email"
    BOTH = "both"

    @property
    def keys(self) -> tuple[Identity, ...]:
        """What the realm is told about the learner."""
        if self is FindBy.BOTH:
            return (Identity.USERNAME, Identity.EMAIL)
        return (Identity(self.value),)


class KeycloakSettings(RealmSettings):
    """What stands below `services.KEYCLOAK`."""

    url: str = Field(description="Whole base URL, with `/auth` where the server has it (up to 16, RH-SSO 7).")
    token_realm: str | None = Field(
        default=None, min_length=1, description="Realm that gives the tokens, such as `master`; else `realm`."
    )
    find_by: FindBy = Field(
        default=FindBy.BOTH,
        description="What learners are found by: `username`, `email`, or `both`, which then have to agree.",
    )

    @property
    def base_url(self) -> str:
        return admin_url(self.url, self.realm)


class Keycloak(Connector[KeycloakSettings]):
    """A realm of Keycloak or Red Hat Single Sign-On."""

    service = "KEYCLOAK"
    answers: ClassVar[Mapping[str, Success]] = {
        f"POST {LOGOUT}": nothing(),
        f"GET {CONSENTS}": a_list(),
        f"GET {LINKS}": a_list(),
        f"GET {SESSIONS}": a_list(),
        f"DELETE {CONSENT}": nothing(),
        f"DELETE {LINK}": nothing(),
        f"DELETE {FAILURES}": nothing(),
        f"GET {USER}": an_object("id"),
        f"GET {USERS}": a_list(),
    }

    @classmethod
    def sign_in(cls, service: str, settings: KeycloakSettings, wiring: Wiring) -> Auth:
        return tokens(service, settings.url, settings.token_realm or settings.realm, settings, wiring)

    @classmethod
    def declared(cls, settings: KeycloakSettings | None) -> dict[str, Operation]:
        """The operations, each with what the settings let it tell the realm."""
        if settings is None:
            return cls.operations()
        needs = frozenset(settings.find_by.keys)
        return {name: replace(each, needs=needs) for name, each in cls.operations().items()}

    @operation(
        Identity.USERNAME,
        Identity.EMAIL,
        route=("PUT", USER),
        finds_by_username=True,
        repeats=Repeats.LOOK_FIRST,
        success=nothing(),
    )
    async def disable_and_log_out(self, learner: Learner) -> Outcome:
        """Bar the account, end its sessions, and remove its consents, links and failure counters."""
        user = await self._find(learner)
        if user is None:
            return Outcome.ABSENT
        await self._disable(user)
        await self.api.post(LOGOUT, values={"id": user}, judge=_written())
        # `clientId` and `identityProvider` are how the two lists name what a path then names.
        await self._remove_each(user, CONSENTS, CONSENT, "client", "clientId")
        await self._remove_each(user, LINKS, LINK, "provider", "identityProvider")
        await self._delete(FAILURES, id=user)
        await self.api.get(SESSIONS, values={"id": user}, judge=_none_left("sessions"))
        return Outcome.ERASED

    @operation(
        Identity.USERNAME,
        Identity.EMAIL,
        route=("DELETE", USER),
        finds_by_username=True,
        destroys_username=True,
        repeats=Repeats.LOOK_FIRST,
        asks="is_back",
        again="delete_named",
        follow_up=FollowUp(
            first=timedelta(hours=1), every=timedelta(hours=6), overdue=timedelta(days=2), again=timedelta(days=7)
        ),
        success=nothing(),
    )
    async def delete_learner(self, learner: Learner) -> Erasure:
        """Delete the account with its credentials, attributes, roles, links, consents and sessions."""
        user = await self._find(learner)
        if user is None:
            return Erasure(Outcome.ABSENT)
        return await self.delete_named(user)

    async def delete_named(self, receipt: str) -> Erasure:
        """Delete the account of this id."""
        # Nothing there any more: an earlier try of this call, or another client, has deleted it.
        await self._delete(USER, id=receipt)
        if await self._is_there(receipt):
            raise self.api.refused(f"GET {USER}", "the user is there although it said deleted", 200)
        return Erasure(Outcome.ERASED, receipt)

    async def is_back(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether the user is there, or another has the learner's name or address: a stranger, or back from an LDAP."""
        if await self._is_there(receipt):
            return Verdict.PRESENT
        if learner is not None:
            for key in self.settings.find_by.keys:
                # A server that does not know `exact` finds other users too; they do not matter here.
                if (await search(self.api, learner, key)).ids:
                    return Verdict.ANOTHER
        return Verdict.GONE

    async def probe(self, name: str) -> None:
        """Counts the users of the realm."""
        reply = await self.api.get(COUNT, patience=Patience.LOOKUP, judge=no_absence)
        if not isinstance(reply.data, int) or isinstance(reply.data, bool):
            raise reply.misconfigured("it gives no number: check url and realm")

    async def _find(self, learner: Learner) -> str | None:
        found = await one_for_each(self.api, learner, *self.settings.find_by.keys)
        if len(set(found)) > 1:
            raise self.api.refused(f"GET {USERS}", "username and e-mail lead to different users", 200)
        return found[0]

    async def _disable(self, user: str) -> None:
        # Nothing but this field: some servers take everything that is given for new.
        judge = _written("the user cannot be changed here: an LDAP that is read only has them")
        await self.api.put(USER, values={"id": user}, json={"enabled": False}, judge=judge)
        reply = await self._read(user)
        if reply.data.get("enabled") is not False:
            raise reply.refused("the user is still enabled")

    async def _is_there(self, user: str) -> bool:
        try:
            await self._read(user)
        except NotFound:
            return False
        return True

    async def _read(self, user: str) -> Reply:
        """The user, with proof that it is this one. Raises `NotFound`."""
        reply = await self.api.get(USER, values={"id": user}, patience=Patience.LOOKUP, judge=own_404_only)
        if not isinstance(reply.data, dict) or reply.data.get("id") != user:
            raise reply.refused("the answer is not the user")
        return reply

    async def _remove_each(self, user: str, several: str, one: str, value: str, field: str) -> None:
        """Deletes all that a list of the user's names, and each may be gone by then."""
        reply = await self.api.get(several, values={"id": user}, patience=Patience.LOOKUP, judge=own_404_only)
        named: list[Any] = reply.data if isinstance(reply.data, list) else [None]
        if not all(isinstance(each, Mapping) and isinstance(each.get(field), str) for each in named):
            raise reply.refused(f"a list with {field} is due")
        for each in named:
            await self._delete(one, id=user, **{value: each[field]})
        if named:
            # A 404 to the deletion is no proof: a gateway may say so as well.
            await self.api.get(several, values={"id": user}, patience=Patience.LOOKUP, judge=_none_left(f"{value}s"))

    async def _delete(self, path: str, **values: str) -> None:
        why = "the user cannot be deleted: an LDAP that is read only has them" if path == USER else ""
        try:
            await self.api.delete(path, values=values, judge=_written(why))
        except NotFound:
            return


def _written(on_400: str = "") -> Judge:
    """For what changes something: success is an empty answer; `on_400` says what that status means."""

    def judge(reply: Reply) -> None:
        own_404_only(reply)
        if reply.status == 400 and on_400:
            raise reply.refused(on_400)
        empty_only(reply)

    return judge


def _none_left(what: str) -> Judge:
    """The list has to be empty; a node of the cluster may know a moment later."""

    def judge(reply: Reply) -> None:
        own_404_only(reply)
        if reply.status == 200 and reply.kind == "json" and reply.data != []:
            if isinstance(reply.data, list):
                raise reply.transient(f"{what} are still there")
            raise reply.refused(f"a list of {what} is due")

    return judge
