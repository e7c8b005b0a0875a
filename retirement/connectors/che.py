"""Eclipse Che and Red Hat CodeReady Workspaces 2: users and their workspaces, up to Che 7.110.

Contract of the services, section C. Any request with a valid token of the realm makes the user anew, under the same
id: so first `disable_and_log_out` in Keycloak, then `delete_learner` here, then `delete_learner` in Keycloak. A
user that an open session makes anew is found when the erasure is asked about, and erased once more. DELETE answers
204 for any id, so only a look proves anything; the cascade to Keycloak swallows its errors and stays off. Volumes
and secrets in the learner's namespace are the cluster's to clean.

Documentation: https://eclipse.dev/che/docs/ and, for its routes, https://github.com/eclipse-che/che-server
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

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
from retirement.connectors.shared.realm import USERS, RealmSettings, admin_url, one_for_each, tokens
from retirement.learner import Learner
from retirement.wire.api import Api, Auth, Request
from retirement.wire.meanings import Meaning, meanings
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.urls import require_safe
from retirement.wire.wiring import Wiring

ME, USER, FIND, RIGHTS = "/user", "/user/{id}", "/user/find", "/permissions/system"
OWNED, WORKSPACE, RUNTIME = "/workspace/namespace/{name}", "/workspace/{id}", "/workspace/{id}/runtime"
NOT_STOPPED, FOREIGN = "not stopped yet", "foreign profile"
#: A workspace stops within a minute or so; what takes longer is left to the next try of the step.
PAUSE_SECONDS, LOOKS = 5.0, 12
#: A deletion that was begun too early stops the workspaces itself, and works some tens of seconds later.
LONG_PAUSE_SECONDS, DELETIONS = 20.0, 4


class FindBy(StrEnum):
    """What the user is looked up by."""

    ID = "id"  #: the id of the learner's Keycloak user, which Che's is equal to
    NAME = "name"
    EMAIL = "email"


#: What is told about the learner.
TOLD = {
    FindBy.ID: frozenset({Identity.USERNAME, Identity.EMAIL}),
    FindBy.NAME: frozenset({Identity.USERNAME}),
    FindBy.EMAIL: frozenset({Identity.EMAIL}),
}


class CheSettings(RealmSettings):
    """What stands below `services.CHE`."""

    url: str = Field(description="Base URL of the API, which ends in `/api`.")
    keycloak_url: str = Field(description="Whole base URL of its Keycloak, with `/auth` where that has it.")
    find_by: tuple[FindBy, ...] = Field(
        default=(FindBy.NAME, FindBy.EMAIL),
        min_length=1,
        description="What users are found by, one or more of `id`, `name`, `email`; they have to agree.",
    )

    @field_validator("find_by", mode="after")
    @classmethod
    def _finds_who_came_back(cls, value: tuple[FindBy, ...]) -> tuple[FindBy, ...]:
        if set(value) == {FindBy.ID}:
            raise ValueError("add `name` or `email`: once Keycloak has deleted the user, it gives no id")
        return value

    @model_validator(mode="after")
    def _keeps_tokens_private(self) -> Self:
        require_safe("keycloak_url", self.keycloak_url, allow_insecure=self.allow_insecure)
        return self


class Che(Connector[CheSettings]):
    """Eclipse Che, or CodeReady Workspaces 2, with Keycloak."""

    service = "CHE"
    answers: ClassVar[Mapping[str, Success]] = {
        f"GET {ME}": an_object("id", "name"),
        f"GET {USER}": an_object("id", "name"),
        f"GET {FIND}": an_object("id", "name"),
        f"GET {RIGHTS}": an_object("actions"),
        f"GET {OWNED}": a_list(),
        f"GET {WORKSPACE}": an_object("id"),
        f"DELETE {RUNTIME}": nothing(),
        f"DELETE {WORKSPACE}": nothing(),
    }

    def __init__(self, settings: CheSettings, api: Api, realm: Api | None = None) -> None:
        super().__init__(settings, api)
        #: The administration of the realm, for who looks users up there, and for names that a search may lose.
        self._realm = realm.expecting({f"GET {USERS}": a_list()}) if realm else None

    @classmethod
    def connected(cls, service: str, settings: CheSettings, wiring: Wiring) -> Self:
        """Che and its realm, with one token for both."""
        auth = cls.sign_in(service, settings, wiring)
        realm = wiring.api(service, admin_url(settings.keycloak_url, settings.realm), auth=auth, limits=cls.limits)
        return cls(settings, wiring.api(service, settings.base_url, auth=auth, limits=cls.limits), realm)

    @classmethod
    def sign_in(cls, service: str, settings: CheSettings, wiring: Wiring) -> Auth:
        return tokens(service, settings.keycloak_url, settings.realm, settings, wiring)

    @classmethod
    def declared(cls, settings: CheSettings | None) -> dict[str, Operation]:
        """The operations, with what the settings let them tell, and ask Keycloak."""
        if settings is None:
            return cls.operations()
        find_by = settings.find_by
        needs = frozenset[Identity]().union(*(TOLD[each] for each in find_by))
        elsewhere = "KEYCLOAK" if FindBy.ID in find_by else None
        return {name: replace(each, needs=needs, looks_up_in=elsewhere) for name, each in cls.operations().items()}

    @operation(
        Identity.USERNAME,
        Identity.EMAIL,
        route=("DELETE", USER),
        repeats=Repeats.LOOK_FIRST,
        safer_after="KEYCLOAK.disable_and_log_out",
        asks="is_back",
        again="delete_named",
        # The longest token of a default installation has ended after 35 minutes; after 12 hours its longest session.
        follow_up=FollowUp(
            first=timedelta(minutes=35), every=timedelta(hours=1), overdue=timedelta(days=1), again=timedelta(hours=12)
        ),
        success=nothing(),
    )
    async def delete_learner(self, learner: Learner) -> Erasure:
        """Stop and delete the user's workspaces, then delete the user with all that is theirs."""
        known_as = await self._id_in_realm(learner) if FindBy.ID in self.settings.find_by else None
        user = await self._find(learner, known_as)
        if user is None and known_as is None and any("+" in text for _, text in self._texts(learner)):
            # Servers and proxies are known to read `+` as a blank: one search that finds no user proves nothing.
            known_as = await self._id_in_realm(learner)
            user = await self._find(learner, known_as) if known_as else None
        if user is None:
            # A session that is still open makes the user under this id.
            return Erasure(Outcome.ABSENT, known_as)
        await self._clear_workspaces(user["name"])
        await self._delete(user["id"])
        return Erasure(Outcome.ERASED, user["id"])

    async def delete_named(self, receipt: str) -> Erasure:
        """Delete the user of this id, whom a session has made anew, and their workspaces."""
        if user := await self._by_id(receipt):
            await self._clear_workspaces(user["name"])
            await self._delete(user["id"])
        return Erasure(Outcome.ERASED, receipt)

    async def is_back(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether a session that was still open has made the user anew."""
        return Verdict.PRESENT if await self._by_id(receipt) else Verdict.GONE

    async def probe(self, name: str) -> None:
        """Reads who we are, and whether we may manage users."""
        _user_in(await self.api.get(ME, patience=Patience.LOOKUP))

        def permitted(reply: Reply) -> bool | None:
            actions = reply.mapping.get("actions")
            held = isinstance(actions, list) and "manageUsers" in actions
            if reply.status in (403, 404) or (reply.status == 200 and not held):
                why = "the account needs the system permission manageUsers"
                raise reply.misconfigured(why)
            return None

        await self.api.get(RIGHTS, patience=Patience.LOOKUP, judge=permitted)

    async def _id_in_realm(self, learner: Learner) -> str | None:
        if self._realm is None:
            return None
        told = frozenset[Identity]().union(*(TOLD[each] for each in self.settings.find_by))
        found = set(await one_for_each(self._realm, learner, *sorted(told))) - {None}
        if len(found) > 1:
            raise self.api.refused(f"GET {FIND}", "username and e-mail lead to different Keycloak users")
        return next(iter(found), None)

    async def _find(self, learner: Learner, known_as: str | None) -> Mapping[str, str] | None:
        """The one user that the keys lead to; a key that leads to none does not count."""
        users = {user["id"]: user async for user in self._looked_up(learner, known_as) if user}
        if len(users) > 1:
            raise self.api.refused(f"GET {FIND}", "name, e-mail and id lead to different users", 200)
        user = next(iter(users.values()), None)
        if user is not None and self._has_another_email(user, learner):
            raise self.api.refused(f"GET {FIND}", "the user of that name has another e-mail address", 200)
        return user

    async def _looked_up(self, learner: Learner, known_as: str | None) -> AsyncIterator[Mapping[str, str] | None]:
        """What each key leads to."""
        if known_as:
            yield await self._by_id(known_as)
        for key, text in self._texts(learner):
            yield await self._by_text(key, text)

    def _texts(self, learner: Learner) -> Iterator[tuple[str, str]]:
        """The names and addresses to look for, and what Che calls each."""
        for key, text in ((FindBy.NAME, learner.username), (FindBy.EMAIL, learner.email)):
            if key in self.settings.find_by and text:
                # Keycloak gives them in lower case; users from before may have them as they were written.
                yield from dict.fromkeys(((key.value, text.lower()), (key.value, text)))

    def _has_another_email(self, user: Mapping[str, str], learner: Learner) -> bool:
        if FindBy.EMAIL not in self.settings.find_by or not learner.email or not user.get("email"):
            return False
        return str(user["email"]).lower() != learner.email.lower()

    async def _by_text(self, key: str, text: str) -> Mapping[str, str] | None:
        reply = await self.api.find(FIND, params=[(key, text)], judge=_own_404_only)
        if reply is None:
            return None
        user = _user_in(reply)
        if str(user.get(key)).lower() != text.lower():
            raise reply.refused(f"it finds a user of another {key}")
        return user

    async def _by_id(self, user_id: str) -> Mapping[str, str] | None:
        reply = await self.api.find(USER, values={"id": user_id}, judge=_own_404_only)
        if reply is None:
            return None
        user = _user_in(reply)
        if user["id"] != user_id:
            raise reply.refused("the answer is another user")
        return user

    async def _clear_workspaces(self, owner: str) -> None:
        """Stops and deletes as far as we may; what we may not, the deletion of the user does."""
        listed = await self._workspaces(owner)
        stopping = []
        for each in listed:
            runs = each["status"] in ("STARTING", "RUNNING")
            if not runs or not _denied(await self._may_be_denied("DELETE", RUNTIME, each["id"], 404, 409)):
                stopping.append(each["id"])
        for workspace in stopping:
            await self._wait_until_stopped(workspace)
        for workspace in stopping:
            # 409: the workspace was started again; the deletion of the user stops it.
            await self._may_be_denied("DELETE", WORKSPACE, workspace, 404, 409)

    async def _workspaces(self, owner: str) -> list[dict[str, Any]]:
        if "/" in owner:
            return []  # no server takes an encoded slash in a path
        reply = await self._may_be_denied("GET", OWNED, owner)
        if _denied(reply):
            return []
        listed = reply.items(reply.data, _is_workspace, "a list of workspaces is due")
        if any(each.get("namespace") != owner for each in listed):
            raise reply.refused("it lists workspaces of another user")
        return listed

    async def _wait_until_stopped(self, workspace: str) -> None:
        for _ in range(LOOKS):
            reply = await self._may_be_denied("GET", WORKSPACE, workspace, 404)
            if reply.status != 200 or reply.mapping.get("status") == "STOPPED":
                return
            await self.api.retry.sleep(PAUSE_SECONDS)
        raise reply.busy("a workspace of the user has not stopped yet")

    async def _may_be_denied(self, method: str, path: str, what: str, *harmless: int) -> Reply:
        def judge(reply: Reply) -> bool | None:
            return True if _denied(reply) or (reply.kind == "json" and reply.status in harmless) else None

        return await self.api.send(Request(method, path, {"id": what, "name": what}), judge)

    async def _delete(self, user_id: str) -> None:
        """Deletes until the user is not found. Raises `Busy` while workspaces, or a session, are in the way."""
        for left in reversed(range(DELETIONS)):
            reply = await self.api.delete(USER, values={"id": user_id}, judge=_deletion)
            why = "a workspace of the user has not stopped yet"
            if reply.status != 500:
                if await self._by_id(user_id) is None:
                    return
                why = "the user is there after the deletion: a session goes on; disable them in Keycloak first"
            if left:
                await self.api.retry.sleep(LONG_PAUSE_SECONDS)
        raise reply.busy(why)


_raise_why_not_deleted = meanings(
    Meaning(500, Reply.refused, "it cannot remove a profile that Keycloak has", says=FOREIGN),
    Meaning(403, Reply.misconfigured, "the account needs the permission manageUsers"),
    Meaning(404, Reply.misconfigured, "no such route: Che after 7.110 has no users to delete"),
)


def _deletion(reply: Reply) -> bool | None:
    if reply.status == 500 and reply.says(NOT_STOPPED):
        return True
    _raise_why_not_deleted(reply)
    empty_only(reply)
    return None


def _own_404_only(reply: Reply) -> None:
    """Che says in words that it finds no user; a 404 without them comes from another server."""
    if reply.status == 404 and not isinstance(reply.mapping.get("message"), str):
        raise reply.misconfigured("no such route: check url")


def _is_workspace(value: object) -> bool:
    return isinstance(value, dict) and {"id", "status"} <= value.keys()


def _user_in(reply: Reply) -> Mapping[str, str]:
    user = reply.mapping
    if not all(isinstance(user.get(field), str) and user[field] for field in ("id", "name")):
        raise reply.refused("the answer is no user")
    return user


def _denied(reply: Reply) -> bool:
    """Whether Che itself says that an administrator may not do this in another user's workspaces."""
    return reply.status == 403 and reply.kind == "json"
