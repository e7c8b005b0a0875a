"""HubSpot: contacts by e-mail address, erased for good and not only archived.

Contract of the services, section B4. The erasure takes an address too, but says 204 to one it does not know and
puts it on a block list, which keeps what was to be forgotten: so the contacts are looked up first, and erased by
their ids. The search finds secondary addresses and is some minutes behind; the look by address is not. HubSpot
erases within 30 days and has no job to ask about; that no contact is left says it.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field, SecretStr, field_validator

from retirement.auth import bearer
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
    empty_only,
    operation,
)
from retirement.errors import Misconfigured, NotFound, RateLimited, Refused
from retirement.http import Auth, Judge, Patience, Reply, retry_after
from retirement.learner import Learner
from retirement.wiring import Wiring

#: Below `path_prefix`, which is part of the base URL.
CONTACT, SEARCH, ERASE = "/{contact}", "/search", "/gdpr-delete"
#: The properties that hold addresses; the second is a list with semicolons.
EMAIL, MORE_EMAILS = "email", "hs_additional_emails"
PAGE = 100
#: HubSpot's search ends after 10,000 results.
MOST_PAGES = 100
#: More contacts than one person has; the ids of so many still fit into a receipt.
MOST_CONTACTS = 50
#: The account moves between HubSpot's data centres, and `Retry-After` may say when that ends (B4.2).
MIGRATING = 477


class HubSpot(Connector):
    """The customer relationship platform HubSpot."""

    service = "HUBSPOT"
    #: The search allows 4 to 5 a second and says nothing in headers; the smallest plans 100 in ten seconds.
    limits = Limits(rates={f"POST {SEARCH}": Rate(4, 1), "": Rate(100, 10)})
    reference_keys: ClassVar[Mapping[str, str]] = {"hubspot_api_key": "token"}

    class Settings(ServiceSettings):
        url: str = Field(default="https://api.hubapi.com", description="Base URL of the API, without a version.")
        path_prefix: str = Field(
            default="/crm/v3/objects/contacts",
            description="Path of the contacts, with its version; a dated one is `/crm/objects/2026-03/contacts`.",
        )
        token: SecretStr = Field(
            description="Token of a private app with `crm.objects.contacts.read` and `crm.objects.contacts.write`."
        )

        @field_validator("path_prefix")
        @classmethod
        def _is_a_path(cls, path: str) -> str:
            if not path.startswith("/") or path.endswith("/") or not set("?#{}").isdisjoint(path):
                raise ValueError("begins with a slash and does not end with one, such as `/crm/v3/objects/contacts`")
            return path

        @property
        def base_url(self) -> str:
            return self.url.rstrip("/") + self.path_prefix

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
        return bearer(settings.token)

    @operation(
        Identity.EMAIL,
        route=("POST", ERASE),
        repeats=Repeats.LOOK_FIRST,
        asks="is_left",
        follow_up=FollowUp(
            first=timedelta(days=1), every=timedelta(days=1), overdue=timedelta(days=30), again=timedelta(days=14)
        ),
    )
    async def delete_user(self, learner: Learner) -> Erasure:
        """Erase every contact with the learner's e-mail address for good, archived ones too."""
        contacts = await self._contacts(learner.email)
        if not contacts:
            return Erasure(Outcome.ABSENT)
        for contact in contacts:
            await self.api.post(ERASE, json={"objectId": contact}, judge=self._erased)
        return Erasure(Outcome.ACCEPTED, " ".join(contacts))

    async def is_left(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether one of the contacts is left, or another has the learner's address since."""
        erased = receipt.split()
        if learner and not set(await self._contacts(learner.email)) <= set(erased):
            return Verdict.PRESENT
        for contact in erased:
            for archived in (False, True):
                if await self._contact(contact, archived=archived):
                    return Verdict.WORKING
        return Verdict.GONE

    async def probe(self, name: str) -> None:
        """Reads a contact that nobody has; the answer that there is none needs a good token."""
        await self._contact("0", archived=False)

    async def _contacts(self, email: str) -> list[str]:
        """The ids of all contacts that have this address. An archived one can be restored for 90 days."""
        if not email:
            raise self._refused(f"POST {SEARCH}", None, "the learner has no e-mail address to be found by")
        found: dict[str, None] = {}
        for archived in (False, True):
            contact = await self._contact(email, archived=archived, by_email=True)
            if contact and not _has(contact, email):
                raise self._refused(f"GET {CONTACT}", 200, "the answer is a contact with another address")
            if contact:
                found[contact["id"]] = None
        found |= dict.fromkeys(await self._searched(email))
        if len(found) > MOST_CONTACTS:
            raise self._refused(f"POST {SEARCH}", 200, f"more than {MOST_CONTACTS} contacts have the address")
        return list(found)

    async def _contact(self, key: str, *, archived: bool, by_email: bool = False) -> dict[str, Any] | None:
        """A contact by its id or address, among the archived ones or the others; None: there is none."""
        params = [("properties", f"{EMAIL},{MORE_EMAILS}"), ("archived", str(archived).lower())]
        params += [("idProperty", EMAIL)] if by_email else []
        try:
            reply = await self.api.get(
                CONTACT, values={"contact": key}, params=params, patience=Patience.LOOKUP, judge=self._read(CONTACT)
            )
        except NotFound:
            return None
        contact = self._identified(f"GET {CONTACT}", reply, reply.data)
        if not by_email and contact["id"] != key:
            raise self._refused(f"GET {CONTACT}", reply.status, "the answer is another contact")
        return contact

    async def _searched(self, email: str) -> list[str]:
        """The ids of those whom the search finds by this address, the main one or another."""
        groups = [
            {"filters": [{"propertyName": EMAIL, "operator": "EQ", "value": email.lower()}]},
            {"filters": [{"propertyName": MORE_EMAILS, "operator": "CONTAINS_TOKEN", "value": email.lower()}]},
        ]
        body = {"filterGroups": groups, "properties": [EMAIL, MORE_EMAILS], "limit": PAGE}
        found: list[str] = []
        for _ in range(MOST_PAGES):
            reply = await self.api.post(SEARCH, json=body, patience=Patience.LOOKUP, judge=self._search)
            data = reply.data if isinstance(reply.data, dict) else {}
            results = data.get("results")
            if not isinstance(results, list):
                raise self._refused(f"POST {SEARCH}", reply.status, "the list of contacts is missing")
            contacts = [self._identified(f"POST {SEARCH}", reply, each) for each in results]
            # The search compares words; other people's addresses may hold the same ones.
            found += [each["id"] for each in contacts if _has(each, email)]
            after = _next_page(data)
            if not after:
                return found
            body = {**body, "after": after}
        raise self._refused(f"POST {SEARCH}", 200, "the search has no end")

    def _identified(self, request: str, reply: Reply, data: Any) -> dict[str, Any]:
        contact = data if isinstance(data, dict) else {}
        number = contact.get("id")
        if not isinstance(number, str) or not number.isdecimal() or not isinstance(contact.get("properties"), dict):
            raise self._refused(request, reply.status, "the answer holds no contact")
        return contact

    def _read(self, path: str) -> Judge:
        def judge(reply: Reply) -> None:
            self._migrating(f"GET {path}", reply)
            if reply.status == 404 and not _own_404(reply):
                raise self._no_route(f"GET {path}")

        return judge

    def _search(self, reply: Reply) -> None:
        self._migrating(f"POST {SEARCH}", reply)
        if reply.status == 404:
            raise self._no_route(f"POST {SEARCH}")

    def _erased(self, reply: Reply) -> bool:
        self._migrating(f"POST {ERASE}", reply)
        if reply.status == 404 and not _own_404(reply):
            raise self._no_route(f"POST {ERASE}")
        empty_only(self.api.service, f"POST {ERASE}")(reply)
        # Not known by its id: somebody was faster, or our first answer was lost; the follow-up looks again.
        return reply.status == 404

    def _migrating(self, request: str, reply: Reply) -> None:
        if reply.status == MIGRATING:
            pause = retry_after(reply.headers.get("retry-after", "")) or 0.0
            raise RateLimited(self.api.service, request, reply.status, "the account is being moved", True, pause)

    def _no_route(self, request: str) -> Misconfigured:
        return Misconfigured(self.api.service, request, 404, "no such route: wrong url or path_prefix")

    def _refused(self, request: str, status: int | None, reason: str) -> Refused:
        return Refused(self.api.service, request, status, reason)


def _own_404(reply: Reply) -> bool:
    """Whether HubSpot says that there is no such contact, as opposed to no such route."""
    data = reply.data if isinstance(reply.data, dict) else {}
    return data.get("status") == "error" and data.get("category", "OBJECT_NOT_FOUND") == "OBJECT_NOT_FOUND"


def _has(contact: Mapping[str, Any], email: str) -> bool:
    """Whether one of the contact's addresses is this one; HubSpot keeps them in lower case."""
    properties = contact["properties"]
    addresses = [properties.get(EMAIL), *str(properties.get(MORE_EMAILS) or "").split(";")]
    return email.lower() in [str(each).strip().lower() for each in addresses]


def _next_page(data: Mapping[str, Any]) -> str | None:
    following = data.get("paging")
    for key in ("next", "after"):
        following = following.get(key) if isinstance(following, dict) else None
    return str(following) if following else None
