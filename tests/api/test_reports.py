"""Runs, receipts and reports at the door: what the ledger has, with the JSON of the commands, and no learner's name."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from retirement.api.people import Person
from retirement.api.refusals import TooMany
from retirement.ledger import Given, Ledger
from retirement.ledger.deliveries import DeliveredFile
from retirement.reports import month_page
from retirement.reports.month import read_month
from retirement.reports.today import today_of
from retirement.site import ledger_location
from tests.ledger.desk import begin

from .desk import ISSUER, Desk, bearer, token

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


async def delivered(ledger: Ledger, *orgs: str) -> int:
    """A claim of one learner that was delivered as a file of these organisations."""
    claim = await ledger.claims.begin()
    await ledger.claims.seal(claim, b"rows", [17])
    await ledger.deliveries.add(DeliveredFile(claim, "folder", "partner", orgs, "a.csv", "/a.csv", 10, "0" * 64, (17,)))
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


async def test_of_an_organisation_nothing_is_told_of_another_one(desk: Desk) -> None:
    """A partner may stand for several, and gets one file about all of them."""
    async with desk.open() as client, desk.ledger() as ledger:
        await delivered(ledger, "edX", "MITx")
        _, said = await ask(client, "organizations/edX/partner-reports")

    (file,) = said["files"]
    assert (file["organisations"], file["learners"]) == (["edX"], None)


async def test_no_list_is_answered_whole_however_long_it_is(desk: Desk) -> None:
    """A piece of it, and whether it goes on."""
    lists = {"runs": "run", "receipts": "receipt", "partner-reports": "claim", "holds": "hold"}
    async with desk.open() as client, desk.ledger() as ledger:
        until = ledger.now().date() + timedelta(days=30)
        for number in (17, 18, 19):
            await ledger.queue_runs.begin(f"run-{number}", depth=7, batch=number)
            await promised(ledger, number)
            await delivered(ledger, "edX")
            await ledger.holds.add(user_id=number, org=None, service=None, basis="a court", until=until, by="legal")
        for path in (*lists, "organizations/edX/partner-reports"):
            pieces = [(await ask(client, f"{path}?{each}"))[1] for each in ("", "maxItems=2", "maxItems=2&skipCount=2")]
            (key,) = pieces[0].keys() - {"more"}
            whole, first, last = (each[key] for each in pieces)
            assert (len(first), len(last), [*first, *last]) == (2, 1, whole), path
            assert [each["more"] for each in pieces] == [False, True, False], path
            assert (await ask(client, f"{path}?maxItems=1001"))[0] == 400, path


async def test_what_reads_the_whole_ledger_is_done_once_at_a_time(desk: Desk) -> None:
    """For one person once, whatever they send; another one waits for it."""
    async with desk.open() as client, desk.ledger() as ledger:
        await ledger.queue_runs.begin("run-1", depth=1, batch=1)
        office = desk.application.state.office
        path, other = f"reports/months/{ledger.now():%Y-%m}", Person("other", ISSUER, frozenset(), "bearer")
        async with office.alone.turn(other):
            both = [asyncio.ensure_future(ask(client, path)) for _ in range(2)]
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            with pytest.raises(TooMany):
                async with office.alone.turn(other):
                    pass
        statuses = sorted([(await each)[0] for each in both])
        again, _ = await ask(client, path)

    assert ([each.result()[0] for each in done], statuses, again) == ([429], [200, 429], 200)


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
