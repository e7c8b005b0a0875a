"""HTTP: declared requests, what may stand in them, and answers that are not what they seem."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Identity, Outcome, Verdict
from retirement.connectors.http import GenericHttp, GenericHttpSettings
from retirement.errors import Misconfigured, NotFound, Refused
from tests.unit.doubles import USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "crm"
#: Deletion at once, by username.
BY_NAME: dict[str, Any] = {
    "request": {"method": "DELETE", "path": "/api/v1/contacts/{username}"},
    "answer": {"must_have": {"ok": True}, "absent_has": {"error": "no such contact"}},
    "accepted_on": [],
    "receipt": None,
    "ask": {"path": "/api/v1/contacts", "query": {"email": "{email}"}, "gone_has": {"contacts": []}},
}
#: The least that a section has.
LEAST: dict[str, Any] = {
    "url": "https://crm.example",
    "bearer": "token-of-the-crm",
    "request": {"method": "DELETE", "path": "/x/{user_id}"},
    "probe": {"path": "/ping"},
}


def refusal(**changes: Any) -> str:
    """Why these settings are refused."""
    with pytest.raises(ValidationError) as caught:
        GenericHttpSettings(**LEAST | changes)
    return str(caught.value)


async def test_a_job_is_accepted_and_asked_about_by_its_id(desk: Desk) -> None:
    """Working, then gone, also when the LMS has forgotten the learner."""
    erasure = await desk.perform("erase")
    connector = desk.connector()
    assert erasure.outcome is Outcome.ACCEPTED
    assert erasure.receipt

    assert Verdict.WORKING is await connector.ask("erase", erasure.receipt, None)
    assert desk.left()
    desk.pass_by(hours=2)
    assert Verdict.GONE is await connector.ask("erase", erasure.receipt, None)
    assert desk.left() == []


async def test_a_deletion_by_name_is_erased_and_then_absent(desk: Desk) -> None:
    """The search finds them before and nobody after."""
    learner, connector = await desk.learner(), desk.connector(**BY_NAME)
    receipt = str(learner.user_id)
    assert Verdict.PRESENT is await connector.ask("erase", receipt, learner)

    assert Erasure(Outcome.ERASED, receipt) == await connector.perform("erase", learner)
    assert desk.left() == []
    assert Verdict.GONE is await connector.ask("erase", receipt, learner)
    settings = {**BY_NAME, "absent_on": [404]}
    assert Erasure(Outcome.ABSENT) == await desk.connector(**settings).perform("erase", learner)


async def test_whom_the_lms_has_forgotten_nobody_can_search_by_address(desk: Desk) -> None:
    """A person has to look; nothing is sent."""
    assert Verdict.FAILED is await desk.connector(**BY_NAME).ask("erase", "101", None)
    assert desk.sent() == []


@pytest.mark.parametrize(
    "identity",
    [
        {"username": "o'brien", "email": "o'brien+x@mail.example"},
        {"username": "a.b/c d"},
        {"username": "ñandú", "email": "ñandú@mail.example"},
        {"username": "x" * 30, "email": f"{'e' * 241}@mail.example", "name": "{username} {0}"},
    ],
)
async def test_awkward_identities_stay_in_their_place(desk: Desk, identity: dict[str, str]) -> None:
    """A slash leads to no other route, and braces in a name are no placeholder."""
    desk.seed(holder(identity["username"], vendors=["crm"], **{k: v for k, v in identity.items() if k != "username"}))
    learner = await desk.learner(identity["username"])
    connector = desk.connector(**BY_NAME)

    assert Verdict.PRESENT is await connector.ask("erase", "1", learner)
    assert Outcome.ERASED is (await connector.perform("erase", learner)).outcome
    assert desk.left(identity["username"]) == []


@pytest.mark.parametrize("absent_has", [{}, {"error": "no such contact"}])
async def test_nobody_of_that_id_is_absent(desk: Desk, absent_has: dict[str, str]) -> None:
    """The service's own 404, where the settings say so."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("erase", answer={"absent_has": absent_has})


async def test_a_404_that_is_not_declared_or_not_their_own_is_no_absence(desk: Desk) -> None:
    """Neither another JSON, nor a page, nor the empty answer of a gateway."""
    path = "/api/v1/erasures"
    assert isinstance(await desk.error("erase", {"path": path, "status": 404, "body": {"message": "?"}}), NotFound)
    desk.world.sandbox.arm([])
    assert isinstance(await desk.error("erase", {"path": path, "status": 404, "body": "<html>"}), Misconfigured)
    assert isinstance(
        await desk.error("erase", {"path": path, "status": 404, "body": ""}, answer={"must_have": {"ok": True}}),
        NotFound,
    )
    desk.seed(holder())
    assert isinstance(await desk.error("erase", absent_on=[]), NotFound)


async def test_a_count_of_nothing_can_be_an_absence(desk: Desk) -> None:
    """The same status as an erasure; the body tells them apart."""
    settings = {**BY_NAME, "absent_on": [200], "answer": {"must_have": {"ok": True}, "absent_has": {"deleted": 0}}}
    learner, connector = await desk.learner(), desk.connector(**settings)
    desk.arm({"status": 200, "body": {"ok": True, "deleted": 0}, "times": 1})

    assert Erasure(Outcome.ABSENT) == await connector.perform("erase", learner)
    assert Outcome.ERASED is (await connector.perform("erase", learner)).outcome


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"ok": 1, "job": {"id": "j"}},
        {"ok": True, "job": {"id": "j"}, "error": "later"},
        {"ok": True, "errors": ["x"], "job": {"id": "j"}},
        {"ok": True, "job": {}},
        {"ok": True, "job": {"id": True}},
        {"ok": True, "job": {"id": ""}},
        {"ok": True, "job": {"id": "j" * 201}},
    ],
)
async def test_a_success_without_its_proof_is_refused(desk: Desk, body: Any) -> None:
    """Neither an error inside nor a receipt that is missing becomes an outcome."""
    error = await desk.error("erase", {"path": "/api/v1/erasures", "status": 202, "body": body})

    assert isinstance(error, Refused)


async def test_a_complaint_is_heard_without_being_declared(desk: Desk) -> None:
    """200 with `error` in it, where the settings ask for nothing."""
    settings = {**BY_NAME, "answer": {}}

    assert isinstance(await desk.error("erase", {"status": 200, "body": {"error": "no"}}, **settings), Refused)


async def test_an_answer_that_no_setting_names_is_refused(desk: Desk) -> None:
    """201 may be anything."""
    error = await desk.error("erase", {"status": 201, "body": {"ok": True, "job": {"id": "j"}}})

    assert isinstance(error, Refused)


@pytest.mark.parametrize("status", [400, 409, 422, 401, 403])
async def test_refusals_and_credentials_are_told_apart(desk: Desk, status: int) -> None:
    """Whose fault it is."""
    error = await desk.error("erase", {"status": status, "body": {"ok": False}})

    assert isinstance(error, Misconfigured if status in (401, 403) else Refused)


async def test_a_blank_identity_is_never_sent(desk: Desk) -> None:
    """A filter by an empty text finds everybody who has none."""
    desk.seed(holder(name="", vendors=["crm"]))
    form = {"full_name": "{name}", "external_id": "{user_id}"}
    request = {"method": "POST", "path": "/api/v1/erasures", "form": form}
    error = await desk.error("erase", request=request)

    assert isinstance(error, Refused)
    assert "the learner has no name" in str(error)
    assert desk.sent() == []


async def test_the_probe_is_the_declared_read(desk: Desk) -> None:
    """A wrong key, another path and an unexpected status do not pass."""
    await desk.connector().probe("erase")
    assert desk.sent() == [("GET", "/api/v1/ping")]
    for settings, kind in (
        ({"header_value": "wrong"}, Misconfigured),
        ({"probe": {"path": "/nowhere"}}, NotFound),
        ({"probe": {"path": "/api/v1/ping", "ok_on": [204]}}, Refused),
    ):
        with pytest.raises(kind):
            await desk.connector(**settings).probe("erase")
    await desk.connector(probe={"path": "/nowhere", "ok_on": [404]}).probe("erase")
    desk.arm({"status": 200, "body": "<html>log in</html>", "headers": {"content-type": "text/html"}})
    with pytest.raises(Misconfigured):
        await desk.connector().probe("erase")


async def test_a_question_that_fails_is_no_verdict(desk: Desk) -> None:
    """A job that is gone from the list is what `gone_on` says; a complaint is an error, a failed job FAILED."""
    connector = desk.connector()
    assert Verdict.GONE is await connector.ask("erase", "unknown-job", None)
    with pytest.raises(NotFound):
        await desk.connector(ask={"path": "/api/v1/erasures/{receipt}", "gone_on": []}).ask(
            "erase", "unknown-job", None
        )
    desk.arm({"status": 200, "body": {"ok": False}})
    with pytest.raises(Refused):
        await connector.ask("erase", "x", None)
    failed = {"path": "/api/v1/erasures/{receipt}", "failed_has": {"jobs.0.status": "failed"}}
    desk.world.sandbox.arm([])
    desk.arm({"status": 200, "body": {"jobs": [{"status": "failed"}], "error": "why"}})
    assert Verdict.FAILED is await desk.connector(ask=failed).ask("erase", "x", None)


def test_what_an_operation_needs_is_what_its_request_tells() -> None:
    """Asking exists only where it is declared."""
    plain = GenericHttp.declared(GenericHttpSettings(**LEAST))["erase"]
    asked = GenericHttp.declared(GenericHttpSettings(**LEAST, ask={"path": "/{user_id}"}))["erase"]
    request = {
        "method": "POST",
        "path": "/{username}",
        "query": {"a": "{email}"},
        "json": [{"n": "{name}"}, 1, None],
    }
    whole = GenericHttp.declared(GenericHttpSettings(**LEAST | {"request": request}))["erase"]

    assert (plain.needs, plain.asks, plain.follow_up) == ({Identity.USER_ID}, None, None)
    assert asked.asks
    assert asked.follow_up
    assert whole.needs == {Identity.USERNAME, Identity.EMAIL, Identity.NAME}


async def test_without_a_question_nobody_can_ask(desk: Desk) -> None:
    """And an erasure has no receipt then."""
    connector = desk.connector(**{**BY_NAME, "ask": None})

    assert Erasure(Outcome.ERASED) == await connector.perform("erase", await desk.learner())
    with pytest.raises(LookupError):
        await connector.ask("erase", "1", None)


async def test_a_user_id_is_a_text_or_a_number_as_declared(desk: Desk) -> None:
    """The simulated service wants a text; braces that are doubled are braces."""
    settings = {"user_id_as": "number", "absent_on": []}
    assert isinstance(await desk.error("erase", **settings), Refused)
    body = {"external_id": "{user_id}", "note": "{{literal}} {user_id}"}
    request = {"method": "POST", "path": "/api/v1/erasures", "json": body, "raw": True}

    assert Outcome.ACCEPTED is (await desk.perform("erase", request=request)).outcome


@pytest.mark.parametrize("email", ["%@x.example", "*@x.example", '"a\\"b"@x.example', "o'b@x.example", "a,b@x.example"])
async def test_a_raw_place_takes_plain_values_only(desk: Desk, email: str) -> None:
    """Within a text a quote would begin another query, and a wildcard find others; as a whole value it may go."""
    desk.seed(holder("ana", email=email))
    learner = await desk.learner("ana")
    body = {"external_id": "{user_id}", "query": 'mutation {{ deleteUser(email: "{email}") }}'}
    request = {"method": "POST", "path": "/api/v1/erasures", "json": body, "raw": True}
    with pytest.raises(Refused, match="the email means more than itself"):
        await desk.connector(request=request).perform("erase", learner)
    assert desk.sent() == []

    whole = {**request, "json": {"external_id": "{user_id}", "email": "{email}"}}
    assert Outcome.ABSENT is (await desk.connector(request=whole).perform("erase", learner)).outcome


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"request": {"method": "POST", "path": "/{mail}"}}, "{mail} is no placeholder"),
        ({"request": {"method": "POST", "path": "/", "json": {"a": {"b": "{email.x}"}}}}, "a.b: what stands in braces"),
        ({"request": {"method": "POST", "path": "/", "json": {"{email}": 1}}}, "{email}: {email} is no placeholder"),
        ({"request": {"method": "POST", "path": "/", "form": {"q": "{"}}}, "q: has a brace of its own"),
        ({"request": {"method": "POST", "path": "/{email!r}"}}, "is no placeholder"),
        ({"request": {"method": "POST", "path": "/x?y={email}"}}, "goes to query"),
        ({"request": {"method": "POST", "path": "/", "json": {}, "form": {}}}, "has json and form"),
        ({"request": {"method": "ERASE", "path": "/"}}, "request.method"),
        ({"probe": {"path": "/{user_id}"}}, "{user_id} is no placeholder"),
        ({"probe": {"path": "/", "method": "DELETE"}}, "probe.method"),
        ({"ask": {"path": "/{receipt}"}}, "say with receipt where"),
        ({"ask": {"path": "/", "gone_on": [401]}}, "401 says nothing"),
        ({"absent_on": [500]}, "500 says nothing"),
        ({"erased_on": [404]}, "others go to absent_on"),
        ({"erased_on": [200], "absent_on": [200]}, "absent_has has to tell"),
        ({"erased_on": [202], "accepted_on": [202]}, "let each mean one thing"),
        ({"accepted_on": [202], "absent_on": [202]}, "let each mean one thing"),
        ({"jwt": True}, "one way to sign in"),
        ({"bearer": None}, "one way to sign in"),
        ({"username": "u"}, "needs its password"),
        ({"bearer": "a\nb"}, "one line of ASCII"),
        ({"tokn": "x"}, "tokn"),
        ({"request": {"method": "GET", "path": "/{user_id}"}}, "GET only reads and erases nothing"),
        ({"request": {"method": "DELETE", "path": "/users"}}, "DELETE without an identity in path or query"),
        ({"request": {"method": "PUT", "path": "/users", "json": {"id": "{user_id}"}}}, "PUT without an identity"),
        ({"request": {"method": "DELETE", "path": "/p", "query": {"n": "{name}"}}}, "DELETE without an identity"),
        ({"request": {"method": "POST", "path": "/p", "json": {"n": "{name}"}}}, "would touch others"),
        ({"request": {"method": "POST", "path": "/erase_all"}}, "would touch others"),
        ({"request": {"method": "DELETE", "path": "/u/{email}*"}}, "has * or % beside a placeholder"),
        ({"request": {"method": "DELETE", "path": "/u", "query": {"q": "{email}*"}}}, "q: has more than {email}"),
        (
            {"request": {"method": "DELETE", "path": "/u", "raw": True, "query": {"q": "{email}*"}}},
            "q: has * or % beside a placeholder",
        ),
        (
            {"request": {"method": "POST", "path": "/u", "json": {"q": {"s": "email:{email}"}}}},
            "q.s: has more than {email}; let the placeholder be the whole value, or say raw: true",
        ),
        (
            {"request": {"method": "POST", "path": "/{user_id}", "raw": True, "json": {"q": "name:{name}"}}},
            "q: has {name} within a text",
        ),
        ({"request": {"method": "GET", "path": "/", "jsn": {}}}, "request.jsn"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, Any], words: str) -> None:
    """At load, in words that name the key."""
    assert words in refusal(**changes)


def test_secrets_are_masked() -> None:
    """Also where settings are shown."""
    assert "token-of-the-crm" not in repr(GenericHttpSettings(**LEAST)) + refusal(tokn=1)


@pytest.mark.parametrize(
    "sign_in",
    [{"bearer": "t"}, {"username": "u", "password": "p"}, {"header": "X-Key", "header_value": "v"}, {"jwt": True}],
)
async def test_every_way_to_sign_in_reaches_the_wire(desk: Desk, sign_in: dict[str, Any]) -> None:
    """The simulated service knows none of these, which is what its answer says."""
    learner = await desk.learner(USERNAME)
    none = {"header": None, "header_value": None}
    with pytest.raises(Misconfigured) as caught:
        await desk.connector(**none | sign_in).perform("erase", learner)

    assert caught.value.status == 401
