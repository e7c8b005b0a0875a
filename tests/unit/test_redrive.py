"""ERRORED learners are brought back: those who are meant, to what is proved, and never one whom somebody has."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.redrive import Choice, redrive
from retirement.pipeline import Pipeline
from retirement.site import Site

from .batches import retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")


async def fail_at(world: World, site: Site, username: str, path: str) -> None:
    """A run in which a service refuses this learner."""
    world.sandbox.arm([{"service": service, "path": path, "status": 409} for service in ("lms", "credentials")])
    assert (await world.retire(site, username)).ending is Ending.ERRORED
    world.sandbox.arm([])


async def found(site: Site, choice: Choice | None = None, *, limit: int = 99, dry_run: bool = False) -> list[Finding]:
    """What the redrive says."""
    return [each async for each in redrive(site, choice or Choice(), limit=limit, dry_run=dry_run)]


@pytest.mark.parametrize(
    ("pipeline", "path", "target"),
    [
        (LINE, "retire_forum", "ENROLLMENTS_COMPLETE"),
        (LINE, "unenroll", "PENDING"),
        (LINE, "retire_misc", "LICENSES_COMPLETE"),
        (DAG, "retire_forum", "ENROLLMENTS_COMPLETE"),
        (DAG, "replace_usernames", "PARTNER_QUEUE_COMPLETE"),
        (DAG, "accounts/retire/", "LMS_MISC_COMPLETE"),
    ],
)
async def test_a_learner_goes_back_to_what_is_proved(world: World, pipeline: Pipeline, path: str, target: str) -> None:
    """Not to the state before ERRORED, which is a working state; what is done is not done again."""
    world.seed(holder(), states=pipeline.lms_states)
    site = world.site(pipeline)
    await fail_at(world, site, USERNAME, path)
    assert world.state(USERNAME) == "ERRORED"

    (would,) = await found(site, dry_run=True)
    assert (would.verdict, would.target, world.state(USERNAME)) == (Verdict.WOULD_MOVE, target, "ERRORED")
    (moved,) = await found(site)

    assert (moved.verdict, moved.target, world.state(USERNAME)) == (Verdict.MOVED, target, target)
    assert await found(site) == []
    before = world.calls("license_manager")
    report = await world.retire(site, USERNAME)
    assert (report.ending, world.sandbox.residue(USERNAME)) == (Ending.RETIRED, [])
    assert world.calls("license_manager") <= max(before, 1)
    assert (await world.ledger.verify()).ok


async def test_those_who_are_meant_are_chosen(world: World) -> None:
    """By step, class of error, user id and time; without anything everybody."""
    world.seed(*(holder(name) for name in ("bo", "cy", "di")), states=LINE.lms_states)
    site = world.site(LINE)
    await fail_at(world, site, "bo", "retire_forum")
    await fail_at(world, site, "cy", "replace_usernames")
    await world.force("di", "ERRORED")
    names = {number: name for name, number in world.user_ids.items()}

    async def chosen(**filters: object) -> set[str]:
        choice = Choice(**filters)  # type: ignore[arg-type]  # whatever a case below gives
        return {names[each.user_id] for each in await found(site, choice, dry_run=True)}

    assert await chosen() == {"bo", "cy", "di"}
    assert await chosen(step="RETIRING_FORUMS") == {"bo"}
    assert await chosen(step="RETIRING_CREDENTIALS", error="Refused") == {"cy"}
    assert await chosen(error="Refused") == {"bo", "cy"}
    assert await chosen(error="Transient") == set()
    assert await chosen(user_id=world.user_ids["di"]) == {"di"}
    assert await chosen(since=world.calendar.now - timedelta(hours=1)) == {"bo", "cy", "di"}
    assert await chosen(since=world.calendar.now + timedelta(hours=1)) == set()


async def test_no_more_are_brought_back_than_asked_for(world: World) -> None:
    """The oldest requests first."""
    world.seed(*(holder(f"n-{n}") for n in range(5)), states=LINE.lms_states)
    site = world.site(LINE)
    for n in range(5):
        await world.force(f"n-{n}", "ERRORED")

    assert len(await found(site, limit=2)) == 2
    assert [world.state(f"n-{n}") for n in range(5)].count("ERRORED") == 3
    assert len(await found(site)) == 3


async def test_a_state_that_the_pipeline_does_not_know_proves_nothing(world: World) -> None:
    """The learner stays ERRORED, and the operator is told why."""
    world.seed(holder(), states=["PENDING", "LOCKING", *LINE.lms_states[1:]])
    site = world.site(LINE)
    await world.force(USERNAME, "LOCKING")
    await world.force(USERNAME, "ERRORED")

    for dry_run in (True, False):
        (left,) = await found(site, dry_run=dry_run)
        assert (left.verdict, left.target, world.state(USERNAME)) == (Verdict.LEFT, None, "ERRORED")
        assert f"`retirement reconcile --adopt --user-id {left.user_id}`" in left.text
    assert await world.ledger.leases.live() == {}


async def test_a_learner_who_is_redriven_while_a_run_begins_is_begun_once(world: World) -> None:
    """The run that has the lease reads the row after it; the one without it changes nothing."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await fail_at(world, site, USERNAME, "retire_forum")
    learner = await world.learner(site, USERNAME)
    findings: list[Finding] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "retirement_status" in request.url.path and not findings:
            world.around = None
            findings.extend(await found(site))
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert [each.verdict for each in findings] == [Verdict.BUSY]
    assert (report.ending, world.state(USERNAME)) == (Ending.BUSY_ELSEWHERE, "ERRORED")


async def test_a_run_that_begins_while_a_learner_is_redriven_leaves_them_alone(world: World) -> None:
    """The other way round."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await fail_at(world, site, USERNAME, "retire_forum")
    learner = await world.learner(site, USERNAME)
    endings: list[Ending] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method == "PATCH":
            endings.append((await retire(site, learner)).ending)
        return await forward(request)

    world.around = around
    (moved,) = await found(site)
    world.around = None

    assert (moved.verdict, endings) == (Verdict.MOVED, [Ending.BUSY_ELSEWHERE])
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED


async def test_a_move_that_fails_leaves_the_learner_errored(world: World) -> None:
    """The next redrive tries again."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await fail_at(world, site, USERNAME, "retire_forum")
    world.sandbox.arm([{"path": "update_retirement_status", "status": 503, "times": 4}])

    assert [each.verdict for each in await found(site)] == [Verdict.FAILED]
    assert world.state(USERNAME) == "ERRORED"
    assert [each.verdict for each in await found(site)] == [Verdict.MOVED]
