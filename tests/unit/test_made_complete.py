"""Rows that others made COMPLETE or ABORTED before our runs had proved every step: neither retired nor unseen."""

from __future__ import annotations

import httpx
import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.pipeline import ABORTED, COMPLETE
from retirement.site.address import was_erased
from retirement.site.by_name import Name, find
from retirement.site.watch import watch

from .batches import retire
from .doubles import Deadly, Forward, World, holder, line

pytestmark = pytest.mark.anyio

#: The account has its retired name before the last step, so its row alone shows nothing.
LINE = line(
    ("LMS_MISC", "LMS", "retirement_lms_retire_misc"),
    ("LMS", "LMS", "retirement_lms_retire"),
    ("CREDENTIALS", "CREDENTIALS", "replace_usernames"),
)
EMAIL = "bo@mail.example"


async def refusing(request: httpx.Request, forward: Forward) -> httpx.Response:
    """Credentials refuse the renaming."""
    if "replace_usernames" in request.url.path and request.method == "POST":
        return httpx.Response(400, json={"detail": "no"})
    return await forward(request)


@pytest.fixture
def half_done(world: World) -> World:
    world.seed(holder("bo", email=EMAIL), states=LINE.lms_states)
    return world


async def test_a_step_that_failed_is_not_done_because_the_row_was_set_complete(half_done: World) -> None:
    """An operator sets an ERRORED row to COMPLETE; the next run says what nobody proved."""
    world, site = half_done, half_done.site(LINE)
    world.around = refusing
    assert (await world.retire(site, "bo")).ending is Ending.ERRORED
    world.around = None
    await world.force("bo", COMPLETE)

    assert [each.state for each in (await watch(site)).unseen] == [COMPLETE]
    again = await world.retire(world.site(LINE), "bo")
    assert (again.ending, "no run has proved" in again.reason) == (Ending.UNPROVED, True)
    assert (await was_erased(site, EMAIL)).erased is False
    assert [each.verdict async for each in reconcile(world.site(LINE))] == [Verdict.UNPROVED]
    assert world.sandbox.residue("bo") != []


async def test_a_run_that_died_is_not_closed_as_retired_because_the_row_was_set_complete(half_done: World) -> None:
    """The reconciler closes it as unproved."""
    world, site = half_done, half_done.site(LINE)
    learner = await world.learner(site, "bo")
    assert not await world.outlives(Deadly(8, after=False), lambda: retire(site, learner))
    await world.force("bo", COMPLETE)
    world.calendar.pass_by(hours=3)

    assert [each.user_id async for each in reconcile(world.site(LINE))] != []
    assert (await was_erased(site, EMAIL)).erased is False
    (record,) = await world.ledger.learners.find()
    assert record.ending == Ending.UNPROVED


async def test_a_row_that_was_aborted_half_way_stays_in_sight(half_done: World) -> None:
    """Until a run has said how it ended."""
    world, site = half_done, half_done.site(LINE)
    world.around = refusing
    await world.retire(site, "bo")
    world.around = None
    await world.force("bo", ABORTED)

    (unseen,) = (await watch(site)).unseen
    assert (unseen.state, "had ended" in unseen.text) == (ABORTED, True)


async def test_what_another_driver_completed_is_no_erasure_of_ours(world: World) -> None:
    """The run says what the LMS says; nobody says yes for the address."""
    world.seed(holder("bo", email=EMAIL, state=COMPLETE, account_retired=True), states=LINE.lms_states)
    site = world.site(LINE)

    assert (await world.retire(site, "bo")).ending is Ending.RETIRED
    assert (await was_erased(site, EMAIL)).erased is None


async def test_a_run_that_died_after_its_last_step_is_retired_all_the_same(half_done: World) -> None:
    """Every step is proved; the row became COMPLETE by the run itself."""
    world, site = half_done, half_done.site(LINE)
    assert (await world.retire(site, "bo")).ending is Ending.RETIRED

    assert (await world.retire(world.site(LINE), "bo")).reason == "was COMPLETE already"
    assert (await was_erased(site, EMAIL)).erased is True
    assert (await watch(site)).unseen == ()


async def test_a_name_is_looked_for_among_complete_rows_as_well(world: World) -> None:
    """Letter case does not count, and a name that a waiting learner has is not the only one."""
    world.seed(
        holder("Dana", email="one@mail.example", state=COMPLETE),
        holder("dana2", email="two@mail.example"),
        states=LINE.lms_states,
    )

    assert await find(world.site(LINE), Name("username", "dana")) == world.user_ids["Dana"]
    assert await find(world.site(LINE), Name("username", "dana2")) == world.user_ids["dana2"]
