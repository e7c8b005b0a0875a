"""What comes between the archive's look and its request, and answers that lie."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from retirement import archive as archives
from retirement.errors import Interrupted, LeaseLost, Misconfigured, Transient
from retirement.forgetting import Archived, What
from retirement.ledger import ARCHIVE_ASKED, ARCHIVE_CLEARED, Forgetting, Lease
from retirement.site import Site

from .archiving import CLEANUP, NAMES, TOLD, archived, certificate, retired, rows, sent, whats
from .doubles import USERNAME, Forward, World

pytestmark = pytest.mark.anyio

LISTING = "/retirements_by_status_and_date/"


def rewritten(world: World, path: str, change: Any) -> None:
    """Changes what the LMS lists there, once it has listed anybody."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if not request.url.path.endswith(path):
            return answer
        listed = httpx.Response(200, content=await answer.aread()).json()
        return httpx.Response(200, json=change(listed) if listed else listed)

    world.around = around


def held(world: World, site: Site, **on: Any) -> Any:
    until = world.calendar().date() + timedelta(days=9)
    whom = {"user_id": None, "org": None, "service": None} | on
    return site.ledger.add_hold(**whom, basis="lawsuit", until=until, by="dpo")


@pytest.mark.parametrize("on", ["user_id", "org"])
async def test_a_hold_that_is_placed_after_the_look_counts(world: World, on: str) -> None:
    """It is looked for once more in the transaction of the intent; one on an organisation counts until it is asked."""
    site = await retired(world, *NAMES)
    cy = world.user_ids["cy"]
    asked = site.ledger.archive_asked

    async def late(lease: Lease, meant: Sequence[Forgetting]) -> Any:
        await held(world, site, **({"user_id": cy} if on == "user_id" else {"org": "OrgZ"}))
        return await asked(lease, meant)

    site.ledger.archive_asked = late  # type: ignore[method-assign]  # the moment between two transactions
    found = {each.user_id: each.what for each in await archived(site)}

    kept = {cy} if on == "user_id" else set(world.user_ids.values())
    assert {user_id for user_id, what in found.items() if what is What.HELD} == kept
    assert len(rows(world)) == len(kept)


async def test_an_intent_needs_the_lease(world: World) -> None:
    """Whoever was overtaken names nobody."""
    site = await retired(world, USERNAME)
    ana = await world.learner(site, USERNAME)
    lease = await site.ledger.lease("archive", what="the archive")
    world.calendar.pass_by(hours=1)
    intent = Forgetting(ana.user_id, ana.retirement_id, ana.requested_at.date(), None, None)

    with pytest.raises(LeaseLost):
        await site.ledger.archive_asked(lease, [intent])
    assert await site.ledger.archive_open() == {}


async def test_an_empty_answer_of_somebody_else_is_no_proof(world: World) -> None:
    """A proxy says 200 and nothing more; the LMS was never asked."""
    site = await retired(world, *NAMES)

    async def proxy(request: httpx.Request, forward: Forward) -> httpx.Response:
        return httpx.Response(200) if request.url.path.endswith(CLEANUP) else await forward(request)

    world.around = proxy

    assert whats(await archived(site)) == [What.UNANSWERED] * len(NAMES)
    assert await site.ledger.events(kind=ARCHIVE_CLEARED) == []


async def test_whoever_cannot_be_read_is_not_called_forgotten(world: World) -> None:
    """Their row is there, and odd; an earlier run had named them."""
    site = await retired(world, *NAMES)
    world.sandbox.arm([{"path": CLEANUP, "method": "POST", "drop": True}])
    await archived(site)
    rewritten(world, LISTING, lambda listed: [{**row, "modified": None} for row in listed])

    found = await archived(site)

    assert whats(found) == [What.KEPT] * len(NAMES)
    assert {"those in COMPLETE cannot be read" in each.text for each in found} == {True}
    assert await site.ledger.events(kind=ARCHIVE_CLEARED) == []
    assert await archived(site, user_id=world.user_ids["bo"]) == []
    world.around = None
    assert whats(await archived(site)) == [What.CLEARED] * len(NAMES)


async def test_who_was_restored_and_is_named_again_is_open_again(world: World) -> None:
    """The last thing that happened counts, in the ledger and on the certificate."""
    site = await retired(world, USERNAME)
    ana = await world.learner(site, USERNAME)
    await archived(site)
    first = (await certificate(site, ana.user_id))["forgotten"]
    lease = await site.ledger.lease("archive", what="the archive")
    intent = Forgetting(ana.user_id, ana.retirement_id, ana.requested_at.date(), None, TOLD.facts)
    world.calendar.pass_by(seconds=1)
    await site.ledger.archive_asked(lease, [intent])
    await site.ledger.release(lease)

    asked = (await certificate(site, ana.user_id))["forgotten"]
    assert await site.ledger.archive_open() == {(ana.user_id, ana.retirement_id): ana.requested_at.date()}
    (found,) = await archived(site)
    second = (await certificate(site, ana.user_id))["forgotten"]

    assert found == Archived(ana.user_id, What.CLEARED, "an earlier run had asked for it")
    assert (first["by"], asked, second["by"]) == (None, None, TOLD.by)
    assert second["at"] > first["at"]


async def test_what_is_open_is_settled_whatever_the_days(world: World) -> None:
    """Somebody who was forgotten early, by `--days 0`, and whose run died."""
    site = await retired(world, USERNAME, days=1)
    cut = {"path": CLEANUP, "method": "POST", "after": True, "drop": True}
    world.sandbox.arm([cut, {"path": "/retirement_status/", "status": 503, "times": 99}])
    assert whats(await archived(site, days=0)) == [What.UNANSWERED]
    world.sandbox.arm([])

    assert rows(world) == set()
    assert whats(await archived(site, dry_run=True)) == []
    assert whats(await archived(site, days=30)) == [What.CLEARED]


async def test_a_limit_counts_whom_the_lms_has_forgotten(world: World) -> None:
    """One who is refused each night does not stand in the way of all others."""
    site = await retired(world, *NAMES)

    async def refusing(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP) and USERNAME.encode() in request.content:
            return httpx.Response(400, json="Not all usernames exist in the COMPLETE state.")
        return await forward(request)

    world.around = refusing

    assert sorted(whats(await archived(site, limit=2))) == [What.CLEARED, What.CLEARED, What.REFUSED]
    assert len(rows(world)) == len(NAMES) - 2


async def test_a_span_that_the_lms_cannot_list_is_halved(world: World) -> None:
    """Down to the day, which is named; everybody else's turn comes."""
    site = await retired(world, *NAMES)
    (day,) = {each.requested_at.date() for each in await site.lms.queue(["COMPLETE"], 0)}
    spans: list[tuple[str, str]] = []

    async def slow(request: httpx.Request, forward: Forward) -> httpx.Response:
        first, last = (request.url.params.get(name, "") for name in ("start_date", "end_date"))
        if request.url.path.endswith(LISTING):
            spans.append((first, last))
            if first <= day.isoformat() <= last and first != last:
                return httpx.Response(504)
        return await forward(request)

    world.around = slow
    assert whats(await archived(site, dry_run=True)) == [What.WOULD_CLEAR] * len(NAMES)
    assert (day.isoformat(), day.isoformat()) in spans

    async def broken(request: httpx.Request, forward: Forward) -> httpx.Response:
        span = (request.url.params.get("start_date", ""), request.url.params.get("end_date", ""))
        lists = request.url.path.endswith(LISTING)
        return httpx.Response(504) if lists and span[0] <= day.isoformat() <= span[1] else await forward(request)

    world.around = broken
    (found,) = await archived(site)
    assert (found.user_id, found.what) == (None, What.UNANSWERED)
    assert f"requests of {day} could not be listed" in found.text


async def test_an_lms_that_is_down_ends_the_run(world: World) -> None:
    """It is not asked for every day since the beginning."""
    site = await retired(world, USERNAME)
    world.sandbox.arm([{"path": LISTING, "status": 504, "times": 9_999}])
    before = len(world.sandbox.requests)

    with pytest.raises(Transient):
        await archived(site)

    asked = sum(each["path"].endswith(LISTING) for each in world.sandbox.requests[before:])
    assert asked == archives.LOST_IN_A_ROW * site.connectors["LMS"].api.retry.attempts


@pytest.mark.parametrize(("days", "ends"), [(-2, "raises"), (2, "raises"), (-0.9, "nobody"), (0.9, "cleared")])
async def test_the_earlier_of_two_clocks_counts(world: World, days: float, ends: str) -> None:
    """The rows have the time of the LMS; a clock that is days off is nobody's to guess about."""
    site = await retired(world, USERNAME, days=30.5)

    async def dated(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        answer.headers["date"] = format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True)
        return answer

    world.around = dated
    if ends == "raises":
        with pytest.raises(Misconfigured, match=r"its Date header is [12] days from our time"):
            await archived(site)
    else:
        assert whats(await archived(site)) == ([What.CLEARED] if ends == "cleared" else [])


async def test_a_run_that_is_told_to_stop_ends_between_two_requests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is ended and said; the rest is the next run's."""
    monkeypatch.setattr(archives, "AT_ONCE", 2)
    site = await retired(world, *NAMES)

    async def stopping(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(CLEANUP):
            site.stop.set(Interrupted("the run was told to stop"))
        return await forward(request)

    world.around = stopping
    found: list[Archived] = []
    with pytest.raises(Interrupted):
        await archives.archive(site, archives.Choice(30), found.append)

    assert whats(found) == [What.CLEARED] * 2
    assert (len(rows(world)), sent(world), len(await site.ledger.events(kind=ARCHIVE_ASKED))) == (3, 1, 2)
