"""Segment: regulations of both APIs, the identities they name, and what their status proves."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.connectors.segment import Segment, SegmentSettings
from retirement.errors import Misconfigured, NotFound, Refused, RetirementError
from retirement.sandbox.vendors.segment import CONFIG_TOKEN, WORKSPACE
from tests.unit.doubles import EMAIL, USERNAME, Forward, holder, names_nobody
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "segment"
OPERATION = "delete_and_suppress_learner"
CONFIG = {"workspace_slug": WORKSPACE, "token": CONFIG_TOKEN}
TRACKING = "/retirement/tracking_id/"


def bodies(desk: Desk) -> list[dict[str, Any]]:
    """The bodies that reach Segment from now on."""
    seen: list[dict[str, Any]] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method == "POST" and "regulations" in request.url.path:
            seen.append(json.loads(request.content))
        return await forward(request)

    desk.world.around = around
    return seen


def shop(desk: Desk, **fault: Any) -> None:
    """A fault of ecommerce, where tracking ids are looked up."""
    text = (
        {"body": json.dumps(fault["body"]), "headers": {"content-type": "application/json"}} if "body" in fault else {}
    )
    desk.world.sandbox.arm([{"times": 99, "service": "ecommerce", "path": TRACKING, **fault, **text}])


async def test_a_learner_is_gone_some_days_after_the_request(desk: Desk) -> None:
    """Accepted, not erased: the regulation ends later, and only then the data is gone."""
    connector = desk.connector()
    erasure = await connector.perform(OPERATION, await desk.learner())
    receipt = erasure.receipt or ""

    assert (Outcome.ACCEPTED, True) == (erasure.outcome, names_nobody(receipt))
    assert Verdict.WORKING is await connector.ask(OPERATION, receipt, None)
    desk.pass_by(days=2)
    assert Verdict.WORKING is await connector.ask(OPERATION, receipt, None)
    assert desk.left() != []
    desk.pass_by(days=2)
    assert Verdict.GONE is await connector.ask(OPERATION, receipt, None)
    assert desk.left() == []


async def test_the_config_api_does_the_same(desk: Desk) -> None:
    """A slug alone chooses it, as the reference's configuration has no word for the other."""
    connector = desk.connector(**CONFIG)
    seen = bodies(desk)
    receipt = (await connector.perform(OPERATION, await desk.learner())).receipt or ""
    desk.pass_by(days=1)
    working = await connector.ask(OPERATION, receipt, None)
    desk.pass_by(days=2)

    assert seen[0]["regulation_type"] == "Suppress_With_Delete"
    assert (Verdict.WORKING, Verdict.GONE) == (working, await connector.ask(OPERATION, receipt, None))
    assert desk.left() == []
    assert {path.rpartition("/regulations")[0] for _, path in desk.sent()} == {f"/v1beta/workspaces/{WORKSPACE}"}


async def test_identities_are_the_id_the_username_and_the_tracking_id(desk: Desk) -> None:
    """As texts, each once."""
    desk.seed(holder(vendors=[VENDOR], ecommerce=True))
    seen = bodies(desk)
    await desk.perform(OPERATION)
    desk.pass_by(days=4)

    assert [str(desk.world.user_ids[USERNAME]), USERNAME, "ecommerce-1"] == seen[0]["subjectIds"]
    assert desk.left() == []


@pytest.mark.parametrize("username", ["Ñandú", "a b", "ana@mail.example", "ana..+_-", "x" * 150])
async def test_odd_usernames_arrive_as_they_are(desk: Desk, username: str) -> None:
    """In the path of ecommerce and in the body of Segment."""
    desk.seed(holder(username, vendors=[VENDOR], ecommerce=True))
    connector, learner = desk.connector(), await desk.learner(username)
    seen = bodies(desk)
    await connector.perform(OPERATION, learner)
    desk.pass_by(days=4)

    assert [str(learner.user_id), username, "ecommerce-1"] == seen[0]["subjectIds"]
    assert desk.left(username) == []


async def test_without_ecommerce_the_tracking_id_stays(desk: Desk) -> None:
    """Why `ecommerce_url` is worth giving; nobody is asked for it then."""
    desk.seed(holder(vendors=[VENDOR], ecommerce=True))
    await desk.perform(OPERATION, ecommerce_url=None)
    desk.pass_by(days=4)

    assert {place["table"] for place in desk.left()} == {"segment_event"}
    assert not [each for each in desk.world.sandbox.requests if each["service"] == "ecommerce"]


async def test_whom_ecommerce_does_not_know_has_no_tracking_id(desk: Desk) -> None:
    """Never the text None, which would be suppressed for good."""
    seen = bodies(desk)
    await desk.perform(OPERATION)

    assert [str(desk.world.user_ids[USERNAME]), USERNAME] == seen[0]["subjectIds"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": 200, "body": {"id": 1, "ecommerce_tracking_id": None, "lms_user_id": None}}, Refused),
        ({"status": 200, "body": {"ecommerce_tracking_id": "None"}}, Refused),
        ({"status": 200, "body": {"ecommerce_tracking_id": "ecommerce-9", "lms_user_id": 9}}, Refused),
        ({"status": 200, "body": [EMAIL]}, Refused),
        ({"status": 404, "body": {"detail": "Not found."}}, Misconfigured),
        ({"status": 404}, Misconfigured),
        ({"status": 403, "body": {"detail": EMAIL}}, Misconfigured),
    ],
)
async def test_a_look_up_that_proves_nothing_stops_before_segment(
    desk: Desk, answer: dict[str, Any], kind: type[RetirementError]
) -> None:
    """Ecommerce's own 404 alone means that there is no tracking id."""
    shop(desk, **answer)
    connector, learner = desk.connector(), await desk.learner()
    with pytest.raises(kind) as caught:
        await connector.perform(OPERATION, learner)

    assert names_nobody(str(caught.value))
    assert desk.sent() == []


async def test_learners_of_a_run_share_a_regulation(desk: Desk) -> None:
    """One of it is meant for many; whom ecommerce cannot look up does not stop the others."""
    desk.seed(*(holder(f"ana-{number}", vendors=[VENDOR], ecommerce=True) for number in range(4)))
    shop(desk, path=f"{TRACKING}ana-2/", status=200, body={"id": 1})
    connector = desk.connector(batch_size=3, batch_seconds=60)
    learners = [await desk.learner(f"ana-{number}") for number in range(4)]
    seen = bodies(desk)
    calls = (connector.perform(OPERATION, learner) for learner in learners)
    done = await asyncio.gather(*calls, return_exceptions=True)
    desk.pass_by(days=4)

    assert [Erasure, Erasure, Refused, Erasure] == [type(each) for each in done]
    assert len({each.receipt for each in done if isinstance(each, Erasure)}) == 1
    assert (1, 9) == (len(seen), len(seen[0]["subjectIds"]))
    assert [desk.left(f"ana-{number}") == [] for number in range(4)] == [True, True, False, True]


async def test_a_second_call_is_another_regulation(desk: Desk) -> None:
    """Segment does not mind, and its answer to an id that it never knew is the same."""
    desk.seed(holder())
    first, second = await desk.perform(OPERATION), await desk.perform(OPERATION)

    assert (Outcome.ACCEPTED, Outcome.ACCEPTED) == (first.outcome, second.outcome)
    assert first.receipt != second.receipt


async def test_a_lost_reply_is_asked_for_again(desk: Desk) -> None:
    """The connection breaks after the regulation was made."""
    desk.arm({"path": "/regulations", "after": True, "drop": True, "times": 1})

    assert Outcome.ACCEPTED is (await desk.perform(OPERATION)).outcome
    assert desk.sent() == [("POST", "/regulations")] * 2


async def test_suppression_survives_and_says_so(desk: Desk) -> None:
    """For good, by the contract: it is no residue."""
    await desk.perform(OPERATION)
    desk.pass_by(days=4)
    survives = desk.world.sandbox.state()["learners"][USERNAME]["survives"]

    assert {"service": "segment", "table": "segment_suppression", "column": "user_id", "what": "username"} in survives


@pytest.mark.parametrize(
    "settings", [{"token": "wrong"}, {**CONFIG, "token": "wrong"}, {**CONFIG, "workspace_slug": "x"}]
)
async def test_wrong_credentials_are_nobodys_fault(desk: Desk, settings: dict[str, str]) -> None:
    """A token of the other region or API gives 401, an unknown workspace 404: the run stops."""
    assert isinstance(await desk.error(OPERATION, **settings), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(**settings).probe(OPERATION)


@pytest.mark.parametrize(
    "body",
    [
        {"data": {}},
        {"data": {"regulateId": None}},
        {"data": {"regulateId": EMAIL}},
        {"data": {"regulateId": "r1"}, "errors": [{"type": "x", "message": EMAIL}]},
        {"errors": [{"type": "x", "message": EMAIL}]},
        [],
        None,
    ],
)
async def test_a_success_without_an_id_is_refused(desk: Desk, body: Any) -> None:
    """200 proves nothing by itself."""
    assert isinstance(await desk.error(OPERATION, {"path": "/regulations", "status": 200, "body": body}), Refused)


@pytest.mark.parametrize(("status", "kind"), [(422, Refused), (404, Misconfigured), (403, Misconfigured)])
async def test_refusals_are_read_by_the_contract(desk: Desk, status: int, kind: type[RetirementError]) -> None:
    """A validation error concerns this learner; a missing route does not."""
    fault = {"path": "/regulations", "status": status, "body": {"errors": [{"message": EMAIL}]}}

    assert isinstance(await desk.error(OPERATION, fault), kind)


@pytest.mark.parametrize("username", ["None", "null", "UNDEFINED"])
async def test_a_username_that_broken_senders_use_needs_a_person(desk: Desk, username: str) -> None:
    """It would suppress what was sent of many people."""
    desk.seed(holder(username, vendors=[VENDOR]))
    connector, learner = desk.connector(), await desk.learner(username)
    with pytest.raises(Refused):
        await connector.perform(OPERATION, learner)

    assert desk.sent() == []


def regulated(overall: Any, *destinations: str, **more: Any) -> dict[str, Any]:
    """A regulation's status, with one stream."""
    listed = [{"name": "d", "id": "1", "status": each, "errString": "", "finishedAt": ""} for each in destinations]
    shown = {"id": "r1", "overallStatus": overall, "streamStatus": [{"id": "s", "destinationStatus": listed}], **more}
    return {"data": {"regulation": shown}}


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (regulated("FINISHED"), Verdict.GONE),
        (regulated("INITIALIZED"), Verdict.WORKING),
        (regulated("RUNNING", "FAILED"), Verdict.WORKING),
        (regulated("INVALID", "FINISHED"), Verdict.FAILED),
        (regulated("FAILED", "FINISHED", "NOT_SUPPORTED"), Verdict.GONE),
        (regulated("PARTIAL_SUCCESS", "NOT_SUPPORTED", "FINISHED"), Verdict.GONE),
        (regulated("NOT_SUPPORTED", "NOT_SUPPORTED", finishedAt="2026-01-01T00:00:00Z"), Verdict.GONE),
        (regulated("NOT_SUPPORTED", "NOT_SUPPORTED"), Verdict.FAILED),
        (regulated("PARTIAL_SUCCESS", "FINISHED", "RUNNING"), Verdict.WORKING),
        (regulated("PARTIAL_SUCCESS", "FINISHED", "FAILED"), Verdict.FAILED),
        (regulated("FAILED"), Verdict.FAILED),
        ({"regulation": {"overall_status": "FINISHED"}}, Verdict.GONE),
    ],
)
async def test_destinations_decide_when_the_whole_has_failed(desk: Desk, body: Any, verdict: Verdict) -> None:
    """One that cannot delete is no failure of Segment; one that could and did not needs a person."""
    desk.arm({"path": "/regulations/r1", "status": 200, "body": body})

    assert verdict is await desk.connector().ask(OPERATION, "r1", None)


@pytest.mark.parametrize("body", [{}, [], {"data": EMAIL}, regulated("GREAT"), regulated([]), regulated("FAILED", "?")])
async def test_a_status_that_nobody_knows_proves_nothing(desk: Desk, body: Any) -> None:
    """Neither gone nor failed."""
    desk.arm({"path": "/regulations/r1", "status": 200, "body": body})
    with pytest.raises(Refused) as caught:
        await desk.connector().ask(OPERATION, "r1", None)

    assert names_nobody(str(caught.value))


@pytest.mark.parametrize("settings", [{}, CONFIG])
async def test_after_ninety_days_a_person_has_to_look(desk: Desk, settings: dict[str, str]) -> None:
    """Nobody can tell any more; a 404 that is not Segment's own tells less."""
    connector = desk.connector(**settings)
    receipt = (await connector.perform(OPERATION, await desk.learner())).receipt or ""
    desk.pass_by(days=91)

    assert Verdict.FAILED is await connector.ask(OPERATION, receipt, None)
    desk.arm({"path": "regulations", "status": 404, "body": {"message": "no route"}})
    with pytest.raises(NotFound):
        await connector.ask(OPERATION, receipt, None)


@pytest.mark.parametrize("settings", [{}, CONFIG, {"ecommerce_url": None}])
async def test_a_probe_reads_only(desk: Desk, settings: dict[str, Any]) -> None:
    """Segment with its token, and ecommerce where it is used."""
    await desk.connector(**settings).probe(OPERATION)

    assert {method for method, _ in desk.sent()} == {"GET"}


async def test_a_probe_finds_an_address_that_is_not_ecommerce(desk: Desk) -> None:
    """Before the first learner."""
    with pytest.raises(Misconfigured):
        await desk.connector(ecommerce_url="http://notes.sandbox").probe(OPERATION)


def test_the_look_up_is_declared_where_there_is_one() -> None:
    """The pipeline has to end it before ecommerce renames the learner."""
    with_it = SegmentSettings(token="t", ecommerce_url="https://ecommerce.example")

    assert Segment.declared(with_it)[OPERATION].looks_up_in == "ECOMMERCE"
    assert Segment.declared(SegmentSettings(token="t"))[OPERATION].looks_up_in is None
    assert Segment.declared(None)[OPERATION].looks_up_in is None


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "https://api.segmentapis.com"),
        ({"region": "eu"}, "https://eu1.api.segmentapis.com"),
        ({"workspace_slug": "w"}, "https://platform.segmentapis.com"),
        ({"workspace_slug": "w", "api": "public"}, "https://api.segmentapis.com"),
        ({"url": "https://segment.example"}, "https://segment.example"),
    ],
)
def test_api_and_region_say_the_host(settings: dict[str, str], host: str) -> None:
    """The Config API has one host; `url` is for others."""
    assert host == SegmentSettings(**{"token": "t", **settings}).base_url


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"api": "config"}, "needs workspace_slug"),
        ({"workspace_slug": "w", "region": "eu"}, "use api: public"),
        ({"ecommerce_url": "http://ecommerce.example"}, "https://"),
        ({"ecommerce_url": "ecommerce.example"}, "https://"),
        ({"slug": "w"}, "Extra inputs"),
    ],
)
def test_bad_settings_say_the_fix(settings: dict[str, str], fix: str) -> None:
    """And an unknown one is refused; a token never travels in clear to another machine."""
    with pytest.raises(ValidationError, match=re.escape(fix)):
        SegmentSettings(**{"token": "t", **settings})


def test_the_token_is_masked() -> None:
    """In every representation."""
    assert "s3cret" not in repr(SegmentSettings(token="s3cret"))


@pytest.mark.parametrize("username", ["4711", "ecommerce-12", "ECOMMERCE-12"])
async def test_a_username_that_could_be_another_learners_id_is_refused(desk: Desk, username: str) -> None:
    """User ids, usernames and tracking ids are one namespace there, and suppression is for good."""
    desk.seed(holder(username, vendors=["segment"]))
    learner = await desk.learner(username)
    with pytest.raises(Refused, match="numeric_usernames"):
        await desk.connector().perform("delete_and_suppress_learner", learner)
    assert desk.sent() == []

    permitted = await desk.connector(numeric_usernames=True).perform("delete_and_suppress_learner", learner)
    assert Outcome.ACCEPTED is permitted.outcome
