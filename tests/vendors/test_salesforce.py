"""Salesforce: Tasks for people or deletion, quoting in SOQL, pages, the recycle bin, and two ways to sign in."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.connectors import Connector, Erasure, Outcome, Verdict
from retirement.connectors.salesforce import RECORD, TASKS
from retirement.connectors.salesforce.soql import QUERY, meant
from retirement.errors import Misconfigured, NotFound, Refused, RetirementError, Transient
from retirement.sandbox.vendors import salesforce_sign_in
from retirement.sandbox.vendors.salesforce import ASSIGNEE
from tests.unit.doubles import EMAIL, NAME, USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "salesforce"
VALUES = {"version": "66.0"}
TASK = {"mode": "task", "assignee": ASSIGNEE}
ADDRESSES = [
    "o'brien@example.com",
    "ana+x/y?z#%@example.com",
    "ana\\'_%@example.com",
    '"a b"\\"@example.com',
    "ünï©ode\u00a0@exämple.com",
    "tab\tline\n\x01@example.com",
    f"{'a' * 242}@example.com",
]


def refusal(status: int, code: str) -> dict[str, Any]:
    """An error as Salesforce has it."""
    return {"status": status, "body": [{"message": f"about {EMAIL}", "errorCode": code}]}


def found(*records: str, email: str = EMAIL, **page: Any) -> dict[str, Any]:
    """A page of an answer to a query."""
    rows = [{"attributes": {}, "Id": each, "IsDeleted": False, "Email": email} for each in records]
    return {"status": 200, "body": {"totalSize": len(rows), "done": True, "records": rows} | page}


def wrote(desk: Desk) -> list[str]:
    """Methods of the requests that changed something."""
    return [method for method, path in desk.sent() if method != "GET" and "oauth2" not in path]


async def tasks(connector: Connector) -> list[dict[str, Any]]:
    """Every open Task, as a person in the org sees it, page by page."""
    rows: list[dict[str, Any]] = []
    query = "SELECT Id, Subject, Description, WhoId FROM Task WHERE IsClosed = false"
    reply = await connector.api.get("/services/data/v66.0/query", params=[("q", query)])
    while reply.data["records"]:
        rows += reply.data["records"]
        if reply.data["done"]:
            break
        reply = await connector.api.get(reply.data["nextRecordsUrl"])
    return rows


async def test_leads_and_contacts_are_deleted_and_purged_later(desk: Desk) -> None:
    """All pages of both; they can be restored for 15 days, and so long they are not gone."""
    connector = desk.connector()
    erasure = await connector.perform("retire_learner", await desk.learner())
    receipt = erasure.receipt or ""

    assert Outcome.ERASED is erasure.outcome
    assert [each.partition("/")[0] for each in receipt.split()] == ["Lead", "Lead", "Contact"]
    assert wrote(desk) == ["DELETE"] * 3
    assert Verdict.WORKING is await connector.ask("retire_learner", receipt, None)
    desk.pass_by(days=14)
    assert Verdict.WORKING is await connector.ask("retire_learner", receipt, None)
    desk.pass_by(days=2)
    assert Verdict.GONE is await connector.ask("retire_learner", receipt, None)
    assert desk.left() == []


async def test_a_second_deletion_finds_the_recycle_bin(desk: Desk) -> None:
    """The receipt of a run that died is not lost; when it is purged nothing is there."""
    first = await desk.perform("retire_learner")

    assert first == await desk.perform("retire_learner")
    assert wrote(desk) == ["DELETE"] * 3
    desk.pass_by(days=16)
    assert Erasure(Outcome.ABSENT) == await desk.perform("retire_learner")


@pytest.mark.parametrize("mode", [{}, TASK])
async def test_nobody_of_that_address_is_absent(desk: Desk, mode: dict[str, Any]) -> None:
    """In either mode, and nothing is written."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform("retire_learner", **mode)
    assert wrote(desk) == []


@pytest.mark.parametrize("email", ADDRESSES)
async def test_an_address_finds_its_own_records_and_no_others(desk: Desk, email: str) -> None:
    """Quotes, backslashes and control characters cannot end the literal; case does not count."""
    others = [holder("eve", vendors=[VENDOR]), holder("bob", vendors=[VENDOR], email="brien@example.com")]
    desk.seed(holder(vendors=[VENDOR], email=email), *others)
    before = [desk.left(each["username"]) for each in others]
    await desk.perform("retire_learner")
    desk.pass_by(days=16)

    assert desk.left() == []
    assert before == [desk.left(each["username"]) for each in others]


async def test_two_accounts_with_one_address_share_the_records(desk: Desk) -> None:
    """In the org they are one person: the second retirement finds the same records in the bin."""
    desk.seed(holder(vendors=[VENDOR]), holder("other", email=EMAIL.upper(), state=None, vendors=[VENDOR]))
    erasure = await desk.perform("retire_learner", delete_at_most=4)
    desk.pass_by(days=16)

    assert len((erasure.receipt or "").split()) == 6
    assert desk.left() == desk.left("other") == []


async def test_more_records_of_a_kind_than_one_person_has_go_to_a_person(desk: Desk) -> None:
    """Unless the site says otherwise: an address may be a family's; the receipt is open until all are gone."""
    erasure = await desk.perform("retire_learner", delete_at_most=1)
    receipt = erasure.receipt or ""

    assert (erasure.outcome, len(receipt.split()), wrote(desk)) == (Outcome.MANUAL, 3, [])
    connector = desk.connector(delete_at_most=1)
    assert Verdict.PRESENT is await connector.ask("retire_learner", receipt, await desk.learner())
    again = await connector.repeat("retire_learner", receipt, await desk.learner())
    assert (again.outcome, wrote(desk)) == (Outcome.MANUAL, [])


async def test_a_learner_without_an_address_is_refused(desk: Desk) -> None:
    """To SOQL an empty text is every record that has no address, and all of them would be deleted."""
    desk.seed(holder(vendors=[VENDOR], email=""))

    assert isinstance(await desk.error("retire_learner"), Refused)
    assert desk.sent() == []


async def test_somebody_new_of_the_address_is_not_asked_about(desk: Desk) -> None:
    """A receipt is about the records that there were."""
    receipt = (await desk.perform("retire_learner")).receipt or ""
    desk.seed(holder("newcomer", email="new@example.com"), holder(email=EMAIL, vendors=[VENDOR]))

    assert Verdict.GONE is await desk.connector().ask("retire_learner", receipt, await desk.learner())


async def test_tasks_name_records_and_no_person(desk: Desk) -> None:
    """One for each record, for the assignee; a person has to delete."""
    connector = desk.connector(**TASK)
    erasure = await connector.perform("retire_learner", await desk.learner())
    made = await tasks(connector)

    assert Outcome.MANUAL is erasure.outcome
    assert {each["WhoId"] for each in made} == {each.partition("/")[2] for each in (erasure.receipt or "").split()}
    assert not [place for place in desk.left() if place["table"] == "salesforce_task"]
    assert all(text not in str(made) for text in (EMAIL, NAME, USERNAME))
    assert all(each["WhoId"] in each["Subject"] and each["WhoId"] in each["Description"] for each in made)


async def test_a_second_call_makes_no_second_task(desk: Desk) -> None:
    """It looks first, also when only some were made; one that was closed in vain is made anew."""
    connector, learner = desk.connector(**TASK), await desk.learner()
    first = await connector.perform("retire_learner", learner)
    made = await tasks(connector)

    assert first == await connector.perform("retire_learner", learner)
    assert made == await tasks(connector)
    await connector.api.patch(f"{TASKS}/{made[0]['Id']}", values=VALUES, json={"Status": "Completed"})
    await connector.perform("retire_learner", learner)
    assert {each["Subject"] for each in made} == {each["Subject"] for each in await tasks(connector)}
    assert wrote(desk) == ["POST", "POST", "POST", "PATCH", "POST"]


async def test_a_task_whose_answer_was_lost_is_found(desk: Desk) -> None:
    """The call is not repeated blindly; the next one looks."""
    learner, connector = await desk.learner(), desk.connector(**TASK)
    desk.arm({"path": "/sobjects/Task", "method": "POST", "after": True, "drop": True, "times": 1})
    with pytest.raises(Transient):
        await connector.perform("retire_learner", learner)

    assert Outcome.MANUAL is (await connector.perform("retire_learner", learner)).outcome
    assert len(await tasks(connector)) == 3


async def test_a_person_is_waited_for(desk: Desk) -> None:
    """There, then in the recycle bin, then gone; by record ids, without the learner."""
    connector = desk.connector(**TASK)
    receipt = (await connector.perform("retire_learner", await desk.learner())).receipt or ""

    assert Verdict.PRESENT is await connector.ask("retire_learner", receipt, None)
    for each in receipt.split():
        kind, _, record = each.partition("/")
        await connector.api.delete(RECORD, values=VALUES | {"kind": kind, "record": record})
    assert Verdict.WORKING is await connector.ask("retire_learner", receipt, None)
    assert Outcome.ERASED is (await connector.perform("retire_learner", await desk.learner())).outcome
    desk.pass_by(days=16)
    assert Verdict.GONE is await connector.ask("retire_learner", receipt, None)


async def test_an_unknown_assignee_is_nobodys_fault(desk: Desk) -> None:
    """It stops the run before anybody is looked for, and is looked up once."""
    error = await desk.error("retire_learner", mode="task", assignee="nobody@org.example")

    assert isinstance(error, Misconfigured)
    assert len(desk.sent()) == 2
    connector, learner = desk.connector(**TASK), await desk.learner()
    await connector.perform("retire_learner", learner)
    before = len(desk.sent())
    await connector.perform("retire_learner", learner)
    assert len(desk.sent()) - before == 6  # two pages of Leads, one of Contacts, three of Tasks


async def test_a_key_signs_in_as_its_user(desk: Desk) -> None:
    """JWT bearer: the sandbox checks the signature and every claim."""
    section = {**salesforce_sign_in.settings("http://salesforce.sandbox"), "client_secret": None}

    assert Outcome.ERASED is (await desk.perform("retire_learner", **section)).outcome
    wrong = section | {"username": "somebody@org.example"}
    assert isinstance(await desk.error("retire_learner", **wrong), Misconfigured)
    wrong = section | {"audience": "https://elsewhere.example"}
    assert isinstance(await desk.error("retire_learner", **wrong), Misconfigured)


@pytest.mark.parametrize("wrong", [{"client_secret": "wrong"}, {"client_id": "wrong"}])
async def test_wrong_credentials_are_nobodys_fault(desk: Desk, wrong: dict[str, str]) -> None:
    """The token endpoint answers 400."""
    assert isinstance(await desk.error("retire_learner", **wrong), Misconfigured)


async def test_a_session_that_ends_is_renewed(desk: Desk) -> None:
    """The answer names no lifetime, so the org is believed when it says 401."""
    connector, learner = desk.connector(), await desk.learner()
    await connector.perform("retire_learner", learner)
    desk.pass_by(hours=3)

    assert Outcome.ERASED is (await connector.perform("retire_learner", learner)).outcome
    assert [path for _, path in desk.sent()].count("/services/oauth2/token") == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal(403, "REQUEST_LIMIT_EXCEEDED"), Transient),
        (refusal(403, "INSUFFICIENT_ACCESS"), Misconfigured),
        (refusal(401, "INVALID_SESSION_ID"), Misconfigured),
        (refusal(400, "MALFORMED_QUERY"), Refused),
        (refusal(400, "INVALID_FIELD"), Misconfigured),
        (refusal(400, "INVALID_TYPE"), Misconfigured),
        (refusal(404, "NOT_FOUND"), Misconfigured),
        (refusal(503, "SERVER_UNAVAILABLE"), Transient),
        (refusal(200, "INVALID_FIELD"), Refused),
        (found("00Q000000000001AAA", totalSize=2), Refused),
        (found(f"about {EMAIL}"), Refused),
        (found("00Q000000000001AAA", done=False), Refused),
        (found("00Q000000000001AAA", done=False, nextRecordsUrl="https://evil.example/01g-1"), Refused),
        (found(done=False, nextRecordsUrl="/services/data/v66.0/query/01g-1"), Refused),
        (found(*(f"00Q{number:012d}AAA" for number in range(51))), Refused),
        (found("00Q000000000001AAA", email="another@example.com"), Refused),
        ({"status": 200, "body": {"records": []}}, Refused),
    ],
)
@pytest.mark.parametrize("mode", [{}, TASK])
async def test_a_query_is_answered_in_full_or_not_at_all(
    desk: Desk, fault: dict[str, Any], kind: type[RetirementError], mode: dict[str, Any]
) -> None:
    """Whatever it answers instead, nothing is deleted and nobody is absent."""
    assert type(await desk.error("retire_learner", {"path": "/queryAll", **fault}, **mode)) is kind
    assert wrote(desk) == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal(400, "DELETE_FAILED"), Refused),
        (refusal(400, "UNABLE_TO_LOCK_ROW"), Transient),
        (refusal(403, "REQUEST_LIMIT_EXCEEDED"), Transient),
        (refusal(403, "INSUFFICIENT_ACCESS"), Misconfigured),
        (refusal(404, "SOMETHING_ELSE"), NotFound),
        (refusal(200, "DELETE_FAILED"), Refused),
        ({"status": 404, "body": "<h1>Not Found</h1>"}, Misconfigured),
    ],
)
async def test_only_an_empty_answer_deletes(desk: Desk, fault: dict[str, Any], kind: type[RetirementError]) -> None:
    """Somebody with a portal user or cases has to be looked at by a person."""
    assert type(await desk.error("retire_learner", {"method": "DELETE", **fault})) is kind


@pytest.mark.parametrize("code", ["ENTITY_IS_DELETED", "NOT_FOUND"])
async def test_what_somebody_else_deletes_meanwhile_is_done(desk: Desk, code: str) -> None:
    """404 to a deletion is its success; later the question for the records shows what it was."""
    desk.arm({"method": "DELETE", **refusal(404, code)})
    connector = desk.connector()
    erasure = await connector.perform("retire_learner", await desk.learner())

    assert Outcome.ERASED is erasure.outcome
    assert Verdict.PRESENT is await connector.ask("retire_learner", erasure.receipt or "", None)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal(400, "REQUIRED_FIELD_MISSING"), Misconfigured),
        (refusal(404, "NOT_FOUND"), Misconfigured),
        ({"status": 201, "body": {"id": "00T000000000001AAA", "success": False, "errors": []}}, Refused),
        ({"status": 201, "body": {"success": True}}, Refused),
    ],
)
async def test_a_task_counts_when_it_was_made(desk: Desk, fault: dict[str, Any], kind: type[RetirementError]) -> None:
    """`success` and an id, or nobody will ever delete."""
    assert type(await desk.error("retire_learner", {"method": "POST", "path": "/Task", **fault}, **TASK)) is kind


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (r"SELECT Id FROM Lead WHERE Email = 'a\qb'", Refused),
        ("SELECT Id FROM Lead WHERE Email = 'o'brien'", Refused),
        ("SELECT Id FROM Lead WHERE Id = 'a' AND Id = 'b' OR Id = 'c'", Refused),
        ("SELECT Id FROM Lead WHERE Email", Refused),
        ("SELECT Nothing FROM Lead", Misconfigured),
        ("SELECT Id FROM Task WHERE Description = 'a'", Misconfigured),
        ("SELECT Id FROM Nothing", Misconfigured),
    ],
)
async def test_the_sandbox_takes_no_query_that_the_service_refuses(
    desk: Desk, query: str, kind: type[RetirementError]
) -> None:
    """Else a wrong escape would pass here and fail there."""
    connector = desk.connector()
    with pytest.raises(RetirementError) as caught:
        await connector.api.get(QUERY, values=VALUES, params=[("q", query)], judge=meant)
    assert type(caught.value) is kind


@pytest.mark.parametrize("receipt", ["", "Lead", "User/005000000000001AAA", "Lead/x' OR Id != '"])
async def test_a_receipt_of_another_kind_is_refused(desk: Desk, receipt: str) -> None:
    """Nothing of it gets into a query."""
    with pytest.raises(Refused):
        await desk.connector().ask("retire_learner", receipt, None)


async def test_the_probe_reads_what_an_erasure_needs(desk: Desk) -> None:
    """Both kinds, and with Tasks their owner; it changes nothing, and an old version of the API shows."""
    for mode in ({}, TASK):
        await desk.connector(**mode).probe("retire_learner")
    with pytest.raises(Misconfigured):
        await desk.connector(mode="task", assignee="nobody@org.example").probe("retire_learner")
    for version in ("21.0", "99.0"):
        with pytest.raises(Misconfigured):
            await desk.connector(api_version=version).probe("retire_learner")
    assert wrote(desk) == []


async def test_the_plan_shows_what_the_mode_does(desk: Desk) -> None:
    """A Task or a deletion."""
    assert TASKS == getattr(desk.connector(**TASK).route("retire_learner"), "path", "")
    assert RECORD == getattr(desk.connector().route("retire_learner"), "path", "")


async def test_what_is_done_once_more_names_the_records_of_the_receipt(desk: Desk) -> None:
    """A record that has the address since is another one, and stays."""
    connector, learner = desk.connector(), await desk.learner()
    first = ((await connector.perform("retire_learner", learner)).receipt or "").partition(" ")[0]

    assert Erasure(Outcome.ERASED, first) == await connector.repeat("retire_learner", first, learner)
    assert [each for each in desk.sent() if each[0] == "DELETE" and each[1].endswith(first.partition("/")[2])]
