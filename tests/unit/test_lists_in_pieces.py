"""Lists that are too long for one answer of the LMS: the same learners in pieces, and nothing that grows unasked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from retirement.errors import Transient
from retirement.lms.rows import Rows
from retirement.process import counted, waits
from retirement.site import Site

from .doubles import Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")
#: Days since the requests of those who wait; several of one day, and one long before the others.
AGES = (400, 90, 60, 60, 60, 40, 9, 8, 3, 3, 1)


@pytest.fixture
def site(world: World) -> Site:
    states = ("PENDING", "FORUMS_COMPLETE", "PENDING")
    waiting = [
        holder(f"w{number}", state=states[number % 3], requested_days_ago=age) for number, age in enumerate(AGES)
    ]
    retired = [holder(f"c{number}", state="COMPLETE", requested_days_ago=50 + number) for number in range(7)]
    world.seed(*waiting, *retired, states=PIPELINE.lms_states)
    return world.site(PIPELINE)


def rows(world: World, most: int) -> Rows:
    """The rows of the LMS, of which one answer has so many at most."""
    wiring, _ = world.wiring()
    return Rows(wiring.api("LMS", "http://lms.sandbox", auth=wiring.jwt), PIPELINE.lms_states, most=most)


@pytest.mark.parametrize("most", [1, 2, 3, 8, len(AGES), 100])
@pytest.mark.parametrize("cool_off_days", [0, 7])
async def test_a_long_list_has_the_same_learners_in_the_same_order(
    site: Site, world: World, most: int, cool_off_days: int
) -> None:
    """However few rows one answer has."""
    whole = (await site.lms.rows.queue(PIPELINE.queue_states, cool_off_days)).learners
    pieces = (await rows(world, most).queue(PIPELINE.queue_states, cool_off_days)).learners

    assert len(whole) == sum(age > cool_off_days for age in AGES)
    assert pieces == whole


async def test_a_list_that_fits_takes_one_request(site: Site, world: World) -> None:
    """As many as before there were pieces."""
    await site.lms.rows.require_states()
    before = len(world.sandbox.requests)
    await site.lms.rows.queue(PIPELINE.queue_states, 7)

    assert len(world.sandbox.requests) - before == 1


async def test_a_span_that_cannot_be_listed_is_halved(site: Site, world: World) -> None:
    """An LMS that looks up row by row is too slow for many of them."""
    spans: list[int] = []

    async def slow(request: httpx.Request, forward: Forward) -> httpx.Response:
        asked = request.url.params
        if "start_date" in asked:
            first, last = (datetime.fromisoformat(asked[name]) for name in ("start_date", "end_date"))
            spans.append((last - first).days + 1)
            if spans[-1] > 10:
                return httpx.Response(504)
        return await forward(request)

    world.around = slow
    today = datetime.now(UTC).date()
    found = [
        each.username
        async for page in rows(world, 100).by_days("COMPLETE", today - timedelta(days=60), today)
        for each in page.learners
    ]

    assert sorted(found) == [f"c{number}" for number in range(7)]
    assert max(spans) == 31
    assert spans[-1] <= 10


async def test_a_day_that_cannot_be_listed_ends_the_list(site: Site, world: World) -> None:
    """Learners are not left out without a word."""
    world.sandbox.arm([{"path": "retirements_by_status_and_date", "status": 504, "times": 999}])
    today = datetime.now(UTC).date()

    with pytest.raises(Transient):
        [page async for page in rows(world, 100).by_days("COMPLETE", today - timedelta(days=3), today)]


def test_long_work_says_how_far_it_is() -> None:
    """A command prints it every ten seconds, as it prints what it waits for."""
    with counted("receipts that were asked about", 300) as count:
        count.done = 120
        (said,) = [each.sentence for each in waits(longer_than=0)]

    assert said == "receipts that were asked about: 120 of 300"
    assert waits(longer_than=0) == []
