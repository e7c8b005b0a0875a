"""Amplitude: jobs of a day, unknown ids, whose Amplitude ids are whose, and what a job's status proves."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.connectors.amplitude import AmplitudeSettings
from retirement.connectors.kit.connector import LONGEST_RECEIPT
from retirement.errors import Misconfigured, Refused, RetirementError
from retirement.sandbox.vendors.amplitude import API_KEY, SECRET_KEY
from tests.unit.doubles import EMAIL, USERNAME, Forward, holder, names_nobody
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "amplitude"
OPERATION = "delete_user"
PATH = "/api/2/deletions/users"
KEYS = {"api_key": "k", "secret_key": "s"}


def own_ids(desk: Desk, username: str = USERNAME) -> list[int]:
    """The Amplitude ids of a learner's two devices, as the sandbox numbers them."""
    return [356_800_000_000 + desk.world.user_ids[username] * 10 + device for device in (1, 2)]


def wanted(erasure: Erasure) -> dict[str, list[int]]:
    """The receipt, read."""
    read: dict[str, list[int]] = json.loads(erasure.receipt or "{}")
    return read


def job(day: str, *ids: int, status: str = "staging") -> dict[str, Any]:
    """One job of an answer, which does not say whose ids these are."""
    entries = [{"amplitude_id": each, "requested_on_day": day, "requester": "r"} for each in ids]
    return {"day": day, "status": status, "amplitude_ids": entries}


async def test_a_learner_is_gone_when_the_job_and_its_backups_are(desk: Desk) -> None:
    """Accepted: the job runs some days later, and is done five days after the data is gone."""
    connector = desk.connector()
    erasure = await connector.perform(OPERATION, await desk.learner())
    day = (datetime.now(UTC).date() + timedelta(days=12)).isoformat()

    assert erasure.outcome is Outcome.ACCEPTED
    assert {day: own_ids(desk)} == wanted(erasure)
    assert Verdict.WORKING is await connector.ask(OPERATION, erasure.receipt or "", None)
    desk.pass_by(days=13, minutes=5)
    assert Verdict.WORKING is await connector.ask(OPERATION, erasure.receipt or "", None)
    assert desk.left() == []
    desk.pass_by(days=5)
    assert Verdict.GONE is await connector.ask(OPERATION, erasure.receipt or "", None)


async def test_nobody_of_that_id_is_absent(desk: Desk) -> None:
    """An unknown id fails nothing; Amplitude lists it."""
    desk.seed(holder())

    assert Erasure(Outcome.ABSENT) == await desk.perform(OPERATION)


async def test_a_second_call_finds_the_same_job_and_later_nobody(desk: Desk) -> None:
    """Requests are merged into the job; when it has run, the id is unknown."""
    first, second = await desk.perform(OPERATION), await desk.perform(OPERATION)
    desk.pass_by(days=20)

    assert first == second
    assert Erasure(Outcome.ABSENT) == await desk.perform(OPERATION)


async def test_learners_of_a_run_share_a_call_and_have_their_own_receipts(desk: Desk) -> None:
    """The answer says whose Amplitude ids are whose, and who is unknown."""
    names = [f"ana-{number}" for number in range(4)]
    desk.seed(*(holder(name, vendors=[] if name == "ana-2" else [VENDOR]) for name in names))
    connector = desk.connector(batch_size=4, batch_seconds=60)
    learners = [await desk.learner(name) for name in names]
    done = await asyncio.gather(*(connector.perform(OPERATION, learner) for learner in learners))

    assert desk.sent() == [("POST", PATH)]
    assert Erasure(Outcome.ABSENT) == done[2]
    assert [own_ids(desk, names[n]) for n in (0, 1, 3)] == [next(iter(wanted(done[n]).values())) for n in (0, 1, 3)]


async def test_where_ids_are_not_mapped_each_learner_is_sent_alone(desk: Desk) -> None:
    """Else a receipt would name other people's ids, or miss some."""
    names = ["ana-0", "ana-1", "ana-2"]
    desk.seed(*(holder(name, vendors=[] if name == "ana-2" else [VENDOR]) for name in names))

    async def unmapped(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method != "POST" or request.url.path != PATH:
            return await forward(request)
        body = json.loads(request.content)
        body.pop("include_mapped_user_ids")
        content = json.dumps(body).encode()
        headers = [(name, value) for name, value in request.headers.items() if name != "content-length"]
        return await forward(httpx.Request("POST", request.url, headers=headers, content=content))

    desk.world.around = unmapped
    connector = desk.connector(batch_size=3, batch_seconds=60)
    learners = [await desk.learner(name) for name in names]
    done = await asyncio.gather(*(connector.perform(OPERATION, learner) for learner in learners))

    assert desk.sent() == [("POST", PATH)] * 3
    assert [own_ids(desk, name) for name in names[:2]] == [next(iter(wanted(each).values())) for each in done[:2]]
    assert Erasure(Outcome.ABSENT) == done[2]


async def test_the_whole_organisation_or_one_project(desk: Desk) -> None:
    """Without `org_wide` what other projects hold stays."""
    desk.seed(*(holder(name, vendors=[VENDOR], ecommerce=True) for name in ("ana-0", "ana-1")))
    for name, org_wide in (("ana-0", True), ("ana-1", False)):
        connector = desk.connector(org_wide=org_wide)
        await connector.perform(OPERATION, await desk.learner(name))
    desk.pass_by(days=20)

    assert [] == desk.left("ana-0")
    assert {"amplitude_user"} == {place["table"] for place in desk.left("ana-1")}


async def test_a_deletion_that_was_revoked_needs_a_person(desk: Desk) -> None:
    """No job names the ids any more; where other projects' jobs may be hidden, it is overdue in the end."""
    connector = desk.connector(org_wide=False)
    erasure = await connector.perform(OPERATION, await desk.learner())
    day = next(iter(wanted(erasure)))
    client = desk.world.clients[VENDOR]
    for each in own_ids(desk)[:1]:
        revoked = await client.delete(f"{PATH}/{each}/{day}", auth=httpx.BasicAuth(API_KEY, SECRET_KEY))
        assert revoked.status_code == 200, revoked.text
    desk.pass_by(days=20)

    assert Verdict.FAILED is await connector.ask(OPERATION, erasure.receipt or "", None)
    assert Verdict.WORKING is await desk.connector(org_wide=True).ask(OPERATION, erasure.receipt or "", None)


@pytest.mark.parametrize(
    ("jobs", "verdict"),
    [
        ([job("2026-03-01", 1, 2, status="Done")], Verdict.GONE),
        ([job("2026-03-04", 1, 2, 3, status="done")], Verdict.GONE),
        ([job("2026-03-01", 1, status="done"), job("2026-03-02", 2, status="submitted")], Verdict.WORKING),
        ([job("2026-03-01", 1, status="done")], Verdict.FAILED),
        ([job("2026-02-20", 1, 2, status="done")], Verdict.FAILED),
        ([job("2026-03-01", 1, 2), job("2026-02-20", 1, 2, status="done")], Verdict.WORKING),
        ([], Verdict.FAILED),
    ],
)
async def test_every_id_has_to_be_in_a_job_that_is_done(desk: Desk, jobs: Any, verdict: Verdict) -> None:
    """A job of an earlier day belongs to an earlier request; a put-off one is the same."""
    desk.arm({"path": PATH, "status": 200, "body": jobs})

    assert verdict is await desk.connector(org_wide=False).ask(OPERATION, '{"2026-03-01":[1,2]}', None)


async def test_the_range_covers_the_jobs_day(desk: Desk) -> None:
    """A month around it, which is allowed."""
    seen: list[tuple[date, date]] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path == PATH:
            first, last = (date.fromisoformat(request.url.params[name]) for name in ("start_day", "end_day"))
            seen.append((first, last))
        return await forward(request)

    desk.world.around = around
    await desk.connector().ask(OPERATION, '{"2026-03-01":[1],"2026-03-09":[2]}', None)

    assert [(date(2026, 1, 30), date(2026, 4, 8))] == seen


async def test_a_learner_with_very_many_ids_is_followed_by_the_day(desk: Desk) -> None:
    """A receipt has its limit; the job of a day ends as a whole."""
    ids = range(356_800_000_000, 356_800_000_400)
    desk.arm({"path": PATH, "status": 200, "body": job("2026-03-01", *ids, status="done"), "method": "POST"})
    erasure = await desk.perform(OPERATION)
    desk.arm({"path": PATH, "status": 200, "body": [job("2026-03-01", *ids, status="done")], "method": "GET"})

    assert len(erasure.receipt or "") < LONGEST_RECEIPT
    assert {"2026-03-01": []} == wanted(erasure)
    assert Verdict.GONE is await desk.connector().ask(OPERATION, erasure.receipt or "", None)


@pytest.mark.parametrize(
    "body",
    [
        {"error": EMAIL},
        [],
        None,
        [EMAIL],
        {"day": "2026-03-01", "status": "staging"},
        {"day": EMAIL, "amplitude_ids": [{"amplitude_id": 1}]},
        {"day": "2026-13-41", "amplitude_ids": [{"amplitude_id": 1}]},
        {"amplitude_ids": [{"amplitude_id": 1}], "invalid_ids": []},
        {"day": "2026-03-01", "amplitude_ids": [{"amplitude_id": EMAIL}]},
        {"day": "2026-03-01", "amplitude_ids": EMAIL},
        {"day": "2026-03-01", "amplitude_ids": [], "invalid_ids": ["9"]},
        {"day": "2026-03-01", "amplitude_ids": [{"amplitude_id": 1, "user_id": "9"}]},
    ],
)
async def test_a_success_that_does_not_name_the_learner_is_refused(desk: Desk, body: Any) -> None:
    """Neither queued nor unknown is no answer."""
    assert isinstance(await desk.error(OPERATION, {"path": PATH, "status": 200, "body": body}), Refused)


@pytest.mark.parametrize("body", [{"error": EMAIL}, None, [EMAIL], [job("2026-03-01", 1, status=EMAIL)]])
async def test_a_list_of_jobs_that_cannot_be_read_proves_nothing(desk: Desk, body: Any) -> None:
    """Neither gone nor failed."""
    desk.arm({"path": PATH, "status": 200, "body": body})
    with pytest.raises(Refused) as caught:
        await desk.connector().ask(OPERATION, '{"2026-03-01":[1]}', None)

    assert names_nobody(str(caught.value))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 400, "body": {"error": EMAIL}}, Refused),
        ({"status": 404, "body": {"error": EMAIL}}, Misconfigured),
        ({"status": 404}, Misconfigured),
        ({"status": 403, "body": {"error": EMAIL}}, Misconfigured),
    ],
)
async def test_refusals_are_read_by_the_contract(
    desk: Desk, fault: dict[str, Any], kind: type[RetirementError]
) -> None:
    """A 404 is a wrong address and never an unknown learner."""
    assert isinstance(await desk.error(OPERATION, {"path": PATH, **fault}), kind)


async def test_wrong_keys_are_nobodys_fault(desk: Desk) -> None:
    """401 stops the run, and the probe before it."""
    assert isinstance(await desk.error(OPERATION, secret_key="wrong"), Misconfigured)
    with pytest.raises(Misconfigured):
        await desk.connector(api_key="wrong").probe(OPERATION)


async def test_a_probe_reads_only(desk: Desk) -> None:
    """A day without jobs."""
    await desk.connector().probe(OPERATION)

    assert [("GET", PATH)] == desk.sent()


async def test_a_lost_reply_is_asked_for_again(desk: Desk) -> None:
    """The learner is queued already, and stays in that job."""
    desk.arm({"path": PATH, "after": True, "drop": True, "times": 1})
    erasure = await desk.perform(OPERATION)

    assert [own_ids(desk)] == list(wanted(erasure).values())


async def test_an_odd_address_changes_nothing(desk: Desk) -> None:
    """Learners are named by user id; two of one address are two."""
    email = f"{'ü' * 60}'+/{'a' * 180}@b.example"
    desk.seed(*(holder(name, email=each, vendors=[VENDOR]) for name, each in (("ana-0", email), ("ana-1", EMAIL))))
    connector = desk.connector()
    await connector.perform(OPERATION, await desk.learner("ana-0"))
    desk.pass_by(days=20)

    assert (True, False) == (desk.left("ana-0") == [], desk.left("ana-1") == [])


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "https://amplitude.com"),
        ({"region": "eu"}, "https://analytics.eu.amplitude.com"),
        ({"region": "eu", "url": "https://amplitude.example"}, "https://amplitude.example"),
    ],
)
def test_the_region_says_the_host(settings: dict[str, str], host: str) -> None:
    """The reference knew the US only."""
    assert host == AmplitudeSettings(**{**KEYS, **settings}).base_url


def test_settings_are_checked_and_masked() -> None:
    """An unknown one is refused, and no key shows."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        AmplitudeSettings(**KEYS, secret="x")

    assert "s3cret" not in repr(AmplitudeSettings(api_key="s3cret-1", secret_key="s3cret-2"))
