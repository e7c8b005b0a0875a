"""Zendesk: a search that has to be checked, and two deletions of which each may be the last that was done."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.connectors.zendesk import NOT_SOFTLY, Zendesk, ZendeskSettings
from retirement.errors import Misconfigured, RateLimited, Refused, RetirementError
from retirement.sandbox.vendors import zendesk
from retirement.wire.limits import Rate
from tests.unit.doubles import EMAIL, NAME, USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "zendesk"
SEARCH, USERS, DELETED = "/users/search.json", "/api/v2/users/", "/api/v2/deleted_users"
SOON = {"retry-after": "60", "content-type": "application/json"}
NOBODY = {"users": [], "count": 0, "next_page": None}


def _number(desk: Desk) -> str:
    return str(zendesk.FIRST_ID + desk.world.user_ids[USERNAME])


def _add(desk: Desk, number: int, **columns: Any) -> None:
    """A user who is in no seed; with `learner` it is the learner's."""
    row = {"id": number, "name": NAME, "email": "x@mail.example", "role": "end-user", "active": 1, "erased": 0}
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(zendesk.user.insert().values(**row | columns))


async def test_a_user_is_deleted_twice_and_forgotten_some_hours_later(desk: Desk) -> None:
    """Softly, for good, and then by the products; comments keep their text."""
    erasure = await desk.perform("delete_user")
    connector = desk.connector()

    assert Erasure(Outcome.ACCEPTED, _number(desk)) == erasure
    assert [path for method, path in desk.sent() if method == "DELETE"] == [
        f"{USERS}{_number(desk)}",
        f"{DELETED}/{_number(desk)}",
    ]
    desk.pass_by(minutes=10)
    assert Verdict.WORKING is await connector.ask("delete_user", _number(desk), await desk.learner())
    desk.pass_by(hours=3)
    assert Verdict.GONE is await connector.ask("delete_user", _number(desk), await desk.learner())
    assert Verdict.GONE is await connector.ask("delete_user", _number(desk), None)
    assert desk.left() == []


async def test_nobody_is_absent(desk: Desk) -> None:
    """Neither the search nor the list of deleted users has the address."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user")
    assert {method for method, _ in desk.sent()} == {"GET"}


async def test_a_second_call_is_harmless(desk: Desk) -> None:
    """While the search still shows the user, and when it does no longer."""
    first, second = await desk.perform("delete_user"), await desk.perform("delete_user")
    desk.pass_by(hours=3)

    assert first == second
    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user")


async def test_what_a_crash_left_half_done_is_finished(desk: Desk) -> None:
    """The search does not find who is softly deleted; the list of the deleted does."""
    await desk.error("delete_user", {"path": DELETED, "method": "DELETE", "status": 503})
    desk.arm()
    desk.pass_by(minutes=10)
    assert Verdict.PRESENT is await desk.connector().ask("delete_user", _number(desk), None)

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user", search_deleted_users=False)
    assert Erasure(Outcome.ACCEPTED, _number(desk)) == await desk.perform("delete_user")
    desk.pass_by(hours=3)
    assert desk.left() == []


@pytest.mark.parametrize("path", [USERS, DELETED])
async def test_a_lost_answer_is_asked_for_again(desk: Desk, path: str) -> None:
    """The repeated deletion is 404, and that is what was wanted."""
    desk.arm({"path": path, "method": "DELETE", "drop": True, "after": True, "times": 1})

    assert Erasure(Outcome.ACCEPTED, _number(desk)) == await desk.perform("delete_user")
    desk.pass_by(hours=3)
    assert desk.left() == []


async def test_the_whole_list_of_the_deleted_is_read(desk: Desk) -> None:
    """A hundred at a time; those whom Zendesk has erased have no address."""
    desk.seed(holder())
    for number in range(1_000_001, 1_000_151):
        _add(desk, number, active=0, erased=1, email=None)
    _add(desk, 1_000_200, active=0, email=EMAIL.upper())

    assert Erasure(Outcome.ACCEPTED, "1000200") == await desk.perform("delete_user")
    assert desk.sent().count(("GET", DELETED)) == 2


async def test_an_address_of_the_same_words_is_somebody_else(desk: Desk) -> None:
    """The search compares words; we compare addresses."""
    desk.seed(holder())
    _add(desk, 1_000_001, email=f"x.{EMAIL}")
    _add(desk, 1_000_002, email=f"x.{EMAIL}", active=0, found_until="9999")

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user")


async def test_a_user_with_another_main_address_is_left_to_a_person(desk: Desk) -> None:
    """The search shows the main one only; the receipt names the user until the learner's address is gone from them."""
    desk.seed(holder())
    _add(desk, 1_000_001)
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(zendesk.identity.insert().values(user_id=1_000_001, value=EMAIL))

    erasure = await desk.perform("delete_user")
    receipt, connector, learner = erasure.receipt or "", desk.connector(), await desk.learner()

    assert erasure == Erasure(Outcome.MANUAL, "address:1000001")
    assert {method for method, _ in desk.sent()} == {"GET"}
    assert Verdict.WORKING is await connector.ask("delete_user", receipt, learner)
    assert Verdict.FAILED is await connector.ask("delete_user", receipt, None)
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(zendesk.identity.delete())
    assert Verdict.GONE is await connector.ask("delete_user", receipt, learner)


async def test_open_tickets_need_a_person(desk: Desk) -> None:
    """422, and nothing is deleted."""
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(zendesk.ticket.update().values(status="open"))
    error = await desk.error("delete_user")

    assert isinstance(error, Refused)
    assert error.reason == NOT_SOFTLY


@pytest.mark.parametrize("role", ["agent", "admin"])
async def test_staff_are_left_to_a_person(desk: Desk, role: str) -> None:
    """Deleting an agent takes their tickets and views along."""
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(zendesk.user.update().values(role=role))

    assert isinstance(await desk.error("delete_user"), Refused)
    assert {method for method, _ in desk.sent()} == {"GET"}


async def test_who_came_back_is_found_by_the_address(desk: Desk) -> None:
    """A new mail to the help desk makes a new user; once the LMS has forgotten the address nobody can tell."""
    await desk.perform("delete_user")
    desk.pass_by(hours=3)
    _add(desk, 1_000_001, email=EMAIL)

    assert Verdict.ANOTHER is await desk.connector().ask("delete_user", _number(desk), await desk.learner())
    assert Verdict.GONE is await desk.connector().ask("delete_user", _number(desk), None)


async def test_a_user_who_is_active_is_present(desk: Desk) -> None:
    """Whatever the answers to the deletions were."""
    assert Verdict.PRESENT is await desk.connector().ask("delete_user", _number(desk), None)
    assert Verdict.GONE is await desk.connector().ask("delete_user", "1", None)


@pytest.mark.parametrize(
    "email", ["O'Neil+a/b#c?d%e&f=g@mail.example", "añá@exämple.example", f"{'a' * 64}@{'b' * 181}.example"]
)
async def test_an_odd_address_is_found(desk: Desk, email: str) -> None:
    """It stands in quotation marks in a query string."""
    desk.seed(holder(email=email, vendors=["zendesk"]))

    assert Outcome.ACCEPTED is (await desk.perform("delete_user")).outcome
    desk.pass_by(hours=3)
    assert desk.left() == []


@pytest.mark.parametrize("email", ['"ana gomez"@mail.example', '"a\\b"@mail.example', ""])
async def test_an_address_that_cannot_be_quoted_needs_a_person(desk: Desk, email: str) -> None:
    """`absent` would be a guess."""
    desk.seed(holder(email=email, vendors=["zendesk"]))

    assert isinstance(await desk.error("delete_user"), Refused)
    assert desk.sent() == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"path": SEARCH, "status": 200, "body": {"error": "x"}}, Refused),
        ({"path": SEARCH, "status": 200, "body": {"users": [{"id": "1"}]}}, Refused),
        ({"path": SEARCH, "status": 200, "body": NOBODY | {"next_page": "https://x"}}, Refused),
        ({"path": SEARCH, "status": 404, "body": {"error": "InvalidEndpoint"}}, Misconfigured),
        ({"path": SEARCH, "status": 429, "body": {}, "headers": SOON}, RateLimited),
        ({"path": DELETED, "method": "GET", "status": 200, "body": {"deleted_users": []}}, Refused),
        ({"path": DELETED, "method": "GET", "status": 200, "body": {"users": [], "meta": {}}}, Refused),
        ({"path": USERS, "method": "DELETE", "status": 200, "body": {"error": "x"}}, Refused),
        ({"path": USERS, "method": "DELETE", "status": 200, "body": {"user": {"id": 1, "active": False}}}, Refused),
        ({"path": USERS, "method": "DELETE", "status": 403, "body": {"error": "Forbidden"}}, Misconfigured),
        ({"path": USERS, "method": "DELETE", "status": 404, "body": "<html>"}, Misconfigured),
        ({"path": DELETED, "method": "DELETE", "status": 204}, Refused),
        ({"path": DELETED, "method": "DELETE", "status": 422, "body": {"error": "RecordInvalid"}}, Refused),
        ({"path": DELETED, "method": "DELETE", "status": 404, "body": {"error": "InvalidEndpoint"}}, Misconfigured),
        ({"path": DELETED, "method": "DELETE", "status": 429, "body": {}, "headers": SOON}, RateLimited),
    ],
)
async def test_answers_are_read_as_the_contract_says(
    desk: Desk, fault: dict[str, Any], kind: type[RetirementError]
) -> None:
    """A success shows the user and that they are not active; a 404 counts where no such user is meant."""
    assert type(await desk.error("delete_user", fault)) is kind


async def test_a_user_who_stays_active_is_not_deleted(desk: Desk) -> None:
    """200 with the user as before is no deletion."""
    body = {"user": {"id": int(_number(desk)), "active": True}}
    error = await desk.error("delete_user", {"path": USERS, "method": "DELETE", "status": 200, "body": body})

    assert isinstance(error, Refused)


async def test_a_list_that_goes_round_ends(desk: Desk) -> None:
    """The same cursor twice is no way on."""
    body = {"deleted_users": [], "meta": {"has_more": True, "after_cursor": "a"}}

    assert isinstance(await desk.error("delete_user", {"path": DELETED, "status": 200, "body": body}), Refused)


@pytest.mark.parametrize("wrong", [{"api_token": "wrong"}, {"email": "nobody@helpdesk.example"}])
async def test_wrong_credentials_are_nobodys_fault(desk: Desk, wrong: dict[str, str]) -> None:
    """401 stops the run, and the probe shows it before."""
    assert isinstance(await desk.error("delete_user", **wrong), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(**wrong).probe("delete_user")


async def test_the_probe_reads_nobody(desk: Desk) -> None:
    """It asks for a user who cannot be; another host would not say it in these words."""
    await desk.connector().probe("delete_user")

    assert desk.sent() == [("GET", f"{DELETED}/0")]
    desk.arm({"path": DELETED, "status": 404, "body": {"error": "InvalidEndpoint"}})
    with pytest.raises(Misconfigured):
        await desk.connector().probe("delete_user")


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"subdomain": "example"}, "https://example.zendesk.com"),
        ({"subdomain": "example", "url": "https://help.example"}, "https://help.example"),
    ],
)
def test_the_subdomain_says_the_host(settings: dict[str, str], host: str) -> None:
    """The token is hidden, and its limit is known."""
    made = ZendeskSettings(**{"email": "a@help.example", "api_token": "secret", **settings})

    assert host == made.base_url
    assert "secret" not in repr(made)
    assert Zendesk.limits.rates == {"DELETE /api/v2/deleted_users/{user}": Rate(700, 600)}


@pytest.mark.parametrize("wrong", [{}, {"subdomain": "a.b"}, {"subdomain": "a", "api_tokem": "t"}])
def test_a_wrong_setting_is_refused(wrong: dict[str, str]) -> None:
    """Before the first learner; the token is not shown."""
    with pytest.raises(ValidationError, match=re.compile("subdomain|not permitted", re.IGNORECASE)) as caught:
        ZendeskSettings(**{"email": "a@help.example", "api_token": "secret", **wrong})
    assert "secret" not in str(caught.value)


async def test_what_is_done_once_more_leaves_another_user_with_the_address(desk: Desk) -> None:
    """The person may have written to the help desk anew: only the users that the receipt names go."""
    connector, learner = desk.connector(), await desk.learner()
    _add(desk, 1_000_001, email=EMAIL)

    assert Erasure(Outcome.ACCEPTED, _number(desk)) == await connector.repeat("delete_user", _number(desk), learner)
    desk.pass_by(hours=3)
    assert Verdict.PRESENT is await connector.ask("delete_user", "1000001", None)
    assert Verdict.GONE is await connector.ask("delete_user", _number(desk), None)
    assert Verdict.ANOTHER is await connector.ask("delete_user", _number(desk), learner)


async def test_a_user_who_was_restored_is_deleted_once_more_by_the_receipt(desk: Desk) -> None:
    """Softly and for good, as the first time; one who is gone is left alone."""
    connector, learner = desk.connector(), await desk.learner()
    receipt = (await desk.perform("delete_user")).receipt or ""
    desk.pass_by(hours=3)

    assert Erasure(Outcome.ACCEPTED, receipt) == await connector.repeat("delete_user", receipt, learner)
    assert Verdict.GONE is await connector.ask("delete_user", receipt, None)


async def test_a_learner_who_is_called_as_the_receipt_says_it_is_no_leak(desk: Desk) -> None:
    """A receipt that names a learner is a defect; this word stands in it for every learner."""
    desk.seed({**holder(vendors=[]), "username": "address"})
    _add(desk, 1_000_001)
    learner = await desk.learner("address")
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(zendesk.identity.insert().values(user_id=1_000_001, value=learner.email))

    assert "address:1000001" == (await desk.connector().perform("delete_user", learner)).receipt
