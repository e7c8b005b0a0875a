"""Zendesk Support: users by e-mail address, deleted softly, which can be undone, and then for good.

Contract of the services, section B7. The search is some minutes behind and compares words, so every user it finds
is compared with the address here, also by the further addresses in the list of identities. It does not find users
who are softly deleted; a run that died between the two deletions left one, so their list is read as well: a request
for each hundred, users that Zendesk has erased among them. Tickets and comments stay without their author, and
what is written in comments stays as it is.

The vendor's documentation: https://developer.zendesk.com/api-reference/ticketing/users/users/
"""

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, model_validator

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
    Success,
    Verdict,
    an_object,
    operation,
)
from retirement.connectors.shared.further_addresses import deleted_in, receipt_of, verdicts_of
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import basic
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

SEARCH, USER, IDENTITIES = "/api/v2/users/search.json", "/api/v2/users/{user}", "/api/v2/users/{user}/identities"
DELETED, DELETED_USER = "/api/v2/deleted_users", "/api/v2/deleted_users/{user}"
PAGE = 100
#: The name that Zendesk gives to users it has erased.
ERASED_NAME = "Permanently Deleted User"
#: What a 422 shows, by the kind of deletion; why, the documentation does not say for sure.
NOT_SOFTLY = "it refuses to delete the user, as it does while one has open tickets or is in copy of some: look at them"
NOT_FOR_GOOD = "it refuses to delete the user for good: look at the user in Zendesk's list of deleted users"

User = Mapping[str, Any]


class ZendeskSettings(ServiceSettings):
    """What stands below `services.ZENDESK`."""

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


class Zendesk(Connector[ZendeskSettings]):
    """The customer support platform Zendesk Support."""

    service = "ZENDESK"
    answers: ClassVar[Mapping[str, Success]] = {
        f"DELETE {USER}": an_object("user"),
        f"GET {SEARCH}": an_object("users"),
        f"GET {IDENTITIES}": an_object("identities"),
        f"GET {DELETED}": an_object("deleted_users"),
        f"GET {DELETED_USER}": an_object("deleted_user"),
        f"GET {USER}": an_object("user"),
    }
    #: The limit of all other requests depends on the plan; `Retry-After` says it.
    limits = Limits(rates={f"DELETE {DELETED_USER}": Rate(700, 600)})

    @classmethod
    def sign_in(cls, service: str, settings: ZendeskSettings, wiring: Wiring) -> Auth:
        return basic(f"{settings.email}/token", settings.api_token)

    @operation(
        Identity.EMAIL,
        route=("DELETE", DELETED_USER),
        repeats=Repeats.LOOK_FIRST,
        asks="is_left",
        again="delete_named",
        follow_up=FollowUp(
            first=timedelta(hours=6), every=timedelta(days=1), overdue=timedelta(days=14), again=timedelta(days=14)
        ),
        success=an_object("deleted_user"),
    )
    async def delete_user(self, learner: Learner) -> Erasure:
        """Delete the user with the learner's e-mail address for good; of another main address: a person looks."""
        found = await self._end_users(learner.email)
        active = [user["id"] for user in found if _has(user, learner.email)]
        further = [user["id"] for user in found if user["id"] not in active]
        # Before anything is deleted: what cannot be read is found out while nothing is half done.
        numbers = [*active, *await self._softly_deleted(learner.email, besides=active)]
        for number in active:
            await self._delete(USER, "user", number, NOT_SOFTLY)
        for number in numbers:
            await self._delete(DELETED_USER, "deleted_user", number, NOT_FOR_GOOD)
        # Zendesk's products forget the user one after the other, hours later.
        if further:
            return Erasure(Outcome.MANUAL, receipt_of(numbers, further))
        return Erasure(Outcome.ACCEPTED, receipt_of(numbers, ())) if numbers else Erasure(Outcome.ABSENT)

    async def delete_named(self, receipt: str) -> Erasure:
        """Delete the users of a receipt once more, as far as they are there."""
        for number in map(int, deleted_in(receipt)):
            if await self._user(USER, "user", str(number)):
                await self._delete(USER, "user", number, NOT_SOFTLY)
            await self._delete(DELETED_USER, "deleted_user", number, NOT_FOR_GOOD)
        return Erasure(Outcome.ACCEPTED, receipt)

    async def is_left(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether the users can still be restored or seen, or another has the learner's address since."""
        verdicts = [await self._verdict(number) for number in deleted_in(receipt)]
        there = [str(user["id"]) for user in await self._found(learner.email)] if learner else None
        return Verdict.worst([*verdicts, *verdicts_of(receipt, there)])

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
        """Reads a deleted user of an id that no user had: Zendesk answers 404 only to good credentials."""
        await self._user(DELETED_USER, "deleted_user", "0")

    async def _end_users(self, email: str) -> list[User]:
        """The active users who have this address. Raises `Refused` where one is more than an end user."""
        users = await self._found(email)
        if any(user.get("role") != "end-user" for user in users):
            raise self.api.refused(f"GET {SEARCH}", "the address is that of an agent or administrator", 200)
        return users

    async def _found(self, email: str) -> list[User]:
        """The active users who have this address, the main one or another."""
        if not email or not {'"', "\\"}.isdisjoint(email):
            # How the search takes a quotation mark inside of quotation marks is written nowhere.
            raise self.api.refused(f"GET {SEARCH}", "the learner has no e-mail address that can be searched for")
        params = [("query", f'email:"{email}"'), ("per_page", str(PAGE))]
        reply = await self.api.get(SEARCH, params=params, patience=Patience.LOOKUP, judge=_route_known)
        found = _listed(reply, "users")
        if reply.data.get("next_page"):
            raise reply.refused(f"the search finds more than {PAGE} users")
        return [each for each in found if await self._has_address(each, email)]

    async def _has_address(self, user: User, email: str) -> bool:
        """Whether this is one of the user's addresses, the main one or another."""
        if _has(user, email):
            return True
        reply = await self.api.find(IDENTITIES, values={"user": user["id"]}, judge=_route_known)
        if reply is None:
            return False  # deleted, and the search does not know yet
        found = _listed(reply, "identities")
        return any(each.get("type") == "email" and str(each.get("value")).lower() == email.lower() for each in found)

    async def _softly_deleted(self, email: str, besides: Collection[int]) -> list[int]:
        """The ids of deleted users who still have this address, besides those that are known."""
        if not self.settings.search_deleted_users:
            return []
        return [each["id"] async for each in self._deleted_users() if _has(each, email) and each["id"] not in besides]

    async def _deleted_users(self) -> AsyncIterator[User]:
        """Zendesk's list of deleted users, page by page."""
        seen: set[str] = set()
        params = [("page[size]", str(PAGE))]
        while True:
            reply = await self.api.get(DELETED, params=params, patience=Patience.LOOKUP, judge=_route_known)
            for each in _listed(reply, "deleted_users"):
                yield each
            if reply.at("meta", "has_more") is False:
                return
            after = reply.at("meta", "after_cursor")
            if not isinstance(after, str) or after in seen:
                raise reply.refused("the answer does not say how the list goes on")
            seen.add(after)
            params = [("page[size]", str(PAGE)), ("page[after]", after)]

    async def _delete(self, path: str, key: str, number: int, why_not: str) -> None:
        def judge(reply: Reply) -> bool:
            if reply.status == 422:
                raise reply.refused(why_not)
            _route_known(reply)
            # Done before: by a run that died, by a call whose answer was lost. The follow-up looks.
            return reply.status == 404

        reply = await self.api.delete(path, values={"user": number}, judge=judge)
        if reply.status == 404:
            return
        user = _of(reply, key, str(number))
        if user.get("active") is not False:
            raise reply.refused("the answer does not show that the user is deleted")

    async def _user(self, path: str, key: str, number: str) -> User | None:
        """A user by id; None: Zendesk has none there."""
        reply = await self.api.find(path, values={"user": number}, judge=_route_known)
        return _of(reply, key, number) if reply else None


def _of(reply: Reply, key: str, number: str) -> User:
    user = reply.mapping.get(key)
    if not isinstance(user, dict) or str(user.get("id")) != number:
        raise reply.refused("the answer holds no such user")
    return user


def _listed(reply: Reply, key: str) -> list[dict[str, Any]]:
    return reply.items(reply.at(key), _has_number, f"the list of {key} is missing")


def _has_number(value: object) -> bool:
    return isinstance(value, dict) and type(value.get("id")) is int


def _route_known(reply: Reply) -> None:
    """A user is missing only where Zendesk says so; a wrong host and a wrong path are 404 too."""
    if reply.status == 404 and reply.mapping.get("error") != "RecordNotFound":
        raise reply.misconfigured("no such route: wrong subdomain or url")


def _has(user: User, email: str) -> bool:
    return str(user.get("email")).lower() == email.lower()
