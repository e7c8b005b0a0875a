"""Retirements that ended half way, by others or by the learner: they stay in sight, wherever the row is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.pipeline import ABORTED, COMPLETE, PENDING
from retirement.queue.out_of_reach import left_behind
from retirement.site.watch import watch

from .batches import retire
from .doubles import World, holder
from .test_begun_again import GRAPH
from .test_made_complete import EMAIL, LINE, refusing
from .test_rescinding import take_back

pytestmark = pytest.mark.anyio


async def test_a_row_that_was_aborted_half_way_is_named_after_its_last_run_too(world: World) -> None:
    """A run that says "rescinded" is no end where steps had ended; a hold says that it is meant to stay so."""
    world.seed(holder("bo", email=EMAIL), states=LINE.lms_states)
    world.around = refusing
    await world.retire(world.site(LINE), "bo")
    world.around = None
    await world.force("bo", ABORTED)
    assert (await world.retire(world.site(LINE), "bo")).ending is Ending.RESCINDED
    site = world.site(LINE)

    (unseen,) = (await watch(site)).unseen
    assert (unseen.state, "had ended" in unseen.text) == (ABORTED, True)
    assert [each.verdict async for each in reconcile(site)] == [Verdict.UNSEEN]
    world.calendar.pass_by(days=40)
    behind = await left_behind(site, site.batch(), await watch(site), ())
    assert len(behind) == 1, behind
    until = world.calendar().date() + timedelta(days=10)
    await site.ledger.holds.add(
        user_id=world.user_ids["bo"], org=None, service=None, basis="aborted on purpose", until=until, by="dpo"
    )
    assert await left_behind(site, site.batch(), await watch(site), ()) == []


async def test_a_request_that_was_taken_back_half_way_is_named(world: World) -> None:
    """Steps at the same time leave the row in PENDING, where the learner may take the request back."""
    world.seed(holder("bo", email=EMAIL), states=GRAPH.lms_states, worker_is_staff=True)
    world.around = refusing
    bo = await world.learner(world.site(GRAPH), "bo")
    assert (await world.retire(world.site(GRAPH), "bo")).ending is Ending.ERRORED
    await world.force("bo", PENDING)
    world.around = None
    assert await take_back(world, bo) == 200

    assert (await retire(world.site(GRAPH), bo)).ending is Ending.RESCINDED
    (unseen,) = (await watch(world.site(GRAPH))).unseen
    assert "half erased" in unseen.text


async def test_a_row_that_is_doubted_is_found_in_a_state_that_no_step_has(world: World) -> None:
    """The reconciler says where it is, and not that there is none."""
    states = [*LINE.lms_states[:1], "QUARANTINE", *LINE.lms_states[1:]]
    world.seed(holder("bo", email=EMAIL), states=states, worker_is_staff=True)
    world.around = refusing
    await world.retire(world.site(LINE), "bo")
    world.around = None
    await world.force("bo", COMPLETE)
    assert (await world.retire(world.site(LINE), "bo")).ending is Ending.UNPROVED
    await world.force("bo", "QUARANTINE")

    found = [each async for each in reconcile(world.site(LINE))]

    assert {each.state for each in found} == {"QUARANTINE"}, found
