"""Mailchimp: every audience apart, for good, and no hash of an address in a receipt."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.connectors.mailchimp import Mailchimp, MailchimpSettings
from retirement.errors import Misconfigured, Refused, RetirementError, Transient
from retirement.sandbox.vendors import mailchimp
from tests.unit.doubles import EMAIL, NAME, USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "mailchimp"
FIRST, SECOND, THIRD = mailchimp.AUDIENCES
DELETE, MEMBERS = "/actions/delete-permanent", "/members/"
PROBLEM = {"type": "t", "title": "Resource Not Found", "status": 404, "detail": "d", "instance": "i"}


def _contacts(desk: Desk) -> dict[str, str]:
    """Contact ids by audience, as the vendor has them."""
    with desk.world.sandbox._platform.world.database.transaction() as db:
        return {row.list_id: row.contact_id for row in db.execute(mailchimp.member.select())}


def _join(desk: Desk, audience: str, **columns: Any) -> None:
    """The learner becomes a member, under a contact id that nobody knows yet."""
    row = {"list_id": audience, "subscriber_hash": mailchimp.hash_of(EMAIL), "contact_id": "f" * 32}
    row |= {"email_address": EMAIL, "full_name": NAME, "status": "subscribed"}
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(mailchimp.member.insert().values(learner=desk.world.user_ids[USERNAME], **row | columns))


async def test_a_member_leaves_every_audience_for_good(desk: Desk) -> None:
    """The receipt names audiences and contacts, and nothing that is made from the address."""
    contacts = _contacts(desk)
    erasure = await desk.perform("delete_member")
    connector, receipt = desk.connector(), erasure.receipt or ""

    assert Erasure(Outcome.ERASED, f"{FIRST}:{contacts[FIRST]} {SECOND}:{contacts[SECOND]}") == erasure
    assert mailchimp.hash_of(EMAIL) not in receipt
    assert Verdict.GONE is await connector.ask("delete_member", receipt, await desk.learner())
    assert Verdict.GONE is await connector.ask("delete_member", receipt, None)
    assert desk.left() == []


async def test_nobody_is_absent(desk: Desk) -> None:
    """Mailchimp's own 404 in each audience."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_member")
    assert [method for method, _ in desk.sent()] == ["GET"] * 4


async def test_a_second_call_finds_nobody(desk: Desk) -> None:
    """A deletion cannot be undone."""
    await desk.perform("delete_member")

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_member")


async def test_a_lost_answer_leaves_an_erasure(desk: Desk) -> None:
    """The repeated request is 404, and the member was there when we looked."""
    contacts = _contacts(desk)
    desk.arm({"path": f"{FIRST}{MEMBERS}", "method": "POST", "drop": True, "after": True, "times": 1})
    erasure = await desk.perform("delete_member")

    assert Erasure(Outcome.ERASED, f"{FIRST}:{contacts[FIRST]} {SECOND}:{contacts[SECOND]}") == erasure
    assert desk.left() == []


async def test_archived_members_are_deleted_too(desk: Desk) -> None:
    """Archiving is what a plain deletion does; it keeps everything."""
    desk.seed(holder())
    _join(desk, THIRD, status="archived")

    assert Erasure(Outcome.ERASED, f"{THIRD}:{'f' * 32}") == await desk.perform("delete_member")
    assert desk.left() == []


async def test_only_configured_audiences_are_touched(desk: Desk) -> None:
    """The others are somebody else's; being in one of them is no return either."""
    erasure = await desk.perform("delete_member", audiences=[SECOND])
    connector = desk.connector(audiences=[SECOND])

    assert erasure.outcome is Outcome.ERASED
    assert list(_contacts(desk)) == [FIRST]
    assert Verdict.GONE is await connector.ask("delete_member", erasure.receipt or "", await desk.learner())


async def test_an_audience_that_is_not_there_stops_the_run(desk: Desk) -> None:
    """Else everybody would be absent from it, by a slip of the pen."""
    assert isinstance(await desk.error("delete_member", audiences=[FIRST, "d4d4d4d4d4"]), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(audiences=["d4d4d4d4d4"]).probe("delete_member")
    assert len(_contacts(desk)) == 2


async def test_all_pages_of_audiences_are_read(desk: Desk) -> None:
    """However many the service gives at a time."""
    desk.arm(
        {"path": "/3.0/lists", "times": 1, "status": 200, "body": {"lists": [{"id": THIRD}], "total_items": 3}},
        {"path": "/3.0/lists", "times": 1, "status": 200, "body": {"lists": [{"id": FIRST}], "total_items": 3}},
        {"path": "/3.0/lists", "times": 1, "status": 200, "body": {"lists": [{"id": SECOND}], "total_items": 3}},
    )
    await desk.perform("delete_member")

    assert desk.sent().count(("GET", "/3.0/lists")) == 3
    assert desk.left() == []


async def test_who_joined_again_is_found_by_the_address(desk: Desk) -> None:
    """As another contact, whom only the address names; once the LMS has forgotten it nobody can tell."""
    receipt = (await desk.perform("delete_member")).receipt or ""
    _join(desk, FIRST)

    assert Verdict.ANOTHER is await desk.connector().ask("delete_member", receipt, await desk.learner())
    assert Verdict.GONE is await desk.connector().ask("delete_member", receipt, None)


async def test_a_member_who_is_still_there_is_found_by_the_receipt(desk: Desk) -> None:
    """A 204 that did nothing comes to light without the address."""
    desk.arm({"path": DELETE, "status": 204})
    receipt = (await desk.perform("delete_member")).receipt or ""

    assert Verdict.PRESENT is await desk.connector().ask("delete_member", receipt, None)


@pytest.mark.parametrize("contact", [None, "", "ana@example.com", mailchimp.hash_of(EMAIL)])
async def test_what_is_no_contact_id_is_in_no_receipt(desk: Desk, contact: str | None) -> None:
    """Without one there is no receipt; the hash of the address is the address for who guesses."""
    desk.seed(holder())
    _join(desk, FIRST, contact_id=contact)

    assert Erasure(Outcome.ERASED) == await desk.perform("delete_member")


async def test_another_member_proves_nothing(desk: Desk) -> None:
    """Neither that the learner is there, nor that they are not."""
    error = await desk.error("delete_member", {"path": MEMBERS, "status": 200, "body": {"id": "x", "contact_id": "y"}})

    assert isinstance(error, Refused)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"path": DELETE, "status": 200, "body": {"title": "error"}}, Refused),
        ({"path": DELETE, "status": 400, "body": {"title": "Invalid Resource"}}, Refused),
        ({"path": DELETE, "status": 405, "body": {"title": "Method Not Allowed"}}, Refused),
        ({"path": DELETE, "status": 403, "body": {"title": "Forbidden"}}, Misconfigured),
        ({"path": DELETE, "status": 403, "body": "<html>"}, Transient),
        ({"path": DELETE, "status": 404, "body": "<html>"}, Misconfigured),
        ({"path": DELETE, "status": 404, "body": ""}, Misconfigured),
        ({"path": DELETE, "status": 429, "body": {"title": "TooManyRequests"}}, Transient),
        ({"path": MEMBERS, "status": 403, "body": ""}, Transient),
        ({"path": MEMBERS, "status": 404, "body": {"message": "no route"}}, Misconfigured),
        ({"path": MEMBERS, "status": 200, "body": []}, Refused),
        ({"path": "/3.0/lists", "status": 404, "body": PROBLEM}, Misconfigured),
        ({"path": "/3.0/lists", "status": 200, "body": {"title": "error"}}, Refused),
        ({"path": "/3.0/lists", "status": 200, "body": {"lists": [], "total_items": 2}}, Refused),
        ({"path": "/3.0/lists", "status": 200, "body": {"lists": [{}], "total_items": 1}}, Refused),
    ],
)
async def test_answers_are_read_as_the_contract_says(
    desk: Desk, fault: dict[str, Any], kind: type[RetirementError]
) -> None:
    """A member who cannot be deleted needs a person; a bare 403 is a limit; a 404 counts only where it is theirs."""
    assert type(await desk.error("delete_member", fault)) is kind


async def test_a_search_without_a_list_proves_nothing(desk: Desk) -> None:
    """200 with something else inside is not `gone`."""
    desk.arm({"path": "/search-members", "status": 200, "body": {"exact_matches": None}})

    with pytest.raises(Refused):
        await desk.connector().ask("delete_member", f"{FIRST}:abc", await desk.learner())


@pytest.mark.parametrize(
    "email", ["O'Neil+a/b#c?d%e@mail.example", "añá@exämple.example", f"{'a' * 64}@{'b' * 181}.example"]
)
async def test_an_odd_address_is_found(desk: Desk, email: str) -> None:
    """Its hash is of lower-case letters; the search takes it whole."""
    desk.seed(holder(email=email, vendors=["mailchimp"]))
    receipt = (await desk.perform("delete_member")).receipt or ""

    assert desk.left() == []
    assert Verdict.GONE is await desk.connector().ask("delete_member", receipt, await desk.learner())
    _join(desk, FIRST, email_address=email.upper())
    assert Verdict.ANOTHER is await desk.connector().ask("delete_member", receipt, await desk.learner())


async def test_a_learner_without_an_address_is_refused(desk: Desk) -> None:
    """Nobody knows whom to look for."""
    desk.seed(holder(email=""))

    assert isinstance(await desk.error("delete_member"), Refused)
    assert desk.sent() == []


async def test_a_wrong_key_is_nobodys_fault(desk: Desk) -> None:
    """401 stops the run, and the probe shows it before."""
    assert isinstance(await desk.error("delete_member", api_key="wrong-us6"), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(api_key="wrong-us6").probe("delete_member")


async def test_the_probe_reads_no_member(desk: Desk) -> None:
    """The list of audiences is enough."""
    await desk.connector().probe("delete_member")

    assert desk.sent() == [("GET", "/3.0/lists")]


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"api_key": "secret-us6"}, "https://us6.api.mailchimp.com/3.0"),
        ({"api_key": "secret", "url": "https://mail.example/3.0"}, "https://mail.example/3.0"),
    ],
)
def test_the_key_says_the_host_and_is_hidden(settings: dict[str, str], host: str) -> None:
    """Its end is the data centre."""
    made = MailchimpSettings(**settings)

    assert made.base_url == host
    assert "secret" not in repr(made)


@pytest.mark.parametrize("wrong", [{"api_key": "secret"}, {"api_key": "k-us6", "lists": ["a"]}])
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    """Before the first learner; the key is not shown."""
    with pytest.raises(ValidationError, match=re.compile("data centre|not permitted", re.IGNORECASE)) as caught:
        MailchimpSettings(**wrong)
    assert "secret" not in str(caught.value)


def test_no_more_than_ten_at_once() -> None:
    """More connections are refused (B6)."""
    assert Mailchimp.limits.at_once == 10


async def test_what_is_done_once_more_leaves_another_contact_with_the_address(desk: Desk) -> None:
    """Who joined an audience anew has agreed anew: only the contacts that the receipt names go."""
    contacts = _contacts(desk)
    connector, learner = desk.connector(), await desk.learner()
    named = f"{FIRST}:{contacts[FIRST]}"

    assert Erasure(Outcome.ERASED, named) == await connector.repeat("delete_member", named, learner)
    assert _contacts(desk) == {audience: each for audience, each in contacts.items() if audience != FIRST}
    assert Verdict.ANOTHER is await connector.ask("delete_member", named, learner)
