"""What comes between the cleanup's look and its request, and answers that lie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import pytest

from retirement.errors import Interrupted, LeaseLost, Transient
from retirement.followup import cleanup_run
from retirement.followup.cleanup import clean_up
from retirement.followup.cleanup_run import LOST_IN_A_ROW, Choice
from retirement.followup.clearance import CleanupFinding, CleanupResult, Override
from retirement.ledger import CLEANUP_ASKED, CLEANUP_CLEARED, CleanupIntent, Lease, learner_scope
from retirement.lms import Lms
from retirement.site import Site
from retirement.wire.api import Api, Retry
from retirement.wire.pool import pool

from .batches import batch_of
from .cleaning import (
    CLEANUP,
    NAMES,
    PIPELINE,
    STATES,
    TOLD,
    certificate,
    cleaned_up,
    held,
    intended,
    promised,
    retired,
    rewritten,
    rows,
    sent,
    unanswered,
    whats,
)
from .doubles import USERNAME, Forward, World

pytestmark = pytest.mark.anyio

LISTING = "/retirements_by_status_and_date/"


def between(site: Site, work: Callable[[], Awaitable[Any]]) -> None:
    """Does something between the judgement of a batch and the transaction of its intents, once."""
    asked, begun = site.ledger.cleanups.asked, False

    async def late(lease: Lease, meant: Sequence[CleanupIntent], named: str | None) -> Any:
        nonlocal begun
        if not begun:
            await work()
        begun = True
        return await asked(lease, meant, named)

    site.ledger.cleanups.asked = late  # type: ignore[method-assign]  # the moment between two transactions


@pytest.mark.parametrize("on", ["user_id", "org"])
async def test_a_hold_that_is_placed_after_the_look_counts(world: World, on: str) -> None:
    """It is looked for once more in the transaction of the intent; one on an organisation counts until it is asked."""
    site = await retired(world, *NAMES)
    cy = world.user_ids["cy"]
    between(site, lambda: held(world, site, **({"user_id": cy} if on == "user_id" else {"org": "OrgZ"})))

    found = {each.user_id: each.what for each in await cleaned_up(site)}

    kept = {cy} if on == "user_id" else set(world.user_ids.values())
    assert {user_id for user_id, what in found.items() if what is CleanupResult.HELD} == kept
    assert len(rows(world)) == len(kept)


async def test_an_intent_needs_the_lease(world: World) -> None:
    """Whoever was overtaken names nobody."""
    site = await retired(world, USERNAME)
    ana = await world.learner(site, USERNAME)
    lease = await site.ledger.leases.take("archive", what="the cleanup")
    world.calendar.pass_by(hours=1)
    intent = intended(site, ana, None)

    with pytest.raises(LeaseLost):
        await site.ledger.cleanups.asked(lease, [intent])
    assert await site.ledger.cleanups.unanswered(site.lms.host) == {}


async def test_an_empty_answer_of_somebody_else_is_no_proof(world: World) -> None:
    """A proxy says 200 and nothing more; the LMS was never asked."""
    site = await retired(world, *NAMES)

    async def proxy(request: httpx.Request, forward: Forward) -> httpx.Response:
        return httpx.Response(200) if request.url.path.endswith(CLEANUP) else await forward(request)

    world.around = proxy

    assert whats(await cleaned_up(site)) == [CleanupResult.UNANSWERED] * len(NAMES)
    assert await site.ledger.events.find(kind=CLEANUP_CLEARED) == []


async def test_whoever_cannot_be_read_is_not_called_forgotten(world: World) -> None:
    """Their row is there, and odd; an earlier run had named them."""
    site = await retired(world, *NAMES)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])
    await cleaned_up(site)
    rewritten(world, LISTING, lambda listed: [{**row, "modified": None} for row in listed])

    found = await cleaned_up(site)

    assert whats(found) == [CleanupResult.UNANSWERED] * len(NAMES) + [CleanupResult.KEPT] * len(NAMES)
    assert await site.ledger.events.find(kind=CLEANUP_CLEARED) == []
    assert whats(await cleaned_up(site, user_id=world.user_ids["bo"])) == [CleanupResult.UNANSWERED]
    world.around = None
    assert whats(await cleaned_up(site)) == [CleanupResult.CLEARED] * len(NAMES)


async def test_who_was_restored_and_is_named_again_is_open_again(world: World) -> None:
    """The last thing that happened counts, in the ledger and on the certificate."""
    site = await retired(world, USERNAME)
    ana = await world.learner(site, USERNAME)
    await cleaned_up(site)
    first = (await certificate(site, ana.user_id))["forgotten"]
    lease = await site.ledger.leases.take("archive", what="the cleanup")
    intent = intended(site, ana, TOLD)
    world.calendar.pass_by(seconds=1)
    await site.ledger.cleanups.answered(await site.ledger.cleanups.asked(lease, [intent]))
    await site.ledger.leases.release(lease)

    asked = (await certificate(site, ana.user_id))["forgotten"]
    assert await site.ledger.cleanups.unanswered(site.lms.host) == {
        (ana.user_id, ana.retirement_id): ana.requested_at.date()
    }
    (found,) = await cleaned_up(site)
    second = (await certificate(site, ana.user_id))["forgotten"]

    assert found == CleanupFinding(ana.user_id, CleanupResult.CLEARED, "an earlier run had asked for it")
    assert (first["by"], asked, second["by"]) == (None, None, TOLD.by)
    assert second["at"] > first["at"]


async def test_what_is_open_is_settled_whatever_the_days(world: World) -> None:
    """Somebody who was forgotten early, by `--days 0`, and whose run died."""
    site = await retired(world, USERNAME, days=1)
    cut = {"path": CLEANUP, "method": "POST", "after": True, "drop": True}
    world.sandbox.arm([cut, {"path": "/retirement_status/", "status": 503, "times": 99}])
    assert whats(await cleaned_up(site, days=0)) == [CleanupResult.UNANSWERED]
    world.sandbox.arm([])

    assert rows(world) == set()
    assert whats(await cleaned_up(site, dry_run=True)) == []
    assert whats(await cleaned_up(site, days=30)) == [CleanupResult.CLEARED]


async def test_a_limit_counts_whom_the_lms_has_forgotten(world: World) -> None:
    """One who is refused each night does not stand in the way of all others."""
    site = await retired(world, *NAMES)

    async def refusing(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP) and USERNAME.encode() in request.content:
            return httpx.Response(400, json="Not all usernames exist in the COMPLETE state.")
        return await forward(request)

    world.around = refusing

    assert sorted(whats(await cleaned_up(site, limit=2))) == [
        CleanupResult.CLEARED,
        CleanupResult.CLEARED,
        CleanupResult.REFUSED,
    ]
    assert len(rows(world)) == len(NAMES) - 2


async def test_a_span_that_the_lms_cannot_list_is_halved(world: World) -> None:
    """Down to the day, which is named; everybody else's turn comes."""
    site = await retired(world, *NAMES)
    (day,) = {each.requested_at.date() for each in (await site.lms.rows.queue(["COMPLETE"], 0)).learners}
    spans: list[tuple[str, str]] = []

    async def slow(request: httpx.Request, forward: Forward) -> httpx.Response:
        first, last = (request.url.params.get(name, "") for name in ("start_date", "end_date"))
        if request.url.path.endswith(LISTING):
            spans.append((first, last))
            if first <= day.isoformat() <= last and first != last:
                return httpx.Response(504)
        return await forward(request)

    world.around = slow
    assert whats(await cleaned_up(site, dry_run=True)) == [CleanupResult.WOULD_CLEAR] * len(NAMES)
    assert (day.isoformat(), day.isoformat()) in spans

    async def broken(request: httpx.Request, forward: Forward) -> httpx.Response:
        span = (request.url.params.get("start_date", ""), request.url.params.get("end_date", ""))
        lists = request.url.path.endswith(LISTING)
        return httpx.Response(504) if lists and span[0] <= day.isoformat() <= span[1] else await forward(request)

    world.around = broken
    (found,) = await cleaned_up(site)
    assert (found.user_id, found.what) == (None, CleanupResult.UNANSWERED)
    assert f"requests of {day} could not be listed" in found.text


async def test_an_lms_that_is_down_ends_the_run(world: World) -> None:
    """It is not asked for every day since the beginning."""
    site = await retired(world, USERNAME)
    world.sandbox.arm([{"path": LISTING, "status": 504, "times": 9_999}])
    before = len(world.sandbox.requests)

    with pytest.raises(Transient):
        await cleaned_up(site)

    asked = sum(each["path"].endswith(LISTING) for each in world.sandbox.requests[before:])
    assert asked == LOST_IN_A_ROW * site.connectors["LMS"].api.retry.attempts


async def test_a_run_that_is_told_to_stop_ends_between_two_requests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is ended and said; the rest is the next run's."""
    monkeypatch.setattr(cleanup_run, "AT_ONCE", 2)
    site = await retired(world, *NAMES)

    async def stopping(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP):
            batch_of(site).stop.set(Interrupted("the run was told to stop"))
        return await forward(request)

    world.around = stopping
    found: list[CleanupFinding] = []
    with pytest.raises(Interrupted):
        await clean_up(site, batch_of(site), Choice(30), found.append, states=STATES)

    assert whats(found) == [CleanupResult.CLEARED] * 2
    assert (len(rows(world)), sent(world), len(await site.ledger.events.find(kind=CLEANUP_ASKED))) == (3, 1, 2)


async def test_a_receipt_that_is_opened_after_the_look_counts(world: World) -> None:
    """A verification has erased again, and has ended."""
    site = await retired(world, *NAMES)
    cy = world.user_ids["cy"]
    between(site, lambda: promised(site, cy))

    found = {each.user_id: each.what for each in await cleaned_up(site)}

    assert found.pop(cy) is CleanupResult.WAITING
    assert set(found.values()) == {CleanupResult.CLEARED}
    assert rows(world) == {"cy"}


async def test_a_hold_that_is_placed_while_a_list_is_halved_counts(world: World) -> None:
    """Each half is looked at again."""
    site = await retired(world, *NAMES)
    ed = world.user_ids["ed"]

    async def refusing(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP) and USERNAME.encode() in request.content:
            if b'"ed"' in request.content:
                await held(world, site, user_id=ed)
            return httpx.Response(400, json="Not all usernames exist in the COMPLETE state.")
        return await forward(request)

    world.around = refusing
    found = {each.user_id: each.what for each in await cleaned_up(site)}

    assert (found[ed], found[world.user_ids[USERNAME]]) == (CleanupResult.HELD, CleanupResult.REFUSED)
    assert rows(world) == {"ed", USERNAME}


async def test_nobody_else_can_take_a_learner_while_the_lms_is_asked(world: World) -> None:
    """Afterwards they are free again."""
    site = await retired(world, USERNAME)
    scope = learner_scope(world.user_ids[USERNAME])
    live: list[bool] = []

    async def looking(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP):
            live.append(scope in await site.ledger.leases.live())
        return await forward(request)

    world.around = looking
    await cleaned_up(site)

    assert (live, scope in await site.ledger.leases.live()) == ([True], False)


async def test_an_open_receipt_needs_a_word_of_its_own(world: World) -> None:
    """Also where the ledger has no certificate for the row."""
    site = await retired(world, USERNAME)
    await promised(site, world.user_ids[USERNAME])
    world.age(3, "created")

    assert whats(await cleaned_up(site, override=Override("x", "dpo", incomplete=True))) == [CleanupResult.KEPT]
    assert whats(await cleaned_up(site, override=TOLD)) == [CleanupResult.CLEARED]


async def test_what_another_lms_was_asked_is_not_settled_here(world: World) -> None:
    """Two sites, or one and its rehearsal, with one ledger."""
    site = await unanswered(world)
    other = Lms(Api("LMS", pool("http://other.example", 1), retry=Retry()), PIPELINE.lms_states)

    assert len(await site.ledger.cleanups.unanswered(site.lms.host)) == 1
    assert await site.ledger.cleanups.unanswered(other.host) == {}


async def test_who_comes_to_complete_between_two_lists_is_not_called_forgotten(world: World) -> None:
    """They are in neither the first of COMPLETE nor in that of the other states."""
    site = await unanswered(world)
    await world.force(USERNAME, "PENDING")

    async def retired_now(request: httpx.Request, forward: Forward) -> httpx.Response:
        states = request.url.params.get_list("states")
        if request.url.path.endswith("/retirement_queue/") and len(states) > 1:
            await world.force(USERNAME, "COMPLETE")
        return await forward(request)

    world.around = retired_now
    assert await cleaned_up(site) == []
    assert await site.ledger.events.find(kind=CLEANUP_CLEARED) == []


async def test_an_odd_row_anywhere_keeps_everybody_from_being_called_forgotten(world: World) -> None:
    """It may be theirs."""
    site = await unanswered(world)
    await world.force(USERNAME, "PENDING")
    rewritten(world, "/retirement_queue/", lambda listed: [{**row, "modified": None} for row in listed])

    (found,) = await cleaned_up(site)

    assert (found.user_id, found.what) == (world.user_ids[USERNAME], CleanupResult.UNANSWERED)
    assert "cannot be told" in found.text
    assert await site.ledger.events.find(kind=CLEANUP_CLEARED) == []


async def test_a_failing_list_of_enrollments_keeps_only_those_it_is_about(world: World) -> None:
    """Whether a hold on an organisation is theirs is not known; the run goes on to its end."""
    site = await retired(world, *NAMES)
    await held(world, site, org="OrgA")
    world.sandbox.arm([{"path": "/api/enrollment/v1/enrollments", "status": 500, "times": 99}])

    found = await cleaned_up(site)

    assert whats(found) == [CleanupResult.UNANSWERED] * len(NAMES)
    assert len(rows(world)) == len(NAMES)


async def test_a_batch_that_nobody_answers_for_ends_the_run(world: World) -> None:
    """It is not asked for each of a hundred."""
    names = [f"ana-{number}" for number in range(LOST_IN_A_ROW + 2)]
    site = await retired(world, *names)
    down = {"path": "/retirement_status/", "status": 503, "times": 999}
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}, down])
    found: list[CleanupFinding] = []

    with pytest.raises(Transient):
        await clean_up(site, batch_of(site), Choice(30), found.append, states=STATES)

    assert whats(found) == [CleanupResult.UNANSWERED] * (LOST_IN_A_ROW - 1)


async def test_a_run_that_is_told_to_stop_sends_no_second_half(world: World) -> None:
    """The list was refused meanwhile."""
    site = await retired(world, *NAMES)

    async def refusing(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP):
            batch_of(site).stop.set(Interrupted("the run was told to stop"))
            return httpx.Response(400, json="Not all usernames exist in the COMPLETE state.")
        return await forward(request)

    world.around = refusing
    before = len(world.sandbox.requests)
    with pytest.raises(Interrupted):
        await cleaned_up(site)

    assert not [each for each in world.sandbox.requests[before:] if each["path"].endswith(CLEANUP)]
    assert len(rows(world)) == len(NAMES)
