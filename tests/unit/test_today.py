"""The page of the day: who waits and how long, what services did, what a person has to do; names nobody."""

from __future__ import annotations

import pytest

from retirement.errors import Ending
from retirement.followup.today import today

from .doubles import USERNAME, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")


async def test_the_page_counts_who_waits_and_says_what_to_do(world: World) -> None:
    """One is errored, one overdue, one waits; a service is down by hand, and a schedule is paused."""
    people = [holder(requested_days_ago=10), holder("bo", requested_days_ago=40), holder("cy", requested_days_ago=1)]
    world.seed(*people, states=LINE.lms_states)
    site = world.site(LINE)
    world.sandbox.arm([{"service": "lms", "path": "retire_forum", "status": 400}])
    assert (await world.retire(site, USERNAME)).ending is Ending.ERRORED
    await world.ledger.breakers.open("CREDENTIALS", reason="a | sign, and <b>", by="ops")
    await world.ledger.pauses.pause("queue", reason="an upgrade", by="ops")

    page = await today(site)
    text = page.markdown(["retire-queue/queue-here: 0 4 * * * UTC, next 2026-03-01T04:00:00+00:00"])

    assert page.states == {"ERRORED": 1, "PENDING": 2}
    assert (page.errored, page.overdue) == ((world.user_ids[USERNAME],), (world.user_ids["bo"],))
    assert page.slack == {"overdue": 1, "at most 30": 2}
    assert {"LMS": {"erased": 1, "Refused": 1}} == {name: dict(counts) for name, counts in page.services.items()}
    assert [each.split()[1] for each in page.to_do[:2]] == ["ERRORED:", "overdue:"]
    assert any("CREDENTIALS is not called since" in each for each in page.to_do)
    assert any("the schedule queue is paused since" in each for each in page.to_do)
    assert "a \\| sign, and \\<b\\>" in text
    assert "![Learners by days left: overdue: 1, at most 30: 2](data:image/svg+xml" in text
    assert "![Attempts by service, those that failed last: LMS: 1 + 1](" in text
    assert names_nobody(f"{text}{page.document}")


async def test_an_empty_site_has_an_empty_page(world: World) -> None:
    """Nothing is late, and nothing waits for a person."""
    world.seed(states=LINE.lms_states)

    page = await today(world.site(LINE))

    assert (page.to_do, page.oldest, dict(page.slack)) == ((), None, {})
    assert "## What waits for a person\n\n- nothing\n" in page.markdown()
