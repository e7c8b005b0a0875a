"""Mailchimp: members of audiences by e-mail address, deleted for good and not only archived.

Contract of the services, section B6. A member is addressed by the MD5 of the address, in each audience apart.
That hash gives the address to anyone who guesses addresses, so no receipt holds it: what is kept are the id of the
audience and the `contact_id` in it, which is made from no address. Without one there is no receipt. Customers and
orders of Mailchimp's shop integration and the mail sent through Mandrill are other products and stay.

The vendor's documentation: https://mailchimp.com/developer/marketing/api/list-members/
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
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
    Repeats,
    ServiceSettings,
    Success,
    Verdict,
    an_object,
    empty_only,
    nothing,
    operation,
)
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import basic
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

AUDIENCES, SEARCH = "/lists", "/search-members"
MEMBER = "/lists/{audience}/members/{member}"
DELETE = f"{MEMBER}/actions/delete-permanent"
PAGE = 1000
#: As many members as a receipt has room for; a learner is in few audiences.
MOST_IN_RECEIPT = 30
#: The data centre at the end of an API key.
_DATA_CENTRE = re.compile(r"-([a-z]+\d+)$")
#: What an id of a member may look like; a receipt holds nothing else.
_ID = re.compile(r"[A-Za-z0-9]{1,40}")


class MailchimpSettings(ServiceSettings):
    """What stands below `services.MAILCHIMP`."""

    url: str = Field(default="", description="Base URL with its version, where the end of `api_key` does not do.")
    api_key: SecretStr = Field(description="API key, with its data centre at the end, such as `-us6`.")
    audiences: tuple[str, ...] = Field(
        default=(), description="Ids of the audiences to delete learners from; none: every one of the account."
    )

    @model_validator(mode="after")
    def _has_a_host(self) -> Self:
        if not self.url and not _DATA_CENTRE.search(self.api_key.get_secret_value()):
            raise ValueError("needs an api_key that ends in its data centre, such as `-us6`, or url")
        return self

    @property
    def base_url(self) -> str:
        centre = _DATA_CENTRE.search(self.api_key.get_secret_value())
        return self.url or f"https://{centre[1] if centre else ''}.api.mailchimp.com/3.0"


class Mailchimp(Connector[MailchimpSettings]):
    """The mailing list service Mailchimp (Marketing API 3.0)."""

    service = "MAILCHIMP"
    answers: ClassVar[Mapping[str, Success]] = {
        f"GET {AUDIENCES}": an_object("lists", "total_items"),
        f"GET {MEMBER}": an_object("id"),
        f"GET {SEARCH}": an_object("exact_matches"),
    }
    #: More connections at once are answered with 429, or with a bare page and 403.
    limits = Limits(at_once=10)

    @classmethod
    def sign_in(cls, service: str, settings: MailchimpSettings, wiring: Wiring) -> Auth:
        # Any name will do; the key says whose account it is.
        return basic("retirement", settings.api_key)

    @operation(
        Identity.EMAIL,
        route=("POST", DELETE),
        repeats=Repeats.LOOK_FIRST,
        asks="is_member",
        again="delete_named",
        follow_up=FollowUp(
            first=timedelta(hours=1), every=timedelta(days=1), overdue=timedelta(days=7), again=timedelta(days=14)
        ),
        success=nothing(),
    )
    async def delete_member(self, learner: Learner) -> Erasure:
        """Delete the learner for good from every audience, or from the configured ones."""
        member = _hash(self._email(learner))
        deleted: list[str | None] = []
        for audience in await self._audiences():
            if found := await self._member(audience, member):
                await self.api.post(DELETE, values={"audience": audience, "member": member}, judge=_deleted)
                deleted.append(_reference(audience, member, found.get("contact_id")))
        if not deleted:
            return Erasure(Outcome.ABSENT)
        # What has no room is not asked about by its id; the search for the address covers it.
        kept = list(filter(None, deleted))[:MOST_IN_RECEIPT]
        return Erasure(Outcome.ERASED, " ".join(kept) or None)

    async def delete_named(self, receipt: str) -> Erasure:
        """Delete the contacts of a receipt once more, as far as they are there."""
        for each in receipt.split():
            audience, _, contact = each.partition(":")
            if await self._member(audience, contact):
                await self.api.post(DELETE, values={"audience": audience, "member": contact}, judge=_deleted)
        return Erasure(Outcome.ERASED, receipt)

    async def is_member(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether an audience still has the member, or one has the learner's address again."""
        for each in receipt.split():
            audience, _, contact = each.partition(":")
            if await self._member(audience, contact) is not None:
                return Verdict.PRESENT
        if learner and await self._is_found(self._email(learner)):
            return Verdict.ANOTHER
        return Verdict.GONE

    async def probe(self, name: str) -> None:
        """Lists the audiences; those that are configured have to be among them."""
        await self._audiences()

    async def _audiences(self) -> Sequence[str]:
        """The ids of the audiences to look into."""
        found: list[str] = []
        async for reply in self._pages():
            found += [each["id"] for each in reply.at("lists")]
        if not set(self.settings.audiences) <= set(found):
            # The members of an unknown audience are 404, as unknown members are.
            raise reply.misconfigured("one of the configured audiences is not in this account")
        return self.settings.audiences or found

    async def _pages(self) -> AsyncIterator[Reply]:
        """The list of audiences of the account, page by page, one at least."""
        seen, total = 0, 1
        while seen < total:
            params = [("fields", "lists.id,total_items"), ("count", str(PAGE)), ("offset", str(seen))]
            reply = await self.api.get(AUDIENCES, params=params, patience=Patience.LOOKUP, judge=_never_absent)
            audiences = reply.items(reply.at("lists"), _is_audience, "the list of audiences is missing")
            total = reply.member("total_items", int, "the list of audiences")
            seen += len(audiences)
            if seen < total and not audiences:
                raise reply.refused("the list of audiences is not whole")
            yield reply

    async def _member(self, audience: str, member: str) -> dict[str, Any] | None:
        """A member by hash or contact id, archived ones too; None: the audience has no such member."""
        values, params = {"audience": audience, "member": member}, [("fields", "id,contact_id")]
        reply = await self.api.find(MEMBER, values=values, params=params, judge=_looked_up)
        if reply is None:
            return None
        found = reply.mapping
        if member not in (found.get("id"), found.get("contact_id")):
            raise reply.refused("the answer is not the member")
        return found

    async def _is_found(self, email: str) -> bool:
        reply = await self.api.get(SEARCH, params=[("query", email)], patience=Patience.LOOKUP, judge=_never_absent)
        members = reply.items(reply.at("exact_matches", "members"), _is_object, "the list of members is missing")
        ours = [each for each in members if str(each.get("email_address")).lower() == email.lower()]
        chosen = self.settings.audiences
        return any(not chosen or each.get("list_id") in chosen for each in ours)

    def _email(self, learner: Learner) -> str:
        if not learner.email:
            raise self.api.refused(f"GET {MEMBER}", "the learner has no e-mail address to be found by")
        return learner.email


def _deleted(reply: Reply) -> bool:
    if reply.status == 405:
        raise reply.refused("the member is in a state that Mailchimp does not delete")
    _looked_up(reply)
    empty_only(reply)
    # It was there a moment ago: our first answer was lost, or another client deleted it.
    return reply.status == 404


def _looked_up(reply: Reply) -> None:
    """What the general table of statuses does not know of this service."""
    if reply.status == 403 and reply.kind != "json":
        raise reply.transient("too many requests at once")
    if reply.status == 404 and not _own_404(reply):
        raise reply.misconfigured("no such route: wrong url")


def _never_absent(reply: Reply) -> None:
    """For lists and searches: no hit is an empty list and never a 404."""
    if reply.status == 404:
        raise reply.misconfigured("no such route: wrong url")
    _looked_up(reply)


def _reference(audience: str, member: str, contact: object) -> str | None:
    """What a receipt holds of a member: the audience and an id in it; None where no such id is made from no address."""
    if contact == member or not (isinstance(contact, str) and _ID.fullmatch(contact) and _ID.fullmatch(audience)):
        return None
    return f"{audience}:{contact}"


def _is_audience(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _own_404(reply: Reply) -> bool:
    return reply.mapping.get("status") == 404 and isinstance(reply.mapping.get("title"), str)


def _hash(email: str) -> str:
    """How Mailchimp names a member in a path (B6)."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()
