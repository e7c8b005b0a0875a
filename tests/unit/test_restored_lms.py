"""An LMS that came back from a backup: what was proved after it was made is done again, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.followup.redrive import Choice, redrive
from retirement.pipeline import ERRORED, PENDING, Pipeline, Step
from retirement.sandbox.world import schema
from retirement.site import Site

from .doubles import World, holder

pytestmark = pytest.mark.anyio

#: Three steps at a time: one that fails leaves the row where it was, whatever the others have proved.
GRAPH = Pipeline(
    (
        Step("RETIRING_CREDENTIALS", "CREDENTIALS_COMPLETE", "CREDENTIALS", "replace_usernames", ()),
        Step("RETIRING_MISC", "MISC_COMPLETE", "LMS", "retirement_lms_retire_misc", ()),
        Step("RETIRING_COURSES", "COURSES_COMPLETE", "LMS", "retirement_unenroll", ()),
        Step(
            "RETIRING_LMS",
            "LMS_COMPLETE",
            "LMS",
            "retirement_lms_retire",
            ("RETIRING_CREDENTIALS", "RETIRING_COURSES", "RETIRING_MISC"),
        ),
    )
)

CREDENTIALS, COURSES = ("credentials", "replace_usernames"), ("lms", "unenroll")


def backup(world: World) -> dict[str, Any]:
    """The row of the one learner as the LMS has it now."""
    with world.sandbox._platform.world.database.transaction() as db:
        table = schema.retirement
        columns = select(table.c.current_state, table.c.last_state, table.c.modified)
        return dict(db.execute(columns).mappings().one())


def restore(world: World, row: dict[str, Any]) -> None:
    """Puts the row back as it was."""
    with world.sandbox._platform.world.database.transaction() as db:
        db.execute(schema.retirement.update().values(row))


def failing(world: World, *calls: tuple[str, str], status: int) -> None:
    """These calls fail from now on, and all others work."""
    world.sandbox.arm([{"service": service, "path": path, "status": status, "times": 99} for service, path in calls])


async def results(world: World, site: Site) -> dict[str, str]:
    """What each step of the next run came to, for a run that retires the learner."""
    report = await world.retire(site, "bo")
    assert report.ending is Ending.RETIRED, report
    assert (await world.ledger.verify()).ok
    return {each.step.removeprefix("RETIRING_"): each.result for each in report.steps}


async def proved_twice(world: World, status: int) -> tuple[Site, dict[str, Any], dict[str, Any]]:
    """A learner of whom two runs have proved a step each; with the row as it was before them and between them."""
    world.seed(holder("bo"), states=GRAPH.lms_states)
    site = world.site(GRAPH)
    before = backup(world)
    failing(world, CREDENTIALS, COURSES, status=status)
    await world.retire(site, "bo")
    between = backup(world)
    if status != 503:
        assert [each.verdict async for each in redrive(site, Choice(), limit=1)] == [Verdict.MOVED]
    failing(world, CREDENTIALS, status=status)
    await world.retire(world.site(GRAPH), "bo")
    (record,) = await world.ledger.learners.find()
    assert set(record.finished) == {"RETIRING_MISC", "RETIRING_COURSES"}
    world.sandbox.arm([])
    return world.site(GRAPH), before, between


async def test_nothing_is_done_again_where_the_row_is_not_an_older_one(world: World) -> None:
    """The runs failed, and the next one goes on from what they have proved."""
    site, _, _ = await proved_twice(world, 503)

    assert await results(world, site) == {
        "CREDENTIALS": "erased",
        "MISC": "skipped",
        "COURSES": "skipped",
        "LMS": "erased",
    }


async def test_a_row_from_before_every_run_has_all_of_it_done_again(world: World) -> None:
    """The state is the same as before the restore: what tells is when the row had changed."""
    site, before, _ = await proved_twice(world, 503)
    restore(world, before)
    assert world.state("bo") == PENDING

    found = await results(world, site)

    assert (found["MISC"], found["COURSES"]) == ("erased", "absent")


async def test_what_was_proved_before_the_backup_still_counts(world: World) -> None:
    """It was made between two runs: the data that the first one erased is not back."""
    site, _, between = await proved_twice(world, 503)
    restore(world, between)

    found = await results(world, site)

    assert (found["MISC"], found["COURSES"]) == ("skipped", "absent")


async def test_an_errored_row_from_a_backup_goes_back_without_what_came_after(world: World) -> None:
    """The move back gives the row a new time, so it is told before that."""
    site, _, between = await proved_twice(world, 400)
    restore(world, between)
    assert world.state("bo") == ERRORED

    assert [each.verdict async for each in redrive(site, Choice(), limit=1, dry_run=True)] == [Verdict.WOULD_MOVE]
    assert [each.verdict async for each in redrive(site, Choice(), limit=1)] == [Verdict.MOVED]

    found = await results(world, site)
    assert (found["MISC"], found["COURSES"]) == ("skipped", "absent")


async def test_a_row_in_a_working_state_from_a_backup_goes_back_without_what_came_after(world: World) -> None:
    """It was made while a run of another driver had the learner, before ours."""
    site, before, _ = await proved_twice(world, 503)
    restore(world, before | {"current_state": backup_state(world, "RETIRING_CREDENTIALS")})

    assert [each.verdict async for each in reconcile(site)] == [Verdict.MOVED]

    found = await results(world, site)
    assert (found["MISC"], found["COURSES"]) == ("erased", "absent")


def backup_state(world: World, name: str) -> int:
    """The number that the LMS has for a state."""
    table = schema.retirement_state
    with world.sandbox._platform.world.database.transaction() as db:
        return int(db.execute(select(table.c.id).where(table.c.state_name == name)).scalar_one())
