"""Steps that no run has proved are counted and named: at the end of a run, and in what `status` reads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retirement.errors import Ending
from retirement.reports import summary
from retirement.site.vouched import without_proof

from .doubles import World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
FIRST, SECOND, THIRD = LINE.working_states[:3]


@pytest.mark.parametrize(
    ("state", "taken"),
    [("ENROLLMENTS_COMPLETE", [FIRST]), ("NOTES_COMPLETE", [FIRST, SECOND, THIRD]), ("PENDING", [])],
)
async def test_steps_of_another_driver_are_named(world: World, state: str, taken: list[str]) -> None:
    """It left the row there; the run goes on from there, and says so."""
    world.seed(holder("bo", state=state), holder("cy", state=state), states=LINE.lms_states)
    site = world.site(LINE)

    reports = [await world.retire(site, name) for name in ("bo", "cy")]

    told = ", ".join(f"{step} of 2 learners" for step in taken)
    said = f"; taken as done from where the row stood, without proof: {told}" if taken else ""
    assert summary(reports) == f"2 retired{said}"
    assert await without_proof(site) == {step: sorted(world.user_ids.values()) for step in taken}


async def test_steps_that_an_operator_moved_the_row_over_are_named(world: World) -> None:
    """Those before them are proved by the run that did them."""
    world.seed(holder("bo"), states=LINE.lms_states)
    world.sandbox.arm([{"path": "retire_forum", "status": 503, "times": 99}])
    site = world.site(LINE)
    assert (await world.retire(site, "bo")).ending is Ending.PARKED
    assert await without_proof(site) == {}
    world.sandbox.arm([])
    await world.force("bo", "NOTES_COMPLETE")

    report = await world.retire(site, "bo")

    assert (report.ending, report.without_proof) == (Ending.RETIRED, [SECOND, THIRD])
    assert [step.result for step in report.steps[:3]] == ["skipped", "without-proof", "without-proof"]
    assert "FORUMS of 1 learner, RETIRING_NOTES of 1 learner" in summary([report])
    assert await without_proof(site) == {step: [world.user_ids["bo"]] for step in (SECOND, THIRD)}


async def test_what_is_older_or_of_another_pipeline_is_left_to_the_certificate(world: World) -> None:
    """A site of many years is not read as a whole at each look."""
    world.seed(holder("bo", state="ENROLLMENTS_COMPLETE"), states=LINE.lms_states)
    site = world.site(LINE)
    await world.retire(site, "bo")

    assert await without_proof(world.site(shipped("dag"))) == {}
    world.calendar.now += timedelta(days=31)
    assert await without_proof(site) == {}
