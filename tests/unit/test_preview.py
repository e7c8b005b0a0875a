"""What is shown of one learner before anything is called, and the rule of the cool-off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retirement.errors import GuardStopped
from retirement.retire.preview import let_through, preview

from .doubles import USERNAME, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
WEEK = timedelta(days=7)


async def test_the_preview_says_what_a_run_would_do_and_names_nobody(world: World) -> None:
    """Request, cool-off, state, holds and steps; no service is asked to erase anything."""
    world.seed(holder(requested_days_ago=1), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    until = (world.calendar.now + timedelta(days=90)).date()
    await world.ledger.holds.add(
        user_id=learner.user_id, org=None, service="CREDENTIALS", basis="a court", until=until, by="legal"
    )

    shown = await preview(site, site.batch(), learner, WEEK)

    text = "\n".join(shown.lines)
    assert (shown.state, len(shown.steps), shown.busy) == ("PENDING", len(LINE.steps), False)
    assert shown.cool_off_until == learner.requested_at + WEEK
    assert f"kept until {until} by hold 1 (CREDENTIALS)" in text
    assert "RETIRING_CREDENTIALS (CREDENTIALS: replace_usernames)" in text
    assert names_nobody(text)
    assert world.calls("credentials") == 0


async def test_steps_that_are_done_are_not_shown_and_the_cool_off_is_over_once_a_run_has_begun(world: World) -> None:
    """A row behind PENDING cannot be taken back any more."""
    world.seed(holder(requested_days_ago=1), states=LINE.lms_states)
    site = world.site(LINE)
    await world.force(USERNAME, "ENROLLMENTS_COMPLETE")
    learner = await world.learner(site, USERNAME)

    shown = await preview(site, site.batch(), learner, WEEK)

    assert (len(shown.steps), shown.cool_off_until) == (len(LINE.steps) - 1, None)
    await let_through(site, learner, WEEK, None)
    assert await world.ledger.events.find(kind="cool-off.cut") == []


async def test_a_learner_in_the_cool_off_needs_a_reason_which_the_ledger_keeps(world: World) -> None:
    """Without what would name the learner."""
    world.seed(holder(requested_days_ago=1), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)

    with pytest.raises(GuardStopped, match=f"the cool-off of learner {learner.user_id} is over on"):
        await let_through(site, learner, WEEK, None)
    await let_through(site, learner, WEEK, "an authority asks for it")
    await let_through(site, learner, WEEK, f"{USERNAME} asks for it")

    cuts = await world.ledger.events.find(kind="cool-off.cut")
    assert [each.user_id for each in cuts] == [learner.user_id] * 2
    assert [each.facts["reason"] for each in cuts] == ["an authority asks for it", "withheld: it named a learner"]
