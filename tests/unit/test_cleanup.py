"""The LMS forgets who somebody was when everything else is proved to be gone, and nobody before that."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import LedgerError, Misconfigured, StateConflict, Transient
from retirement.followup import cleanup_run, complete_rows
from retirement.followup.cleanup import REFUSAL
from retirement.followup.clearance import CleanupFinding, CleanupResult, Override
from retirement.ledger import CLEANUP_ASKED, CLEANUP_CLEARED, LedgerLocation, learner_scope, opened
from retirement.lms import Lms

from .cleaning import (
    CLEANUP,
    EXTRA,
    NAMES,
    PIPELINE,
    TOLD,
    certificate,
    cleaned_up,
    promised,
    retired,
    rows,
    sent,
    whats,
)
from .doubles import USERNAME, Deadly, Forward, Script, World, holder, names_nobody

pytestmark = pytest.mark.anyio


async def test_who_is_proved_to_be_gone_is_forgotten(world: World) -> None:
    """All in one request; the certificate stays complete, says when, and is what answers from then on."""
    site = await retired(world, *NAMES)

    found = await cleaned_up(site)

    assert whats(found) == [CleanupResult.CLEARED] * len(NAMES)
    assert {each.user_id for each in found} == set(world.user_ids.values())
    assert (rows(world), sent(world)) == (set(), 1)
    issued = await certificate(site, world.user_ids[USERNAME])
    assert (issued["complete"], issued["forgotten"]["by"]) == (True, None)
    assert [each["kind"] for each in issued["proof"]["entries"]][-2:] == [CLEANUP_ASKED, CLEANUP_CLEARED]
    assert (await site.ledger.verify()).problem is None
    assert await site.ledger.learners.by_username(USERNAME)
    assert await cleaned_up(site) == []


async def test_nobody_is_forgotten_before_their_time(world: World) -> None:
    """The days count from the last move of the row, not from the request."""
    site = await retired(world, USERNAME, days=29)

    assert await cleaned_up(site) == []
    world.age(2)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED]


async def test_looking_changes_nothing(world: World) -> None:
    """Neither the LMS nor the ledger."""
    site = await retired(world, *NAMES)
    head = await site.ledger.events.head()

    found = await cleaned_up(site, dry_run=True)

    assert whats(found) == [CleanupResult.WOULD_CLEAR] * len(NAMES)
    assert (len(rows(world)), sent(world), await site.ledger.events.head()) == (len(NAMES), 0, head)


async def test_an_open_receipt_keeps_its_learner(world: World) -> None:
    """And nobody else; once it is settled the next run forgets them."""
    site = await retired(world, *NAMES)
    cy = world.user_ids["cy"]
    receipt = await promised(site, cy)

    found = {each.user_id: each for each in await cleaned_up(site)}

    assert found[cy] == CleanupFinding(cy, CleanupResult.WAITING, f"receipt {receipt} of SEGMENT is open: never asked")
    assert rows(world) == {"cy"}
    await site.ledger.receipts.checked(receipt, result="confirmed", confirmed=True)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED]


async def test_an_operators_word_goes_for_open_receipts_where_it_says_so(world: World) -> None:
    """Who said so, and why, is on the certificate, which stays incomplete; and on nobody's who needed no word."""
    site = await retired(world, USERNAME, "bo")
    ana, bo = world.user_ids[USERNAME], world.user_ids["bo"]
    await promised(site, ana)

    only_incomplete = Override("x", "dpo", incomplete=True)
    assert whats(await cleaned_up(site, override=only_incomplete, user_id=ana)) == [CleanupResult.WAITING]
    assert (
        whats(await cleaned_up(site, override=Override("too long", "dpo", receipts=True)))
        == [CleanupResult.CLEARED] * 2
    )

    told, proved = [await certificate(site, user_id) for user_id in (ana, bo)]
    assert (told["complete"], told["forgotten"]["by"], told["forgotten"]["reason"]) == (False, "dpo", "too long")
    assert (proved["complete"], proved["forgotten"]["by"], proved["forgotten"]["reason"]) == (True, None, None)


async def test_a_run_that_failed_is_not_called_waiting(world: World) -> None:
    """Although a receipt is open as well."""
    site = await retired(world, USERNAME)
    ana = await world.learner(site, USERNAME)
    await promised(site, ana.user_id)
    lease = await site.ledger.learners.lease(ana, due_at=site.due_at(ana), pipeline=None)
    await lease.end("failed", "by hand", "COMPLETE")

    (found,) = await cleaned_up(site)

    assert found.what is CleanupResult.KEPT
    assert "the last run ended failed" in found.text


async def test_whom_a_run_has_is_left_to_it(world: World) -> None:
    """A verification that erases again, such as."""
    site = await retired(world, USERNAME, "bo")
    ana = await world.learner(site, USERNAME)
    lease = await site.ledger.leases.take(learner_scope(ana.user_id), what="a learner")

    found = {each.user_id: each for each in await cleaned_up(site)}

    assert (found[ana.user_id].what, found[ana.user_id].text) == (
        CleanupResult.WAITING,
        "another run has the learner, or the ledger knows more by now",
    )
    assert rows(world) == {USERNAME}
    await site.ledger.leases.release(lease)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED]


async def test_another_sites_proof_is_none(world: World) -> None:
    """Two sites, or one and its rehearsal, give the same ids to other people."""
    site = await retired(world, USERNAME)
    world.age(3, "created")  # the row of somebody else, who asked three days earlier

    (found,) = await cleaned_up(site)

    assert found.what is CleanupResult.KEPT
    assert "was requested at another time" in found.text


async def test_learners_of_another_driver_need_an_operators_word(world: World) -> None:
    """The ledger proves nothing about them."""
    world.seed(holder(state="COMPLETE"), states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    world.age(31)

    (kept,) = await cleaned_up(site)

    assert (kept.what, kept.text) == (
        CleanupResult.KEPT,
        f"the ledger has no retirement of learner {kept.user_id} to certify: another driver retired them",
    )
    assert whats(await cleaned_up(site, override=TOLD)) == [CleanupResult.CLEARED]
    assert rows(world) == set()


@pytest.mark.parametrize("told", [None, TOLD], ids=["by-itself", "told"])
@pytest.mark.parametrize("on", [{"user_id": True}, {"org": "OrgA"}], ids=["learner", "organisation"])
async def test_a_hold_keeps_its_learner_whatever_an_operator_says(
    world: World, told: Override | None, on: dict[str, Any]
) -> None:
    """What it keeps back is found by the row."""
    world.seed(holder(), holder("bo", enrollments=[]), states=PIPELINE.lms_states, worker_is_staff=True)
    site = world.site(PIPELINE)
    for name in (USERNAME, "bo"):
        await world.retire(site, name)
    world.age(31)
    whom: dict[str, Any] = {"user_id": None, "org": None} | on
    if whom["user_id"]:
        whom["user_id"] = world.user_ids[USERNAME]
    until = world.calendar().date() + timedelta(days=10)
    hold = await site.ledger.holds.add(**whom, service=None, basis="lawsuit", until=until, by="dpo")

    found = {each.user_id: each for each in await cleaned_up(site, override=told)}

    held = found[world.user_ids[USERNAME]]
    assert (held.what, held.text) == (CleanupResult.HELD, f"kept until {until} by hold {hold}")
    assert rows(world) == {USERNAME}
    world.calendar.pass_by(days=11)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED]


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 504}, {"truncate": True}, {"status": 200}], ids=str)
async def test_a_lost_answer_is_settled_by_listing(world: World, fault: dict[str, Any]) -> None:
    """The request is never repeated on a guess; a second one would be refused."""
    site = await retired(world, *NAMES)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "after": True, **fault}])

    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED] * len(NAMES)
    assert (rows(world), sent(world)) == (set(), 1)


async def test_a_request_that_did_nothing_is_left_to_the_next_run(world: World) -> None:
    """The rows are there, so nobody was forgotten."""
    site = await retired(world, *NAMES)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])

    assert whats(await cleaned_up(site)) == [CleanupResult.UNANSWERED] * len(NAMES)
    assert (len(rows(world)), sent(world)) == (len(NAMES), 1)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED] * len(NAMES)


@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
async def test_a_run_that_died_anywhere_is_finished_by_the_next(
    world: World, tmp_path: Path, after: bool, monkeypatch: pytest.MonkeyPatch, every_nth: int, first: int
) -> None:
    """At every request and every transaction: what the ledger says of each learner is what the LMS did."""
    monkeypatch.setattr(complete_rows, "FIRST_DAY", world.calendar().date() - timedelta(days=40))
    deaths = first
    while True:
        place = LedgerLocation(f"sqlite:///{tmp_path / f'dying-{deaths}.sqlite'}")
        async with opened(place, clock=world.calendar) as world.ledger:
            await retired(world, *NAMES[:3])
        if await world.outlives(Deadly(deaths + 1, after), lambda: cleaned_up(world.site(PIPELINE)), place):
            break
        deaths += 1
        world.calendar.pass_by(minutes=10)
        async with opened(place, clock=world.calendar) as world.ledger:
            site = world.site(PIPELINE)
            found = await cleaned_up(site)
            assert {each.what for each in found} <= {CleanupResult.CLEARED}, f"died at {deaths}"
            assert (rows(world), await cleaned_up(site)) == (set(), []), f"died at {deaths}"
            for user_id in world.user_ids.values():
                assert (await certificate(site, user_id))["forgotten"], f"died at {deaths}"
                kinds = [each.kind for each in await site.ledger.events.find(user_id=user_id)]
                assert kinds.count(CLEANUP_CLEARED) == 1, f"died at {deaths}"
            assert (await site.ledger.verify()).ok
        deaths += every_nth - 1

    assert deaths > 12


@pytest.mark.parametrize("elsewhere", ["PENDING", EXTRA])
async def test_one_who_is_refused_keeps_nobody_else(world: World, elsewhere: str) -> None:
    """The LMS refuses the whole list and does not say for whom, so it is halved."""
    site = await retired(world, *NAMES)

    async def undone(request: httpx.Request, forward: Forward) -> httpx.Response:
        # Somebody moves one of them between our listing and our request.
        if request.url.path.endswith(CLEANUP) and world.state("di") == "COMPLETE":
            await world.force("di", elsewhere)
            world.around = undone
        return await forward(request)

    world.around = undone
    found = {each.user_id: each for each in await cleaned_up(site)}

    assert rows(world) == {"di"}
    moved = found.pop(world.user_ids["di"])
    assert (moved.what, moved.text) == (CleanupResult.KEPT, f"the row was moved to {elsewhere} meanwhile")
    assert {each.what for each in found.values()} == {CleanupResult.CLEARED}
    (again,) = await cleaned_up(site)  # not called forgotten for being no longer in COMPLETE
    assert again == moved
    assert (await certificate(site, world.user_ids["di"]))["forgotten"] is None


async def test_whom_the_lms_does_not_take_is_told_apart(world: World) -> None:
    """A row in COMPLETE that shares its name, but for letter case, makes it refuse every list with that name."""
    site = await retired(world, *NAMES)

    async def shared(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP) and "di" in json.loads(request.content)["usernames"]:
            return httpx.Response(400, json="Not all usernames exist in the COMPLETE state.")
        return await forward(request)

    world.around = shared
    found = {each.user_id: each for each in await cleaned_up(site)}

    assert found.pop(world.user_ids["di"]) == CleanupFinding(world.user_ids["di"], CleanupResult.REFUSED, REFUSAL)
    assert {each.what for each in found.values()} == {CleanupResult.CLEARED}
    assert rows(world) == {"di"}


async def test_a_run_can_be_made_smaller(world: World) -> None:
    """By number, and to one learner."""
    site = await retired(world, *NAMES)

    assert whats(await cleaned_up(site, limit=2)) == [CleanupResult.CLEARED] * 2
    assert len(rows(world)) == 3
    one = world.user_ids["ed"]
    assert [each.user_id for each in await cleaned_up(site, user_id=one)] == [one]
    assert len(rows(world)) == 2


async def test_many_are_named_some_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a limit in the middle of a request is kept too."""
    monkeypatch.setattr(cleanup_run, "AT_ONCE", 2)
    site = await retired(world, *NAMES)

    assert whats(await cleaned_up(site, limit=3)) == [CleanupResult.CLEARED] * 3
    assert (len(rows(world)), sent(world)) == (2, 2)


async def test_an_lms_that_forbids_it_ends_the_run(world: World) -> None:
    """Everybody would meet the same."""
    site = await retired(world, *NAMES)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "status": 403}])

    with pytest.raises(Misconfigured):
        await cleaned_up(site)

    assert (len(rows(world)), sent(world)) == (len(NAMES), 1)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED] * len(NAMES)


async def test_nobody_is_forgotten_on_the_word_of_a_ledger_that_was_changed(world: World, tmp_path: Path) -> None:
    """It is verified before the LMS is asked anything."""
    site = await retired(world, USERNAME)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE event SET kind = 'step.Proved' WHERE kind = 'step.proved'")
    asked = len(world.sandbox.requests)

    with pytest.raises(LedgerError):
        await cleaned_up(site)

    assert (len(world.sandbox.requests), rows(world)) == (asked, {USERNAME})


async def test_two_runs_at_once_are_one(world: World, tmp_path: Path) -> None:
    """The other one changes nothing."""
    site = await retired(world, USERNAME)
    async with opened(LedgerLocation(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), clock=world.calendar) as rival:
        lease = await rival.leases.take("archive", what="the cleanup")
        with pytest.raises(StateConflict, match="another run has the cleanup"):
            await cleaned_up(site)
        assert sent(world) == 0
        await rival.leases.release(lease)
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED]


async def test_an_odd_row_is_said_and_keeps_nobody(world: World) -> None:
    """Whose it is, nobody can read."""
    site = await retired(world, *NAMES)

    async def odd(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if not request.url.path.endswith("/retirements_by_status_and_date/"):
            return answer
        listed = httpx.Response(200, content=await answer.aread()).json()
        return httpx.Response(200, json=[*listed, {"user": {"username": "Canary"}}] if listed else [])

    world.around = odd
    found = await cleaned_up(site)

    assert whats(found) == [CleanupResult.KEPT, *[CleanupResult.CLEARED] * len(NAMES)]
    assert "cannot be read" in found[0].text
    assert "Canary" not in found[0].text


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(404, html="<h1>Not Found</h1>"), Misconfigured),
        (httpx.Response(403, json={"detail": "no"}), Misconfigured),
        (httpx.Response(500, json=f"'{USERNAME}'"), Transient),
        (httpx.Response(200, html="<h1>Log in</h1>"), Transient),
    ],
)
async def test_errors_of_the_clean_up_quote_nobody(answer: httpx.Response, expected: type[Exception]) -> None:
    """It is sent once, whatever the answer."""
    script = Script(answer)

    with pytest.raises(expected) as caught:
        await Lms(script.api(), PIPELINE.lms_states).cleanup.delete([USERNAME])

    assert names_nobody(str(caught.value))
    assert len(script.requests) == 1


def test_windows_cover_every_day_once() -> None:
    """From the first release that retired anybody to the last day asked for."""
    last = date(2026, 11, 22)
    spans = list(complete_rows.windows(complete_rows.FIRST_DAY, last))

    assert (spans[0][0], spans[-1][1]) == (complete_rows.FIRST_DAY, last)
    assert all(after[0] - before[1] == timedelta(days=1) for before, after in pairwise(spans))
    assert list(complete_rows.windows(last, last - timedelta(days=1))) == []
