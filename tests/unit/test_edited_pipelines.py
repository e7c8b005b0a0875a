"""A step is written into the file while learners are beyond its place: none of them is retired without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.learner import Learner
from retirement.ledger import LedgerLocation, opened
from retirement.pipeline import Pipeline
from retirement.site import Site
from tests.ledgers import place_file

from .batches import retire
from .doubles import Deadly, World, holder, line

pytestmark = pytest.mark.anyio

ENROLLMENTS = ("ENROLLMENTS", "LMS", "retirement_unenroll")
NOTES = ("NOTES", "LMS", "retirement_retire_notes")
MISC = ("LMS_MISC", "LMS", "retirement_lms_retire_misc")
ACCOUNT = ("LMS", "LMS", "retirement_lms_retire")
PROCTORING = ("PROCTORING", "LMS", "retirement_retire_proctoring_data")
OLD, NEW = line(ENROLLMENTS, MISC, ACCOUNT), line(ENROLLMENTS, NOTES, MISC, ACCOUNT)
NEWEST = line(PROCTORING, ENROLLMENTS, NOTES, MISC, ACCOUNT)
NAME = "bo"
#: Of the services of these pipelines; no step of theirs erases credentials.
HOLDING = {"credentials": False, "licenses": [], "proctoring": 0, "forum": False}


async def beyond(world: World, pipeline: Pipeline = NEW, **holding: object) -> Learner:
    """A learner whom the old pipeline has brought to its last step, of an LMS that takes the new one too."""
    world.seed(holder(NAME, **HOLDING | holding), states=pipeline.lms_states)
    world.sandbox.arm([{"path": "accounts/retire/", "status": 503, "times": 99}])
    old = world.site(OLD)
    assert (await world.retire(old, NAME)).ending is Ending.PARKED
    world.sandbox.arm([])
    assert world.state(NAME) == "LMS_MISC_COMPLETE"
    return await world.learner(old, NAME)


async def began_only(world: World, site: Site, bo: Learner) -> None:
    """The run dies as soon as the ledger knows of it."""
    await world.ledger.learners.lease(bo, due_at=site.due_at(bo), pipeline=site.pipeline.digest)
    world.calendar.pass_by(minutes=10)


async def without_the_lms(world: World, site: Site, bo: Learner) -> None:
    """The row cannot be read."""
    world.sandbox.arm([{"path": "retirement_status", "status": 503, "times": 9}])
    assert (await retire(site, bo)).ending is Ending.PARKED


async def held(world: World, site: Site, bo: Learner) -> None:
    """A hold keeps the learner for a night."""
    until = (world.ledger.now() + timedelta(days=9)).date()
    hold = await world.ledger.holds.add(
        user_id=bo.user_id, org=None, service=None, basis="a court asked", until=until, by="legal"
    )
    assert (await retire(site, bo)).ending is Ending.HELD
    await world.ledger.holds.release(hold, by="legal", reason="the case is closed")


async def not_moved(world: World, site: Site, bo: Learner) -> None:
    """The LMS does not take the row back."""
    world.sandbox.arm([{"path": "update_retirement_status", "status": 503, "times": 9}])
    assert (await retire(site, bo)).ending is Ending.PARKED
    assert world.state(NAME) == "LMS_MISC_COMPLETE"


async def at_work_elsewhere(world: World, site: Site, bo: Learner) -> None:
    """The row stands in a working state, and the reconciler brings it back an hour later."""
    await world.force(NAME, "RETIRING_LMS")
    assert (await retire(site, bo)).ending is Ending.BUSY_ELSEWHERE
    world.calendar.pass_by(minutes=61)
    (moved,) = [each async for each in reconcile(site)]
    assert moved.verdict is Verdict.MOVED


@pytest.mark.parametrize(
    "interrupted",
    [began_only, without_the_lms, held, not_moved, at_work_elsewhere],
    ids=["died", "lms-away", "held", "not-moved-back", "working-state"],
)
async def test_a_new_step_is_not_taken_as_done_after_a_run_that_came_to_nothing(
    world: World, interrupted: Callable[[World, Site, Learner], Awaitable[None]]
) -> None:
    """The first run with the new pipeline ends before the row is in line with it; the second one does the step."""
    bo = await beyond(world)
    site = world.site(NEW)
    await interrupted(world, site, bo)
    world.sandbox.arm([])

    report = await world.retire(site, NAME)

    assert (report.ending, world.state(NAME)) == (Ending.RETIRED, "COMPLETE")
    assert world.sandbox.residue(NAME) == []
    assert (await world.ledger.verify()).ok


@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
async def test_a_run_that_dies_anywhere_on_its_way_to_the_new_step_leaves_it_to_the_next(
    world: World, tmp_path: Path, after: bool, every_nth: int, first: int
) -> None:
    """At each request and each transaction until the step's intent is in the ledger."""
    step = min(every_nth, 4)
    deaths, is_there = first % step - step + 1, False
    while not is_there:
        deaths += step
        place = LedgerLocation(f"sqlite:///{place_file(tmp_path / f'{deaths}.sqlite')}")
        async with opened(place, clock=world.calendar) as world.ledger:
            bo = await beyond(world)

        async def once(bo: Learner = bo) -> None:
            await retire(world.site(NEW), bo)

        assert not await world.outlives(Deadly(deaths, after), once, place)
        world.calendar.pass_by(minutes=10)
        async with opened(place, clock=world.calendar) as world.ledger:
            intents = await world.ledger.events.find(kind="step.intended")
            is_there = any(each.facts["step"] == "RETIRING_NOTES" for each in intents)
            site = world.site(NEW)
            assert not [each async for each in reconcile(site) if each.verdict in (Verdict.LEFT, Verdict.FAILED)]
            report = await world.retire(site, NAME)
            assert (report.ending, world.sandbox.residue(NAME)) == (Ending.RETIRED, []), f"died at {deaths}"

    assert deaths > 5


async def test_a_second_edit_before_the_first_was_followed_loses_no_step(world: World) -> None:
    """Two releases of the file in a row, and each night ended before the row was in line."""
    bo = await beyond(world, NEWEST, proctoring=1)
    for pipeline in (NEW, NEWEST):
        await began_only(world, world.site(pipeline), bo)

    report = await world.retire(world.site(NEWEST), NAME)

    assert (report.ending, world.sandbox.residue(NAME)) == (Ending.RETIRED, [])


async def test_an_edit_that_is_taken_back_takes_no_row_back(world: World) -> None:
    """The old file is there again before a run has followed the new one: what was done is not done again."""
    bo = await beyond(world)
    await began_only(world, world.site(NEW), bo)
    site = world.site(OLD)
    moves = len(await world.ledger.events.find(kind="learner.moved"))
    calls = world.calls("lms")

    assert (await world.retire(site, NAME)).ending is Ending.RETIRED

    assert len(await world.ledger.events.find(kind="learner.moved")) == moves
    assert world.calls("lms") == calls + 2, "a token and the account step"


async def test_a_row_is_taken_back_for_a_new_step_once(world: World) -> None:
    """After that it is in line, and a failing service parks the learner at that step and no earlier one."""
    await beyond(world)
    site = world.site(NEW)
    world.sandbox.arm([{"path": "edxnotes", "status": 503, "times": 99}])

    for _ in range(2):
        assert (await world.retire(site, NAME)).ending is Ending.PARKED

    moves = [each.facts["before"] for each in await world.ledger.events.find(kind="learner.moved")]
    assert (moves.count("LMS_MISC_COMPLETE"), world.state(NAME)) == (1, "ENROLLMENTS_COMPLETE")


async def test_steps_that_were_voided_do_not_make_a_row_that_of_another_driver(world: World) -> None:
    """An operator took the row back, a run voided all steps and died; then the file got a step before the row."""
    bo = await beyond(world, NEWEST, proctoring=1)
    await world.force(NAME, "ENROLLMENTS_COMPLETE")
    old = world.site(OLD)
    lease = await world.ledger.learners.lease(bo, due_at=old.due_at(bo), pipeline=OLD.digest)
    await lease.void(["RETIRING_ENROLLMENTS", "RETIRING_LMS_MISC"], "the LMS has the learner back")
    world.calendar.pass_by(minutes=10)

    report = await world.retire(world.site(NEWEST), NAME)

    assert (report.ending, world.sandbox.residue(NAME)) == (Ending.RETIRED, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("NOTES", "LMS", "retirement_retire_proctoring_data"), NOTES),
        (("NOTES", "LICENSE_MANAGER", "retire_learner"), NOTES),
        (NOTES, ("NOTES", "CREDENTIALS", "replace_usernames")),
    ],
    ids=["another-operation", "another-service", "away-from-the-lms"],
)
async def test_a_step_whose_states_are_used_for_another_call_is_done_anew(
    world: World, before: tuple[str, str, str], after: tuple[str, str, str]
) -> None:
    """Its name is its state, which the LMS has already, so sites keep it: what was proved is something else."""
    old, new = (line(ENROLLMENTS, step, MISC, ACCOUNT) for step in (before, after))
    held = {"LMS": {}, "CREDENTIALS": {"credentials": True, "notes": 0}}[after[1]]
    world.seed(holder(NAME, **HOLDING | held), states=new.lms_states)
    world.sandbox.arm([{"path": "accounts/retire/", "status": 503, "times": 99}])
    assert (await world.retire(world.site(old), NAME)).ending is Ending.PARKED
    world.sandbox.arm([])

    report = await world.retire(world.site(new), NAME)

    assert (report.ending, world.sandbox.residue(NAME)) == (Ending.RETIRED, [])
    (voided,) = await world.ledger.events.find(kind="steps.voided")
    assert "RETIRING_NOTES" in voided.facts["steps"]


async def test_a_step_that_is_called_as_before_is_not_done_again(world: World) -> None:
    """Where only the order or another step of the file changed."""
    await beyond(world, NEWEST, proctoring=1)
    calls = world.calls("lms")

    report = await world.retire(world.site(NEWEST), NAME)

    assert (report.ending, world.sandbox.residue(NAME)) == (Ending.RETIRED, [])
    assert await world.ledger.events.find(kind="steps.voided") == []
    assert world.calls("lms") == calls + 4, "a token, proctoring, notes and the account"
