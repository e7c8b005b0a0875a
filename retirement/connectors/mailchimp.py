"""Mailchimp: members of audiences by e-mail address, deleted for good and not only archived.

Contract of the services, section B6. A member is addressed by the MD5 of the address, in each audience apart.
That hash is the address for whoever guesses addresses, so no receipt holds it: what is kept are the id of the
audience and the `contact_id` in it, which is made from no address. Without one there is no receipt. Customers and
orders of Mailchimp's shop integration and the mail sent through Mandrill are other products and stay.
"""

import hashlib
import re
from collections.abc import Sequence
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
    Repeats,
    ServiceSettings,
    Verdict,
    empty_only,
    operation,
)
from retirement.errors import Misconfigured, NotFound, Refused, Transient
from retirement.http import Auth, Patience, Reply
from retirement.learner import Learner
from retirement.wiring import Wiring

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


class Mailchimp(Connector):
    """The mailing list service Mailchimp (Marketing API 3.0)."""

    service = "MAILCHIMP"
    #: More connections at once are answered with 429, or with a bare page and 403.
    limits = Limits(at_once=10)

    class Settings(ServiceSettings):
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

    settings: Settings

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
        # Any name will do; the key says whose account it is.
        return basic("retirement", settings.api_key)

    @operation(
        Identity.EMAIL,
        route=("POST", DELETE),
        repeats=Repeats.LOOK_FIRST,
        asks="is_member",
        follow_up=FollowUp(
            first=timedelta(hours=1), every=timedelta(days=1), overdue=timedelta(days=7), again=timedelta(days=14)
        ),
    )
    async def delete_member(self, learner: Learner) -> Erasure:
        """Delete the learner for good from every audience, or from the configured ones."""
        member, kept, erased = _hash(self._email(learner)), [], False
        for audience in await self._audiences():
            found = await self._member(audience, member)
            if found is None:
                continue
            await self.api.post(DELETE, values={"audience": audience, "member": member}, judge=self._deleted)
            erased = True
            contact = found.get("contact_id")
            if isinstance(contact, str) and _ID.fullmatch(contact) and contact != member and _ID.fullmatch(audience):
                kept.append(f"{audience}:{contact}")
        # What has no room is not asked about by its id; the search for the address covers it.
        receipt = " ".join(kept[:MOST_IN_RECEIPT]) or None
        return Erasure(Outcome.ERASED, receipt) if erased else Erasure(Outcome.ABSENT)

    async def is_member(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether an audience still has the member, or one has the learner's address again."""
        for each in receipt.split():
            audience, _, contact = each.partition(":")
            if await self._member(audience, contact) is not None:
                return Verdict.PRESENT
        if learner and await self._is_found(self._email(learner)):
            return Verdict.PRESENT
        return Verdict.GONE

    async def probe(self, name: str) -> None:
        """Lists the audiences; those that are configured have to be among them."""
        await self._audiences()

    async def _audiences(self) -> Sequence[str]:
        """The ids of the audiences to look into."""
        found: list[str] = []
        while True:
            params = [("fields", "lists.id,total_items"), ("count", str(PAGE)), ("offset", str(len(found)))]
            reply = await self.api.get(AUDIENCES, params=params, patience=Patience.LOOKUP, judge=self._listed)
            data = reply.data if isinstance(reply.data, dict) else {}
            page, total = data.get("lists"), data.get("total_items")
            rows = page if isinstance(page, list) else [None]
            ids = [each["id"] for each in rows if isinstance(each, dict) and isinstance(each.get("id"), str)]
            if len(ids) < len(rows) or type(total) is not int:
                raise Refused(self.api.service, f"GET {AUDIENCES}", reply.status, "the list of audiences is missing")
            found += ids
            if len(found) >= total:
                break
            if not ids:
                raise Refused(self.api.service, f"GET {AUDIENCES}", reply.status, "the list of audiences is not whole")
        if not set(self.settings.audiences) <= set(found):
            # The members of an unknown audience are 404, as nobody's are.
            reason = "one of the configured audiences is not in this account"
            raise Misconfigured(self.api.service, f"GET {AUDIENCES}", None, reason)
        return self.settings.audiences or found

    async def _member(self, audience: str, member: str) -> dict[str, Any] | None:
        """A member by hash or contact id, archived ones too; None: the audience has no such member."""
        values, params = {"audience": audience, "member": member}, [("fields", "id,contact_id")]
        try:
            reply = await self.api.get(
                MEMBER, values=values, params=params, patience=Patience.LOOKUP, judge=self._looked_up
            )
        except NotFound:
            return None
        found = reply.data if isinstance(reply.data, dict) else {}
        if member not in (found.get("id"), found.get("contact_id")):
            raise Refused(self.api.service, f"GET {MEMBER}", reply.status, "the answer is not the member")
        return found

    async def _is_found(self, email: str) -> bool:
        reply = await self.api.get(SEARCH, params=[("query", email)], patience=Patience.LOOKUP, judge=self._searched)
        exact = reply.data.get("exact_matches") if isinstance(reply.data, dict) else None
        members = exact.get("members") if isinstance(exact, dict) else None
        if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
            raise Refused(self.api.service, f"GET {SEARCH}", reply.status, "the list of members is missing")
        ours = [each for each in members if str(each.get("email_address")).lower() == email.lower()]
        chosen = self.settings.audiences
        return any(not chosen or each.get("list_id") in chosen for each in ours)

    def _email(self, learner: Learner) -> str:
        if not learner.email:
            raise Refused(self.api.service, f"GET {MEMBER}", None, "the learner has no e-mail address to be found by")
        return learner.email

    def _listed(self, reply: Reply) -> None:
        self._general(f"GET {AUDIENCES}", reply, may_be_absent=False)

    def _searched(self, reply: Reply) -> None:
        self._general(f"GET {SEARCH}", reply, may_be_absent=False)

    def _looked_up(self, reply: Reply) -> None:
        self._general(f"GET {MEMBER}", reply)

    def _deleted(self, reply: Reply) -> bool:
        request = f"POST {DELETE}"
        if reply.status == 405:
            reason = "the member is in a state that Mailchimp does not delete"
            raise Refused(self.api.service, request, reply.status, reason)
        self._general(request, reply)
        empty_only(self.api.service, request)(reply)
        # It was there a moment ago: our first answer was lost, or somebody was faster.
        return reply.status == 404

    def _general(self, request: str, reply: Reply, *, may_be_absent: bool = True) -> None:
        """What the general table of statuses does not know of this service."""
        if reply.status == 403 and reply.kind != "json":
            raise Transient(self.api.service, request, reply.status, "too many requests at once")
        if reply.status == 404 and not (may_be_absent and _own_404(reply)):
            raise Misconfigured(self.api.service, request, reply.status, "no such route: wrong url")


def _own_404(reply: Reply) -> bool:
    data = reply.data if isinstance(reply.data, dict) else {}
    return data.get("status") == 404 and isinstance(data.get("title"), str)


def _hash(email: str) -> str:
    """How Mailchimp names a member in a path (B6)."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()
