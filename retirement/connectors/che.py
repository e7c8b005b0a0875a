"""Eclipse Che and Red Hat CodeReady Workspaces 2: users and their workspaces, up to Che 7.110.

Contract of the services, section C. Any request with a valid token of the realm makes the user anew, under the same
id: so first `disable_and_log_out` in Keycloak, then `delete_learner` here, then `delete_learner` in Keycloak. Whom a
session brings back that was open then is found when the erasure is asked about, and erased once more. DELETE answers
204 for whoever, so only a look proves anything; the cascade to Keycloak swallows its errors and stays off. Volumes
and secrets in the learner's namespace are the cluster's to clean.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self, cast
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Operation,
    Outcome,
    Repeats,
    ServiceSettings,
    Verdict,
    empty_only,
    operation,
)
from retirement.connectors.realm import RealmSettings, admin_url, one_for_each, tokens
from retirement.errors import Busy, Misconfigured, NotFound, Refused
from retirement.http import Api, Auth, Judge, Patience, Reply
from retirement.learner import Learner
from retirement.wiring import Wiring

ME, USER, FIND, RIGHTS = "/user", "/user/{id}", "/user/find", "/permissions/system"
OWNED, WORKSPACE, RUNTIME = "/workspace/namespace/{name}", "/workspace/{id}", "/workspace/{id}/runtime"
NOT_STOPPED, FOREIGN = "not stopped yet", "foreign profile"
#: A workspace stops within a minute or so; what takes longer is left to the next try of the step.
PAUSE_SECONDS, LOOKS = 5.0, 12
#: A deletion that was begun too early stops the workspaces itself, and works some tens of seconds later.
LONG_PAUSE_SECONDS, DELETIONS = 20.0, 4
LOOPBACK = ("localhost", "127.0.0.1", "::1")


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


class Che(Connector):
    """Eclipse Che, or CodeReady Workspaces 2, with Keycloak."""

    service = "CHE"

    class Settings(RealmSettings):
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
            parts = urlsplit(self.keycloak_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
                raise ValueError("keycloak_url is no base URL; write it as https://HOST[:PORT][/PATH]")
            if parts.scheme == "http" and not self.allow_insecure and parts.hostname not in LOOPBACK:
                raise ValueError("keycloak_url is http:// to another machine; use https://, or set allow_insecure")
            return self

    def __init__(self, settings: ServiceSettings, api: Api, realm: Api | None = None) -> None:
        super().__init__(settings, api)
        #: The administration of the realm, for who looks users up there.
        self._realm = realm

    @classmethod
    def connected(cls, service: str, settings: ServiceSettings, wiring: Wiring) -> Self:
        """Che and its realm, with one token for both."""
        given = cast(Che.Settings, settings)
        auth = cls.sign_in(service, given, wiring)
        realm = None
        if FindBy.ID in given.find_by:
            realm = wiring.api(service, admin_url(given.keycloak_url, given.realm), auth=auth, limits=cls.limits)
        return cls(settings, wiring.api(service, settings.base_url, auth=auth, limits=cls.limits), realm)

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
        return tokens(service, settings.keycloak_url, settings.realm, settings, wiring)

    @classmethod
    def declared(cls, settings: ServiceSettings | None) -> dict[str, Operation]:
        """The operations, with what the settings let them tell, and ask Keycloak."""
        if settings is None:
            return cls.operations()
        find_by = cast(Che.Settings, settings).find_by
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
        # The longest token of a default installation has ended after 35 minutes; after 12 hours its longest session.
        follow_up=FollowUp(
            first=timedelta(minutes=35), every=timedelta(hours=1), overdue=timedelta(days=1), again=timedelta(hours=12)
        ),
    )
    async def delete_learner(self, learner: Learner) -> Erasure:
        """Stop and delete the user's workspaces, then delete the user with all that is theirs."""
        known_as = await self._id_in_realm(learner)
        user = await self._find(learner, known_as)
        if user is None:
            # A session that is still open makes the user under this id.
            return Erasure(Outcome.ABSENT, known_as)
        await self._clear_workspaces(user["name"])
        await self._delete(user["id"])
        return Erasure(Outcome.ERASED, user["id"])

    async def is_back(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether a session that was still open has made the user anew."""
        return Verdict.PRESENT if await self._by_id(receipt) else Verdict.GONE

    async def probe(self, name: str) -> None:
        """Reads who we are, and whether we may manage users."""
        self._user_in(await self.api.get(ME, patience=Patience.LOOKUP), ME)

        def permitted(reply: Reply) -> bool | None:
            own = reply.data if isinstance(reply.data, dict) else {}
            actions = own.get("actions")
            held = isinstance(actions, list) and "manageUsers" in actions
            if reply.status in (403, 404) or (reply.status == 200 and not held):
                why = "the account needs the system permission manageUsers"
                raise Misconfigured(self.api.service, f"GET {RIGHTS}", reply.status, why)
            return None

        await self.api.get(RIGHTS, patience=Patience.LOOKUP, judge=permitted)

    async def _id_in_realm(self, learner: Learner) -> str | None:
        if self._realm is None:
            return None
        found = set(await one_for_each(self._realm, learner, Identity.USERNAME, Identity.EMAIL)) - {None}
        if len(found) > 1:
            raise Refused(self.api.service, f"GET {FIND}", None, "username and e-mail lead to different Keycloak users")
        return next(iter(found), None)

    async def _find(self, learner: Learner, known_as: str | None) -> Mapping[str, str] | None:
        """The one user whom all keys lead to that lead to anybody."""
        find_by = cast(Che.Settings, self.settings).find_by
        found = [await self._by_id(known_as)] if known_as else []
        for key, text in ((FindBy.NAME, learner.username), (FindBy.EMAIL, learner.email)):
            if key in find_by and text:
                # Keycloak gives them in lower case; users from before may have them as they were written.
                found += [await self._by_text(key.value, each) for each in dict.fromkeys((text.lower(), text))]
        users = {user["id"]: user for user in found if user}
        if len(users) > 1:
            raise Refused(self.api.service, f"GET {FIND}", 200, "name, e-mail and id lead to different users")
        emails = {str(user["email"]).lower() for user in users.values() if user.get("email")}
        if FindBy.EMAIL in find_by and learner.email and emails - {learner.email.lower()}:
            raise Refused(self.api.service, f"GET {FIND}", 200, "the user of that name has another e-mail address")
        return next(iter(users.values()), None)

    async def _by_text(self, key: str, text: str) -> Mapping[str, str] | None:
        try:
            reply = await self.api.get(
                FIND, params=[(key, text)], patience=Patience.LOOKUP, judge=self._own_404_only("GET", FIND)
            )
        except NotFound:
            return None
        user = self._user_in(reply, FIND)
        if str(user.get(key)).lower() != text.lower():
            raise Refused(self.api.service, f"GET {FIND}", reply.status, f"it finds a user of another {key}")
        return user

    async def _by_id(self, user_id: str) -> Mapping[str, str] | None:
        judge = self._own_404_only("GET", USER)
        try:
            reply = await self.api.get(USER, values={"id": user_id}, patience=Patience.LOOKUP, judge=judge)
        except NotFound:
            return None
        user = self._user_in(reply, USER)
        if user["id"] != user_id:
            raise Refused(self.api.service, f"GET {USER}", reply.status, "the answer is another user")
        return user

    def _user_in(self, reply: Reply, path: str) -> Mapping[str, str]:
        user = reply.data if isinstance(reply.data, dict) else {}
        if not all(isinstance(user.get(field), str) and user[field] for field in ("id", "name")):
            raise Refused(self.api.service, f"GET {path}", reply.status, "the answer is no user")
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
            # 409: somebody has started it again; the deletion of the user stops it.
            await self._may_be_denied("DELETE", WORKSPACE, workspace, 404, 409)

    async def _workspaces(self, owner: str) -> list[dict[str, Any]]:
        if "/" in owner:
            return []  # no server takes an encoded slash in a path
        reply = await self._may_be_denied("GET", OWNED, owner)
        if _denied(reply):
            return []
        listed: list[Any] = reply.data if isinstance(reply.data, list) else [None]
        if not all(isinstance(each, dict) and {"id", "status"} <= each.keys() for each in listed):
            raise Refused(self.api.service, f"GET {OWNED}", reply.status, "a list of workspaces is due")
        if any(each.get("namespace") != owner for each in listed):
            raise Refused(self.api.service, f"GET {OWNED}", reply.status, "it lists workspaces of somebody else")
        return listed

    async def _wait_until_stopped(self, workspace: str) -> None:
        for _ in range(LOOKS):
            reply = await self._may_be_denied("GET", WORKSPACE, workspace, 404)
            if reply.status != 200 or (isinstance(reply.data, dict) and reply.data.get("status") == "STOPPED"):
                return
            await self.api.retry.sleep(PAUSE_SECONDS)
        raise Busy(self.api.service, f"GET {WORKSPACE}", 200, "a workspace of the user has not stopped yet")

    async def _may_be_denied(self, method: str, path: str, what: str, *harmless: int) -> Reply:
        def judge(reply: Reply) -> bool | None:
            return True if _denied(reply) or (reply.kind == "json" and reply.status in harmless) else None

        return await self.api.send(method, path, values={"id": what, "name": what}, judge=judge)

    async def _delete(self, user_id: str) -> None:
        """Deletes until the user is not found. Raises `Busy` while workspaces, or a session, are in the way."""
        why, status = "", None
        for attempt in range(DELETIONS):
            if attempt:
                await self.api.retry.sleep(LONG_PAUSE_SECONDS)
            status = (await self.api.delete(USER, values={"id": user_id}, judge=self._deletion)).status
            if status == 500:
                why = "a workspace of the user has not stopped yet"
                continue
            if await self._by_id(user_id) is None:
                return
            why = "the user is there after the deletion: a session goes on; disable them in Keycloak first"
        raise Busy(self.api.service, f"DELETE {USER}", status, why)

    def _deletion(self, reply: Reply) -> bool | None:
        if reply.status == 500 and reply.says(NOT_STOPPED):
            return True
        request = f"DELETE {USER}"
        if reply.status == 500 and reply.says(FOREIGN):
            raise Refused(self.api.service, request, 500, "it cannot remove a profile that Keycloak has")
        if reply.status == 403:
            raise Misconfigured(self.api.service, request, 403, "the account needs the permission manageUsers")
        if reply.status == 404:
            raise Misconfigured(self.api.service, request, 404, "no such route: Che after 7.110 has no users to delete")
        empty_only(self.api.service, request)(reply)
        return None

    def _own_404_only(self, method: str, path: str) -> Judge:
        """Che says in words that it finds nobody; a 404 without them is somebody else's."""

        def judge(reply: Reply) -> None:
            said = reply.data if isinstance(reply.data, dict) else {}
            if reply.status == 404 and not isinstance(said.get("message"), str):
                raise Misconfigured(self.api.service, f"{method} {path}", 404, "no such route: check url")

        return judge


def _denied(reply: Reply) -> bool:
    """Whether Che itself says that an administrator may not do this in somebody else's workspaces."""
    return reply.status == 403 and reply.kind == "json"
