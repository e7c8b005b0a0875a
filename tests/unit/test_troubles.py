"""What the page of the day and the watchdog make of a trouble: from which threshold on, and in which words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retirement.config import ChannelSettings, Occasion
from retirement.flows.kit.troubles import of_schedules, of_today
from retirement.reports.today import Today, today

from .doubles import World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")


def channel(**changes: object) -> ChannelSettings:
    return ChannelSettings.model_validate({"name": "oncall", "block": "slack-webhook/oncall", **changes})


async def page_of(world: World) -> Today:
    """One learner is overdue, one has twenty days, one is held; a service is down by hand."""
    people = [
        holder("bo", requested_days_ago=40),
        holder("cy", requested_days_ago=10),
        holder("di", requested_days_ago=50),
    ]
    world.seed(*people, states=LINE.lms_states)
    await world.ledger.breakers.open("CREDENTIALS", reason="ask ana", by="ana")
    until = (world.ledger.now() + timedelta(days=9)).date()
    held = world.user_ids["di"]
    await world.ledger.holds.add(user_id=held, org=None, service=None, basis="a court", until=until, by="legal")
    return await today(world.site(LINE), cool_off_days=7, per_run=200)


async def test_a_learner_is_at_risk_from_the_days_on_that_a_channel_says(world: World) -> None:
    """A hold on the learner is no risk; each threshold is a trouble of its own, with its own words."""
    page = await page_of(world)
    bo, cy = world.user_ids["bo"], world.user_ids["cy"]

    found = of_today(page, [channel(on=["deadline"]), channel(on=["deadline"], deadline_days=25)])

    assert [(each.threshold, each.text) for each in found] == [
        (3, f"Learners with at most 3 days left to their deadline: 1. User ids: {bo}."),
        (25, f"Learners with at most 25 days left to their deadline: 2. User ids: {bo}, {cy}."),
    ]
    assert {each.subject for each in found} == {"deadline"}


async def test_a_breaker_is_told_after_its_hours_and_as_one_outage(world: World) -> None:
    """With the service and the time; neither the reason nor the name of who opened it."""
    page = await page_of(world)

    assert of_today(page, [channel(on=["breaker"], breaker_hours=1)]) == []
    (found,) = of_today(page, [channel(on=["breaker"], breaker_hours=0)])

    assert found.text.startswith("CREDENTIALS is not called since 20")
    assert found.subject.startswith("breaker.CREDENTIALS.20")
    assert "ana" not in f"{found}{found.event}"


async def test_without_a_channel_that_wants_it_nothing_is_told(world: World) -> None:
    """And a page without troubles has none."""
    page = await page_of(world)
    assert of_today(page, []) == []
    assert of_today(page, [channel(on=["failed", "receipt"])]) == []
    assert names_nobody(str(of_today(page, [channel()])))


async def test_a_silent_schedule_is_told_after_its_minutes(world: World) -> None:
    """By the name of its deployment; another silence is another trouble."""
    now = world.ledger.now()
    silent = {
        "retire-queue/queue-here": (now - timedelta(minutes=11), "retire-queue/queue-here: no next run is planned")
    }
    channels = [channel(), channel(schedule_minutes=5), channel(on=["failed"], schedule_minutes=1)]

    assert [each.threshold for each in of_schedules(silent, now, channels)] == [5, 10]
    assert [each.threshold for each in of_schedules(silent, now - timedelta(minutes=2), channels)] == [5]
    (first, _) = of_schedules(silent, now, channels)
    assert first.occasion is Occasion.SCHEDULE
    assert first.text == "Scheduled runs do not come. retire-queue/queue-here: no next run is planned."
