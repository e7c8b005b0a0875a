"""Zendesk Support: users by e-mail address, deleted softly, which can be undone, and then for good.

Contract of the services, section B7. The search is some minutes behind and compares words, so every user it finds
is compared with the address here, also by the further addresses in the list of identities. It does not find users
who are softly deleted; a run that died between the two deletions left one, so their list is read as well: a request
for each hundred, the users whom Zendesk has erased among them. Tickets and comments stay without their author, and
what is written in comments stays as it is.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from retirement.auth import basic
from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Limits,
    Outcome,
    Rate,
    Repeats,
    ServiceSettings,
    Verdict,
    operation,
)
from retirement.errors import Misconfigured, NotFound, Refused
from retirement.http import Auth, Judge, Patience, Reply
from retirement.learner import Learner
from retirement.wiring import Wiring

SEARCH, USER, IDENTITIES = "/api/v2/users/search.json", "/api/v2/users/{user}", "/api/v2/users/{user}/identities"
DELETED, DELETED_USER = "/api/v2/deleted_users", "/api/v2/deleted_users/{user}"
PAGE = 100
#: What Zendesk calls users whom it has erased.
ERASED_NAME = "Permanently Deleted User"
#: Why a deletion is not done for this user (422), by the kind of deletion.
NOT_SOFTLY = "the user has open tickets, or is in copy of some: close or reassign them first"
NOT_FOR_GOOD = "the user is not softly deleted"

User = Mapping[str, Any]


class Zendesk(Connector):
    """The customer support platform Zendesk Support."""

    service = "ZENDESK"
    #: The limit of all other requests depends on the plan; `Retry-After` says it.
    limits = Limits(rates={f"DELETE {DELETED_USER}": Rate(700, 600)})

    class Settings(ServiceSettings):
        url: str = Field(default="", description="Base URL, where `subdomain` does not say it.")
        subdomain: str | None = Field(
            default=None, pattern=r"^[a-z0-9][a-z0-9-]*$", description="Subdomain of zendesk.com, such as `example`."
        )
        email: str = Field(description="E-mail address of the account that the token was made for.")
        api_token: SecretStr = Field(description="API token of an administrator, or of who manages end users.")
        search_deleted_users: bool = Field(
            default=True,
            description="Read the list of deleted users, so that a deletion is finished that a crash left half done.",
        )

        @model_validator(mode="after")
        def _has_a_host(self) -> Self:
            if not self.url and not self.subdomain:
                raise ValueError("needs subdomain, such as `example` for example.zendesk.com, or url")
            return self

        @property
        def base_url(self) -> str:
            return self.url or f"https://{self.subdomain}.zendesk.com"

    settings: Settings

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
        return basic(f"{settings.email}/token", settings.api_token)

    @operation(
        Identity.EMAIL,
        route=("DELETE", DELETED_USER),
        repeats=Repeats.LOOK_FIRST,
        asks="is_left",
        follow_up=FollowUp(
            first=timedelta(hours=6), every=timedelta(days=1), overdue=timedelta(days=14), again=timedelta(days=14)
        ),
    )
    async def delete_user(self, learner: Learner) -> Erasure:
        """Delete the user with the learner's e-mail address for good."""
        users = await self._found(learner.email)
        if any(user.get("role") != "end-user" for user in users):
            raise self._refused(f"GET {SEARCH}", 200, "the address is that of an agent or administrator")
        numbers = [user["id"] for user in users]
        # Before anything is deleted: what cannot be read is found out while nothing is half done.
        numbers += [each for each in await self._softly_deleted(learner.email) if each not in numbers]
        for user in users:
            await self._delete(USER, "user", user["id"], NOT_SOFTLY)
        for number in numbers:
            await self._delete(DELETED_USER, "deleted_user", number, NOT_FOR_GOOD)
        # Zendesk's products forget the user one after the other, hours later.
        return Erasure(Outcome.ACCEPTED, " ".join(map(str, numbers))) if numbers else Erasure(Outcome.ABSENT)

    async def is_left(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether the users can still be restored or seen, or another has the learner's address since."""
        erased = receipt.split()
        if learner and any(str(user["id"]) not in erased for user in await self._found(learner.email)):
            return Verdict.PRESENT
        verdicts = {await self._verdict(number) for number in erased}
        return next((each for each in (Verdict.PRESENT, Verdict.WORKING) if each in verdicts), Verdict.GONE)

    async def _verdict(self, number: str) -> Verdict:
        if await self._user(DELETED_USER, "deleted_user", number):
            return Verdict.PRESENT
        user = await self._user(USER, "user", number)
        if not user:
            return Verdict.GONE
        if user.get("active") is not False:
            return Verdict.PRESENT
        return Verdict.GONE if user.get("email") is None and user.get("name") == ERASED_NAME else Verdict.WORKING

    async def probe(self, name: str) -> None:
        """Reads a deleted user whom nobody was: the answer that there is none needs good credentials."""
        await self._user(DELETED_USER, "deleted_user", "0")

    async def _found(self, email: str) -> list[User]:
        """The active users who have this address, the main one or another."""
        if not email or not {'"', "\\"}.isdisjoint(email):
            # How the search takes a quotation mark inside of quotation marks is written nowhere.
            raise self._refused(f"GET {SEARCH}", None, "the learner has no e-mail address that can be searched for")
        params = [("query", f'email:"{email}"'), ("per_page", str(PAGE))]
        reply = await self.api.get(SEARCH, params=params, patience=Patience.LOOKUP, judge=self._reading(SEARCH))
        found = self._listed(SEARCH, reply, "users")
        if reply.data.get("next_page"):
            raise self._refused(f"GET {SEARCH}", reply.status, f"the search finds more than {PAGE} users")
        return [each for each in found if _has(each, email) or await self._has_besides(each["id"], email)]

    async def _has_besides(self, number: int, email: str) -> bool:
        try:
            reply = await self.api.get(
                IDENTITIES,
                values={"user": number},
                patience=Patience.LOOKUP,
                judge=self._reading(IDENTITIES),
            )
        except NotFound:
            return False  # deleted, and the search does not know yet
        found = self._listed(IDENTITIES, reply, "identities")
        return any(each.get("type") == "email" and str(each.get("value")).lower() == email.lower() for each in found)

    async def _softly_deleted(self, email: str) -> list[int]:
        """The ids of deleted users who still have this address."""
        found: list[int] = []
        seen: set[object] = set()
        params = [("page[size]", str(PAGE))]
        while self.settings.search_deleted_users:
            reply = await self.api.get(DELETED, params=params, patience=Patience.LOOKUP, judge=self._reading(DELETED))
            found += [each["id"] for each in self._listed(DELETED, reply, "deleted_users") if _has(each, email)]
            meta = reply.data.get("meta")
            after = meta.get("after_cursor") if isinstance(meta, dict) else None
            if isinstance(meta, dict) and meta.get("has_more") is False:
                break
            if not isinstance(after, str) or after in seen:
                raise self._refused(f"GET {DELETED}", reply.status, "the answer does not say how the list goes on")
            seen.add(after)
            params = [("page[size]", str(PAGE)), ("page[after]", after)]
        return found

    async def _delete(self, path: str, key: str, number: int, why_not: str) -> None:
        request = f"DELETE {path}"

        def judge(reply: Reply) -> bool:
            if reply.status == 422:
                raise self._refused(request, reply.status, why_not)
            self._route_known(request, reply)
            # Done before: by a run that died, by a call whose answer was lost. The follow-up looks.
            return reply.status == 404

        reply = await self.api.delete(path, values={"user": number}, judge=judge)
        if reply.status == 404:
            return
        user = self._of(request, reply, key, str(number))
        if user.get("active") is not False:
            raise self._refused(request, reply.status, "the answer does not show that the user is deleted")

    async def _user(self, path: str, key: str, number: str) -> User | None:
        """A user by id; None: Zendesk has none there."""
        try:
            reply = await self.api.get(
                path, values={"user": number}, patience=Patience.LOOKUP, judge=self._reading(path)
            )
        except NotFound:
            return None
        return self._of(f"GET {path}", reply, key, number)

    def _of(self, request: str, reply: Reply, key: str, number: str) -> User:
        user = reply.data.get(key) if isinstance(reply.data, dict) else None
        if not isinstance(user, dict) or str(user.get("id")) != number:
            raise self._refused(request, reply.status, "the answer holds no such user")
        return user

    def _listed(self, path: str, reply: Reply, key: str) -> list[dict[str, Any]]:
        found = reply.data.get(key) if isinstance(reply.data, dict) else None
        if not isinstance(found, list) or not all(isinstance(e, dict) and type(e.get("id")) is int for e in found):
            raise self._refused(f"GET {path}", reply.status, f"the list of {key} is missing")
        return found

    def _reading(self, path: str) -> Judge:
        return lambda reply: self._route_known(f"GET {path}", reply)

    def _route_known(self, request: str, reply: Reply) -> None:
        """A user is missing only where Zendesk says so; a wrong host and a wrong path are 404 too."""
        data = reply.data if isinstance(reply.data, dict) else {}
        if reply.status == 404 and data.get("error") != "RecordNotFound":
            raise Misconfigured(self.api.service, request, reply.status, "no such route: wrong subdomain or url")

    def _refused(self, request: str, status: int | None, reason: str) -> Refused:
        return Refused(self.api.service, request, status, reason)


def _has(user: User, email: str) -> bool:
    return str(user.get("email")).lower() == email.lower()
