"""HubSpot: contacts by e-mail address, erased for good and not only archived.

Contract of the services, section B4. The erasure takes an address too, but says 204 to one it does not know and
puts it on a block list, which keeps what was to be forgotten: so the contacts are looked up first, and erased by
their ids. The search finds secondary addresses and is some minutes behind; the look by address is not. HubSpot
erases within 30 days and has no job to ask about; that no contact is left says it.

The vendor's documentation: https://developers.hubspot.com/docs/api/crm/contacts
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field, SecretStr, field_validator

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
    empty_only,
    nothing,
    operation,
)
from retirement.connectors.shared.further_addresses import deleted_in, receipt_of, verdicts_of
from retirement.errors import Misconfigured
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import bearer
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

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


class HubSpotSettings(ServiceSettings):
    """What stands below `services.HUBSPOT`."""

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


class HubSpot(Connector[HubSpotSettings]):
    """The customer relationship platform HubSpot."""

    service = "HUBSPOT"
    answers: ClassVar[Mapping[str, Success]] = {
        f"GET {CONTACT}": an_object("id", "properties"),
        f"POST {SEARCH}": an_object("results"),
    }
    #: The search allows 4 to 5 a second and says nothing in headers; the smallest plans 100 in ten seconds.
    limits = Limits(rates={f"POST {SEARCH}": Rate(4, 1), "": Rate(100, 10)})
    reference_keys: ClassVar[Mapping[str, str]] = {"hubspot_api_key": "token"}

    @classmethod
    def sign_in(cls, service: str, settings: HubSpotSettings, wiring: Wiring) -> Auth:
        return bearer(settings.token)

    @operation(
        Identity.EMAIL,
        route=("POST", ERASE),
        repeats=Repeats.LOOK_FIRST,
        asks="is_left",
        again="delete_named",
        follow_up=FollowUp(
            first=timedelta(days=1), every=timedelta(days=1), overdue=timedelta(days=30), again=timedelta(days=14)
        ),
        success=nothing(),
    )
    async def delete_user(self, learner: Learner) -> Erasure:
        """Erase every contact with the learner's e-mail address for good; of another main address: a person looks."""
        contacts = await self._contacts(learner.email)
        if not contacts:
            return Erasure(Outcome.ABSENT)
        further = [number for number, contact in contacts.items() if not _is_main(contact, learner.email)]
        erasure = await self.delete_named(receipt_of((each for each in contacts if each not in further), further))
        return replace(erasure, outcome=Outcome.MANUAL) if further else erasure

    async def delete_named(self, receipt: str) -> Erasure:
        """Erase the contacts of a receipt for good."""
        for contact in deleted_in(receipt):
            await self.api.post(ERASE, json={"objectId": contact}, judge=_erased)
        return Erasure(Outcome.ACCEPTED, receipt)

    async def is_left(self, receipt: str, learner: Learner | None) -> Verdict:
        """Whether one of the contacts is left, or another has the learner's address since."""
        verdicts = [Verdict.WORKING for each in deleted_in(receipt) if await self._is_there(each)]
        there = await self._contacts(learner.email) if learner else None
        return Verdict.worst([*verdicts, *verdicts_of(receipt, there)])

    async def _is_there(self, contact: str) -> bool:
        return any([await self._contact(contact, archived=archived) for archived in (False, True)])

    async def probe(self, name: str) -> None:
        """Reads a contact of an id that no contact has: HubSpot answers 404 only to a good token."""
        await self._contact("0", archived=False)

    async def _contacts(self, email: str) -> dict[str, dict[str, Any]]:
        """All contacts that have this address, the main one or another, by their ids.

        An archived one can be restored for 90 days.
        """
        if not email:
            raise self.api.refused(f"POST {SEARCH}", "the learner has no e-mail address to be found by")
        looked_up = [await self._with_email(email, archived=archived) for archived in (False, True)]
        found = {each["id"]: each for each in [*filter(None, looked_up), *await self._searched(email)]}
        if len(found) > MOST_CONTACTS:
            raise self.api.refused(f"POST {SEARCH}", f"more than {MOST_CONTACTS} contacts have the address", 200)
        return found

    async def _contact(self, number: str, *, archived: bool) -> dict[str, Any] | None:
        """A contact by its id, among the archived ones or the others; None: there is none."""
        reply = await self._find(number, archived=archived)
        if reply is None:
            return None
        contact = _identified(reply, reply.data)
        if contact["id"] != number:
            raise reply.refused("the answer is another contact")
        return contact

    async def _with_email(self, email: str, *, archived: bool) -> dict[str, Any] | None:
        """A contact by its address, among the archived ones or the others; None: there is none."""
        reply = await self._find(email, ("idProperty", EMAIL), archived=archived)
        if reply is None:
            return None
        contact = _identified(reply, reply.data)
        if not _has(contact, email):
            raise reply.refused("the answer is a contact with another address")
        return contact

    async def _find(self, key: str, *params: tuple[str, str], archived: bool) -> Reply | None:
        asked = [("properties", f"{EMAIL},{MORE_EMAILS}"), ("archived", str(archived).lower()), *params]
        return await self.api.find(CONTACT, values={"contact": key}, params=asked, judge=_read)

    async def _searched(self, email: str) -> list[dict[str, Any]]:
        """The contacts that the search finds by this address, the main one or another."""
        groups = [
            {"filters": [{"propertyName": EMAIL, "operator": "EQ", "value": email.lower()}]},
            {"filters": [{"propertyName": MORE_EMAILS, "operator": "CONTAINS_TOKEN", "value": email.lower()}]},
        ]
        body = {"filterGroups": groups, "properties": [EMAIL, MORE_EMAILS], "limit": PAGE}
        found: list[dict[str, Any]] = []
        for _ in range(MOST_PAGES):
            reply = await self.api.post(SEARCH, json=body, patience=Patience.LOOKUP, judge=_search_exists)
            results = reply.member("results", list, "the list of contacts")
            contacts = [_identified(reply, each) for each in results]
            # The search compares words; other people's addresses may hold the same ones.
            found += [each for each in contacts if _has(each, email)]
            after = reply.at("paging", "next", "after")
            if not after:
                return found
            body = {**body, "after": str(after)}
        raise reply.refused("the search has no end")


def _identified(reply: Reply, data: Any) -> dict[str, Any]:
    contact = data if isinstance(data, dict) else {}
    number = contact.get("id")
    if not isinstance(number, str) or not number.isdecimal() or not isinstance(contact.get("properties"), dict):
        raise reply.refused("the answer holds no contact")
    return contact


def _read(reply: Reply) -> None:
    _migrating(reply)
    if reply.status == 404 and not _own_404(reply):
        raise _no_route(reply)


def _search_exists(reply: Reply) -> None:
    _migrating(reply)
    if reply.status == 404:
        raise _no_route(reply)


def _erased(reply: Reply) -> bool:
    _read(reply)
    empty_only(reply)
    # Not known by its id: another client deleted it, or our first answer was lost; the follow-up looks again.
    return reply.status == 404


def _migrating(reply: Reply) -> None:
    if reply.status == MIGRATING:
        raise reply.rate_limited(reply.pause or 0.0, "the account is being moved", in_doubt=True)


def _no_route(reply: Reply) -> Misconfigured:
    return reply.misconfigured("no such route: wrong url or path_prefix")


def _own_404(reply: Reply) -> bool:
    """Whether HubSpot says that there is no such contact, as opposed to no such route."""
    said = reply.mapping
    return said.get("status") == "error" and said.get("category", "OBJECT_NOT_FOUND") == "OBJECT_NOT_FOUND"


def _is_main(contact: Mapping[str, Any], email: str) -> bool:
    return str(contact["properties"].get(EMAIL)).strip().lower() == email.lower()


def _has(contact: Mapping[str, Any], email: str) -> bool:
    """Whether one of the contact's addresses is this one; HubSpot keeps them in lower case."""
    properties = contact["properties"]
    addresses = [properties.get(EMAIL), *str(properties.get(MORE_EMAILS) or "").split(";")]
    return email.lower() in [str(each).strip().lower() for each in addresses]
