"""HubSpot: contacts are looked up by address, erased by id, and never put on a block list."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.connectors.hubspot import HubSpot, HubSpotSettings
from retirement.errors import Misconfigured, RateLimited, Refused
from retirement.sandbox.vendors import hubspot
from tests.unit.doubles import EMAIL, USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "hubspot"
PREFIX = "/crm/v3/objects/contacts"
SECOND, STRANGER = "7000001", "7000002"
ENDLESS = {"total": 1, "results": [], "paging": {"next": {"after": "1"}}}
SOON = {"retry-after": "60", "content-type": "application/json"}


def _add(desk: Desk, number: str, **columns: Any) -> None:
    """A contact that is in no seed; without `learner` it is nobody's."""
    row = {"id": int(number), "archived": 0, "email": "other@mail.example", **columns}
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(hubspot.contact.insert().values(**row))


def _ids(desk: Desk) -> set[str]:
    with desk.world.sandbox._platform.world.database.transaction() as db:
        desk.world.sandbox._platform.settle(db)
        return {str(number) for (number,) in db.execute(select(hubspot.contact.c.id))}


def _first(desk: Desk, username: str = USERNAME) -> str:
    return str(hubspot.FIRST_ID + desk.world.user_ids[username])


async def test_a_contact_is_erased_some_days_later(desk: Desk) -> None:
    """Accepted, since nothing is proven; no contact under its id, archived or not, proves it."""
    erasure = await desk.perform("delete_user")
    connector = desk.connector()

    assert Erasure(Outcome.ACCEPTED, _first(desk)) == erasure
    assert Verdict.WORKING is await connector.ask("delete_user", _first(desk), await desk.learner())
    desk.pass_by(days=4)
    assert Verdict.GONE is await connector.ask("delete_user", _first(desk), await desk.learner())
    assert Verdict.GONE is await connector.ask("delete_user", _first(desk), None)
    assert desk.left() == []


async def test_nobody_is_absent_and_not_blocked(desk: Desk) -> None:
    """An erasure by an unknown address would keep that address for ever."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user")
    assert ("POST", f"{PREFIX}/gdpr-delete") not in desk.sent()
    assert desk.left() == []


async def test_a_second_call_is_harmless(desk: Desk) -> None:
    """The first answer may have been lost; what HubSpot still has to forget is asked for by the same id."""
    first, second = await desk.perform("delete_user"), await desk.perform("delete_user")
    desk.pass_by(days=4)

    assert first == second
    assert Erasure(Outcome.ABSENT) == await desk.perform("delete_user")
    assert desk.left() == []


async def test_a_lost_answer_is_asked_for_again(desk: Desk) -> None:
    """The request is the same one, by id, so nothing else can be hit by it."""
    desk.arm({"path": "/gdpr-delete", "drop": True, "after": True, "times": 1})

    assert Erasure(Outcome.ACCEPTED, _first(desk)) == await desk.perform("delete_user")


async def test_every_contact_with_the_address_is_erased(desk: Desk) -> None:
    """Archived ones can be restored for 90 days."""
    _add(desk, "7000003", email=EMAIL, archived=1)
    erasure = await desk.perform("delete_user")
    desk.pass_by(days=4)

    assert (erasure.outcome, set((erasure.receipt or "").split())) == (Outcome.ACCEPTED, {_first(desk), "7000003"})
    assert _ids(desk) == set()


async def test_a_contact_with_another_main_address_is_left_to_a_person(desk: Desk) -> None:
    """A family's, a shared mailbox, or contacts that were merged: asked about until the address is gone from it."""
    _add(desk, SECOND, hs_additional_emails=f"x@mail.example;{EMAIL.upper()}")
    erasure = await desk.perform("delete_user")
    receipt, connector, learner = erasure.receipt or "", desk.connector(), await desk.learner()
    desk.pass_by(days=4)

    assert erasure == Erasure(Outcome.MANUAL, f"{_first(desk)} address:{SECOND}")
    assert _ids(desk) == {SECOND}
    assert Verdict.WORKING is await connector.ask("delete_user", receipt, learner)
    assert Verdict.FAILED is await connector.ask("delete_user", receipt, None)
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(hubspot.contact.update().values(hs_additional_emails="x@mail.example"))
    assert Verdict.GONE is await connector.ask("delete_user", receipt, learner)


async def test_an_address_of_the_same_words_is_somebody_else(desk: Desk) -> None:
    """The search for further addresses compares words."""
    _add(desk, STRANGER, hs_additional_emails=f"example.{EMAIL.replace('@', '.')}@ana.example.com")
    await desk.perform("delete_user")
    desk.pass_by(days=4)

    assert _ids(desk) == {STRANGER}


async def test_all_pages_of_the_search_are_read(desk: Desk) -> None:
    """The one who is meant may be on the last."""
    for number in range(7_100_000, 7_100_120):
        _add(desk, str(number), hs_additional_emails="ana@mail.example.com")
    _add(desk, "7900000", hs_additional_emails=EMAIL)
    erasure = await desk.perform("delete_user")

    assert set((erasure.receipt or "").split()) == {_first(desk), "address:7900000"}
    assert desk.sent().count(("POST", f"{PREFIX}/search")) == 2


async def test_a_contact_that_the_search_does_not_know_yet_is_erased(desk: Desk) -> None:
    """Its index is minutes behind; the look by address is not."""
    desk.seed(holder())
    _add(desk, SECOND, email=EMAIL, indexed_at="9999")

    assert Erasure(Outcome.ACCEPTED, SECOND) == await desk.perform("delete_user")


async def test_a_contact_that_came_back_is_found_by_its_address(desk: Desk) -> None:
    """A form makes a new contact under another id; without the learner nobody knows whose it is."""
    await desk.perform("delete_user")
    desk.pass_by(days=4)
    _add(desk, SECOND, email=EMAIL)
    connector = desk.connector()

    assert Verdict.ANOTHER is await connector.ask("delete_user", _first(desk), await desk.learner())
    assert Verdict.GONE is await connector.ask("delete_user", _first(desk), None)


@pytest.mark.parametrize(
    "email",
    [
        "o'neil+a/b#c?d%e@mail.example",
        '"ana gomez"@mail.example',
        "añá@exämple.example",
        f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 52}.example",
    ],
)
async def test_an_odd_address_is_found(desk: Desk, email: str) -> None:
    """It stands in a path and in a search."""
    desk.seed(holder(email=email, vendors=["hubspot"]))
    desk.arm({"path": "/search", "method": "POST", "status": 200, "body": {"total": 0, "results": []}})

    assert Outcome.ACCEPTED is (await desk.perform("delete_user")).outcome
    desk.pass_by(days=4)
    assert desk.left() == []


async def test_the_path_may_be_a_dated_one(desk: Desk) -> None:
    """Versions without a date end in 2027."""
    erasure = await desk.perform("delete_user", path_prefix="/crm/objects/2026-03/contacts")

    assert Outcome.ACCEPTED is erasure.outcome
    assert all(path.startswith("/crm/objects/2026-03/contacts/") for _, path in desk.sent())


async def test_a_learner_without_an_address_is_refused(desk: Desk) -> None:
    """Nobody knows whose contact to look for."""
    desk.seed(holder(email=""))

    assert isinstance(await desk.error("delete_user"), Refused)
    assert desk.sent() == []


async def test_an_erasure_of_somebody_unknown_is_followed_up_all_the_same(desk: Desk) -> None:
    """HubSpot's own 404 to an id that it just gave: somebody was faster."""
    gone = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found"}
    desk.arm({"path": "/gdpr-delete", "status": 404, "body": gone})

    assert Erasure(Outcome.ACCEPTED, _first(desk)) == await desk.perform("delete_user")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"path": "/gdpr-delete", "status": 200, "body": {"status": "error"}}, Refused),
        ({"path": "/gdpr-delete", "status": 400, "body": {"status": "error", "category": "VALIDATION_ERROR"}}, Refused),
        ({"path": "/gdpr-delete", "status": 403, "body": {"category": "MISSING_SCOPES"}}, Misconfigured),
        ({"path": "/gdpr-delete", "status": 404, "body": "<html>"}, Misconfigured),
        ({"path": "/gdpr-delete", "status": 429, "body": {"policyName": "DAILY"}, "headers": SOON}, RateLimited),
        ({"path": "/gdpr-delete", "status": 477, "body": {}, "headers": SOON}, RateLimited),
        ({"path": "/search", "status": 200, "body": {"status": "error"}}, Refused),
        ({"path": "/search", "status": 200, "body": {"total": 1, "results": [{"id": None}]}}, Refused),
        ({"path": "/search", "status": 200, "body": ENDLESS, "times": 999}, Refused),
        ({"path": "/search", "status": 404, "body": {"status": "error"}}, Misconfigured),
        ({"path": "/search", "status": 477, "body": {}}, RateLimited),
        ({"method": "GET", "status": 200, "body": {"status": "error"}}, Refused),
        ({"method": "GET", "status": 200, "body": {"id": "1", "properties": {"email": "x@mail.example"}}}, Refused),
        ({"method": "GET", "status": 404, "body": {"message": "no such path"}}, Misconfigured),
        ({"method": "GET", "status": 404, "body": ""}, Misconfigured),
        ({"method": "GET", "status": 477, "body": {}}, RateLimited),
    ],
)
async def test_answers_are_read_as_the_contract_says(desk: Desk, fault: dict[str, Any], kind: type) -> None:
    """A success with something else inside proves nothing, and a 404 only where it is HubSpot's own."""
    assert type(await desk.error("delete_user", fault)) is kind


async def test_more_contacts_than_a_person_has_are_left_alone(desk: Desk) -> None:
    """A person has to look, before anything is erased."""
    for number in range(7_100_000, 7_100_060):
        _add(desk, str(number), email=EMAIL)

    assert isinstance(await desk.error("delete_user"), Refused)
    assert ("POST", f"{PREFIX}/gdpr-delete") not in desk.sent()


async def test_another_contact_proves_nothing(desk: Desk) -> None:
    """The question was about one id."""
    desk.arm({"method": "GET", "status": 200, "body": {"id": "2", "properties": {}}})

    with pytest.raises(Refused, match="another contact"):
        await desk.connector().ask("delete_user", "1", None)


async def test_a_wrong_token_is_nobodys_fault(desk: Desk) -> None:
    """401 stops the run, and the probe shows it before."""
    assert isinstance(await desk.error("delete_user", token="wrong"), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(token="wrong").probe("delete_user")
    with pytest.raises(Misconfigured):
        await desk.connector(path_prefix="/crm/v3/objects/contact").probe("delete_user")


async def test_the_probe_reads_nobody(desk: Desk) -> None:
    """It asks for a contact that cannot be."""
    await desk.connector().probe("delete_user")

    assert desk.sent() == [("GET", f"{PREFIX}/0")]


def test_settings_have_a_default_and_hide_the_token() -> None:
    """The reference's key is the token."""
    settings = HubSpotSettings(token="secret-token")

    assert settings.base_url == "https://api.hubapi.com/crm/v3/objects/contacts"
    assert "secret-token" not in repr(settings)
    assert HubSpot.reference_keys == {"hubspot_api_key": "token"}


@pytest.mark.parametrize("wrong", [{"path_prefix": "crm/"}, {"path_prefix": "/{a}"}, {"tokem": "t"}])
def test_a_wrong_setting_is_refused(wrong: dict[str, str]) -> None:
    """Before the first learner."""
    with pytest.raises(ValidationError, match=re.compile("slash|not permitted", re.IGNORECASE)):
        HubSpotSettings(**{"token": "t", **wrong})


async def test_what_is_done_once_more_leaves_another_contact_with_the_address(desk: Desk) -> None:
    """The person may have signed up anew, or the address have another owner: only what the receipt names goes."""
    connector, learner = desk.connector(), await desk.learner()
    _add(desk, SECOND, email=EMAIL)

    assert Erasure(Outcome.ACCEPTED, _first(desk)) == await connector.repeat("delete_user", _first(desk), learner)
    desk.pass_by(days=4)
    assert SECOND in _ids(desk)
    assert _first(desk) not in _ids(desk)
    assert Verdict.ANOTHER is await connector.ask("delete_user", _first(desk), learner)
