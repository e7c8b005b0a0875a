"""A step was added to the pipeline: it is done for exactly those who went through without it."""

from __future__ import annotations

import pytest

from retirement.errors import ConfigError, Ending
from retirement.followup.backfill import lacking
from retirement.followup.job import Asked, planned
from retirement.followup.move_back import Finding, Verdict
from retirement.pipeline import Pipeline, Step
from retirement.sandbox.world.schema import metadata
from retirement.site import Site

from .doubles import World, holder, line, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
LICENSES, MISC, COURSES = "RETIRING_LICENSES", "RETIRING_LMS_MISC", "RETIRING_ENROLLMENTS"
ASKED = Asked("dpo", "the license manager was forgotten")


def without(pipeline: Pipeline, name: str) -> Pipeline:
    """The pipeline as it was before the step was added."""
    steps = [step for step in pipeline if step.name != name]
    before = [()] + [(step.name,) for step in steps[:-1]]
    return Pipeline(
        tuple(
            Step(step.start, step.end, step.service, step.operation, after)
            for step, after in zip(steps, before, strict=True)
        )
    )


async def preview(site: Site, step: str | None) -> list[Finding]:
    return [each async for each in (await lacking(site, step)).preview()]


async def done(site: Site, step: str) -> list[Finding]:
    """A preview, and then what it shows."""
    job = await lacking(site, step)
    found = [each async for each in job.preview()]
    return [each async for each in job.do(found, ASKED)] if planned(found) else found


async def test_a_step_that_was_added_after_fifty_learners_is_done_for_these_fifty(world: World) -> None:
    """Not for one who went through with it, and not for one who waits."""
    fifty = [f"canary-{number}" for number in range(50)]
    world.seed(*(holder(name) for name in (*fifty, "with-canary", "waits-canary")), states=LINE.lms_states)
    world.sandbox._platform.world.authenticator.worker_is_staff = True
    await world.endings(world.site(without(LINE, LICENSES)), *fifty)
    site = world.site(LINE)
    assert (await world.retire(site, "with-canary")).ending is Ending.RETIRED
    assert sum(bool(world.sandbox.residue(name)) for name in fifty) == 50

    would = await preview(site, LICENSES)
    found = await done(site, LICENSES)

    ids = {world.user_ids[name] for name in fifty}
    assert {each.user_id for each in would} == {each.user_id for each in found} == ids
    assert {each.verdict.value for each in found} == {"erased"}
    assert [name for name in fifty if world.sandbox.residue(name)] == []
    assert await preview(site, LICENSES) == []
    assert await world.endings(site, "canary-0") == {"canary-0": Ending.RETIRED}
    assert (await world.ledger.verify()).ok


async def test_a_step_of_the_lms_is_done_in_its_working_state_and_the_row_goes_back(world: World) -> None:
    """The LMS refuses to erase anything of a learner in COMPLETE."""
    world.seed(holder("bo"), states=LINE.lms_states, worker_is_staff=True)
    await world.retire(world.site(without(LINE, MISC)), "bo")
    site = world.site(LINE)

    (found,) = await done(site, MISC)

    assert (found.verdict.value, world.state("bo")) == ("erased", "COMPLETE")
    assert world.sandbox.residue("bo") == []
    assert (await world.retire(site, "bo")).ending is Ending.RETIRED


async def test_a_step_of_the_lms_that_fails_leaves_the_row_where_it_was(world: World) -> None:
    """And the next run tries again."""
    world.seed(holder("bo"), states=LINE.lms_states, worker_is_staff=True)
    await world.retire(world.site(without(LINE, MISC)), "bo")
    site = world.site(LINE)
    world.sandbox.arm([{"path": "retire_misc", "status": 400}])

    (failed,) = await done(site, MISC)
    assert (failed.verdict.value, world.state("bo")) == ("failed", "COMPLETE")
    (found,) = await done(site, MISC)
    assert found.verdict.value == "erased"


async def test_a_step_that_finds_by_a_username_that_is_gone_is_out_of_reach(world: World) -> None:
    """It would find nothing and count as done: the learner would stay enrolled."""
    world.seed(holder("bo"), states=LINE.lms_states, worker_is_staff=True)
    await world.retire(world.site(without(LINE, COURSES)), "bo")

    (found,) = await preview(world.site(LINE), COURSES)

    assert found.verdict.value == "unreached"
    assert "LMS has the retired username by now, by which it finds nothing" in found.text


async def test_of_a_learner_whose_row_is_deleted_only_the_user_id_is_left(world: World) -> None:
    """Which is enough for some steps; of the others is said what would be needed."""
    short = line(("LMS", "LMS", "retirement_lms_retire"))
    proctoring = ("PROCTORING", "LMS", "retirement_retire_proctoring_data")
    licenses = ("LICENSES", "LICENSE_MANAGER", "retire_learner")
    whole = line(("LMS", "LMS", "retirement_lms_retire"), proctoring, licenses)
    world.seed(holder("bo"), states=whole.lms_states, worker_is_staff=True)
    await world.retire(world.site(short), "bo")
    site = world.site(whole)
    digest = await world.ledger.learners.by_username("bo")
    assert await site.lms.cleanup.delete(["bo"])

    (lost,) = await preview(site, "RETIRING_LICENSES")
    (found,) = await done(site, "RETIRING_PROCTORING")

    assert lost.verdict.value == "unreached"
    assert "the LMS has deleted who they were, and it takes username: only a backup of the LMS has that" in lost.text
    assert found.verdict.value == "erased"
    assert world.sandbox.state()["learners"]["bo"]["proctoring"] == [""]
    assert [each.user_id for each in await world.ledger.learners.by_username("bo")] == [digest[0].user_id]
    assert (await world.ledger.verify()).ok


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"date_joined": "2999-01-01T00:00:00Z"}, "another account has the user id by now"),
        ({"username": "bo"}, "the account has its own name again"),
    ],
)
async def test_a_user_id_that_is_no_retired_learners_any_more_is_for_a_person(
    world: World, changes: dict[str, str], text: str
) -> None:
    """An LMS that was restored gives the numbers of lost accounts to new ones, or has the old account again."""
    whole = line(("LMS", "LMS", "retirement_lms_retire"), ("PROCTORING", "LMS", "retirement_retire_proctoring_data"))
    world.seed(holder("bo"), states=whole.lms_states, worker_is_staff=True)
    await world.retire(world.site(line(("LMS", "LMS", "retirement_lms_retire"))), "bo")
    site, table = world.site(whole), metadata.tables["auth_user"]
    assert await site.lms.cleanup.delete(["bo"])
    with world.sandbox._platform.world.database.transaction() as db:
        db.execute(table.update().where(table.c.learner == world.user_ids["bo"]).values(**changes))
    job = await lacking(site, "RETIRING_PROCTORING")
    would = Finding(world.user_ids["bo"], Verdict.WOULD_ERASE, "", None, "")

    (found,) = [each async for each in job.preview()]
    (later,) = [each async for each in job.do([would], ASKED)]

    assert (found.verdict.value, text in found.text) == ("unreached", True)
    assert (later.verdict.value, text in later.text) == ("unreached", True)
    assert world.sandbox.state()["learners"]["bo"]["proctoring"] != [""]


async def test_an_unknown_step_is_one_line_and_none_is_nobody(world: World) -> None:
    """With the steps that there are."""
    world.seed(holder("bo"), states=LINE.lms_states)

    with pytest.raises(ConfigError, match=r"^--step: RETIRING_X is no step; steps are RETIRING_ENROLLMENTS, "):
        await lacking(world.site(LINE), "RETIRING_X", prefix="--")
    assert await preview(world.site(LINE), None) == []
