"""What a partner report says of learners who are not retired yet, and of those who were never queued."""

from __future__ import annotations

from pathlib import Path

import pytest

from retirement.partners import report as partners
from retirement.partners.destination import Destination, destination

from .batches import batch_of
from .doubles import World, holder
from .reporting import PIPELINE, WAITS, queued

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path) -> Destination:
    """Where the files go."""
    return destination(tmp_path, "https://campus.example/lms")


async def test_a_report_says_who_of_its_learners_is_not_retired_yet(world: World, place: Destination) -> None:
    """The row says it, where the ledger has nothing of a learner; and who was never queued is named too."""
    site = await queued(world)
    other = await world.learner(site, "cyn")

    delivery = await partners.deliver(site, batch_of(site), place)
    found = partners.document(delivery)

    assert delivery.not_retired == {world.user_ids["bo"]: f"the row is {WAITS}"}
    assert (delivery.never_queued, found["never_queued"]) == ([other.user_id], [other.user_id])
    assert "1 never queued, since the LMS has no organisation of them, 1 not retired yet" in found["summary"]
    assert found["errors"] == []


async def test_learners_of_another_driver_are_judged_by_their_rows(world: World, place: Destination) -> None:
    """COMPLETE is retired; a row that was deleted meanwhile is told as that."""
    states = {"ann": "COMPLETE", "ben": WAITS, "gil": "COMPLETE"}
    enrolled = [{"org": "OrgA", "active": True}]
    world.seed(*(holder(name, enrollments=enrolled) for name in states), states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    for name, state in states.items():
        learner = await world.learner(site, name)
        await world.force(name, "RETIRING_PARTNERS")
        await site.connectors["LMS"].perform("retirement_partner_queue", learner)
        await world.force(name, state)
    assert await site.lms.cleanup.delete(["gil"])

    delivery = await partners.deliver(site, batch_of(site), place)

    expected = {world.user_ids["ben"]: f"the row is {WAITS}", world.user_ids["gil"]: "the LMS has no row"}
    assert (delivery.learners, delivery.not_retired) == (3, expected)


async def test_a_row_that_others_made_complete_is_told_as_not_retired(world: World, place: Destination) -> None:
    """The account was never erased, and an operator set the row to COMPLETE."""
    site = await queued(world)
    await world.force("bo", "COMPLETE")

    delivery = await partners.deliver(site, batch_of(site), place)

    (why,) = delivery.not_retired.values()
    assert why == "the row is COMPLETE, and the account does not have the retired username"
