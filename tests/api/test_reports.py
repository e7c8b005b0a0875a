"""Runs, receipts and reports at the door: what the ledger has, with the JSON of the commands, and no learner's name."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from retirement.ledger import Given, Ledger
from retirement.ledger.deliveries import DeliveredFile
from retirement.reports import month_page
from retirement.reports.month import read_month
from retirement.reports.today import today_of
from retirement.site import ledger_location
from tests.ledger.desk import begin

from .desk import Desk, bearer, token

pytestmark = pytest.mark.anyio


async def ask(client: httpx.AsyncClient, path: str) -> tuple[int, Any]:
    answer = await client.get(f"/api/{path}", headers=bearer(token()))
    return answer.status_code, answer.json()


async def test_runs_of_the_queue_are_listed_and_shown(desk: Desk) -> None:
    """The newest first; one that has not ended is there as well."""
    async with desk.open() as client, desk.ledger() as ledger:
        for number in (1, 2):
            await ledger.queue_runs.begin(f"run-{number}", depth=7, batch=number)
        await ledger.queue_runs.end("run-1", {"retired": 1}, 12.5)
        _, listed = await ask(client, "runs?days=1")
        _, one = await ask(client, "runs/run-1")
        missing, _ = await ask(client, "runs/run-3")

    assert [(each["run"], each["ended"] is None) for each in listed["runs"]] == [("run-2", True), ("run-1", False)]
    assert (one["outcomes"], one["depth"], one["seconds"]) == ({"retired": 1}, 7, 12.5)
    assert (one, missing) == (listed["runs"][1], 404)


async def promised(ledger: Ledger, user_id: int) -> None:
    """A service has accepted the erasure of a learner, and has still to confirm it."""
    lease = await begin(ledger, user_id)
    await lease.intend("FORUMS", "LMS", "retirement_retire_forum")
    await lease.prove("FORUMS", "accepted", Given("job-1", timedelta(days=1)))
    await lease.end("parked", "", "PENDING")


async def test_receipts_are_listed(desk: Desk) -> None:
    """Open ones, all of them, or those of one learner."""
    async with desk.open() as client, desk.ledger() as ledger:
        for user_id in (17, 18):
            await promised(ledger, user_id)
        first, second = await ledger.receipts.find()
        await ledger.receipts.checked(first.id, result="confirmed", confirmed=True)
        _, opened = await ask(client, "receipts")
        _, every = await ask(client, "receipts?every=true")
        _, theirs = await ask(client, "receipts?every=true&user_id=17")

    assert [each["receipt"] for each in every["receipts"]] == [first.id, second.id]
    assert [each["receipt"] for each in opened["receipts"]] == [second.id]
    assert [each["learner"] for each in theirs["receipts"]] == [17]
    assert every["receipts"][0].items() >= {"service": "LMS", "step": "FORUMS", "result": "confirmed"}.items()


async def delivered(ledger: Ledger, org: str) -> int:
    """A claim of one learner that was delivered as a file of this organisation."""
    claim = await ledger.claims.begin()
    await ledger.claims.seal(claim, b"rows", [17])
    await ledger.deliveries.add(
        DeliveredFile(claim, "folder", "partner", (org,), "a.csv", "/a.csv", 10, "0" * 64, (17,))
    )
    await ledger.claims.delivered(claim)
    return claim


async def test_reports_to_partners_are_listed_whole_and_by_organisation(desk: Desk) -> None:
    """With the learners by id; of an organisation its files only, without ids."""
    async with desk.open() as client, desk.ledger() as ledger:
        first, second = await delivered(ledger, "edX"), await delivered(ledger, "MITx")
        _, listed = await ask(client, "partner-reports")
        _, one = await ask(client, f"partner-reports/{first}")
        _, of_edx = await ask(client, "organizations/edX/partner-reports")
        missing, _ = await ask(client, "partner-reports/4711")

    assert [each["claim"] for each in listed["reports"]] == [second, first]
    assert (one["state"], one["learners"], one["files"][0]["organisations"]) == ("delivered", [17], ["edX"])
    assert ([each["claim"] for each in of_edx["files"]], of_edx["files"][0]["learners"], missing) == ([first], 1, 404)


async def test_the_pages_of_the_day_and_of_a_month_are_those_of_the_command(desk: Desk) -> None:
    """A month that is none is a 400 which names no option of a command."""
    await desk.seed("ana")
    async with desk.open() as client, desk.ledger() as ledger:
        now: datetime = ledger.now()
        await ledger.queue_runs.begin("run-1", depth=1, batch=1)
        _, today = await ask(client, "reports/today")
        _, month = await ask(client, f"reports/months/{now:%Y-%m}")
        found = month_page.document(read_month(ledger_location(desk.configuration), f"{now:%Y-%m}", now))
        wrong = [await ask(client, f"reports/months/{each}") for each in ("2999-01", "march")]
        async with desk.site(desk.configuration) as site:
            command = (await today_of(desk.configuration, site)).document

    assert today.keys() == command.keys()
    assert (today["states"], today["depth"]) == (command["states"], command["depth"])
    assert month == found
    assert [(status, "--" in said["detail"]) for status, said in wrong] == [(400, False)] * 2
