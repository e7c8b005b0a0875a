"""Before a learner is called retired the row is read once more: an answer in the LMS' place may have been a lie."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.reconcile import reconcile
from retirement.pipeline.endings import Report
from retirement.reports import exit_code, findings_code
from retirement.site import Site

from .batches import retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
RETIRE, MISC = "/api/user/v1/accounts/retire/", "/api/user/v1/accounts/retire_misc/"
MOVE = "/api/user/v1/accounts/update_retirement_status/"
STATUS = f"/api/user/v1/accounts/{USERNAME}/retirement_status/"


def lying(world: World, path: str, status: int = 204, state: str | None = None) -> None:
    """From now on something answers this route in the place of the LMS, which sees nothing of it."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method == "GET" or request.url.path != path:
            return await forward(request)
        if state and json.loads(request.content).get("new_state") != state:
            return await forward(request)
        return httpx.Response(status)

    world.around = around


async def found(site: Site, **options: Any) -> list[Finding]:
    return [each async for each in reconcile(site, **options)]


async def one_run(world: World, site: Site) -> Report:
    return await retire(site, await world.learner(site, USERNAME))


async def ending_of(world: World) -> tuple[str | None, bool]:
    """What the ledger says of the learner: the ending, and whether they count as retired."""
    record = await world.ledger.learners.newest(world.user_ids[USERNAME])
    assert record is not None
    return record.ending, record.retired_at is not None


async def test_an_account_step_that_did_nothing_is_unproved(world: World) -> None:
    """204 and an account under its own name: not retired, exit code 1, and the row stays as it is."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    lying(world, RETIRE)

    report = await one_run(world, site)

    assert (report.ending, exit_code([report]), world.state(USERNAME)) == (Ending.UNPROVED, 1, "COMPLETE")
    assert "does not have the retired username" in report.reason
    assert await ending_of(world) == ("unproved", False)
    assert (await one_run(world, site)).ending is Ending.UNPROVED


async def test_a_last_move_that_did_nothing_is_unproved(world: World) -> None:
    """204, and the row is still in the last end state; the next run moves it."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    lying(world, MOVE, state="COMPLETE")

    report = await one_run(world, site)

    assert (report.ending, world.state(USERNAME)) == (Ending.UNPROVED, "LMS_COMPLETE")
    assert "LMS_COMPLETE, not in COMPLETE" in report.reason
    assert await ending_of(world) == ("unproved", False)
    world.around = None
    assert (await one_run(world, site)).ending is Ending.RETIRED


async def test_moves_that_all_did_nothing_retire_no_learner(world: World) -> None:
    """The guards of the LMS refuse the first step then, or the row says so at the end."""
    world.seed(holder(), states=LINE.lms_states)
    lying(world, MOVE)

    report = await one_run(world, world.site(LINE))

    assert (report.ending is Ending.RETIRED, world.state(USERNAME)) == (False, "PENDING")
    assert (await ending_of(world))[1] is False


@pytest.mark.sweep
@pytest.mark.parametrize("path", [RETIRE, MISC, MOVE])
@pytest.mark.parametrize("status", [200, 201, 202, 205])
async def test_an_empty_answer_of_another_status_retires_no_learner(world: World, path: str, status: int) -> None:
    """A firewall's challenge is one: the contract knows 204 and nothing else."""
    world.seed(holder(), states=LINE.lms_states)
    lying(world, path, status)

    report = await one_run(world, world.site(LINE))

    assert (report.ending is Ending.RETIRED, exit_code([report])) == (False, 1)
    assert (await ending_of(world))[1] is False


async def test_a_row_that_cannot_be_read_again_is_unproved_until_it_can(world: World) -> None:
    """The LMS goes down after the last move: the reconciler reads the row and closes the matter."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    reads = 0

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        nonlocal reads
        reads += request.url.path == STATUS
        return httpx.Response(503) if request.url.path == STATUS and reads > 1 else await forward(request)

    learner = await world.learner(site, USERNAME)
    world.around = around
    report = await retire(site, learner)
    world.around = None

    assert (report.ending, world.state(USERNAME)) == (Ending.UNPROVED, "COMPLETE")
    assert "could not be read again" in report.reason
    (shown,) = await found(site, dry_run=True)
    assert (shown.verdict, await ending_of(world)) == (Verdict.CLOSED, ("unproved", False))
    (closed,) = await found(site)
    assert (closed.verdict, await ending_of(world)) == (Verdict.CLOSED, ("retired", True))
    assert await found(site) == []


async def test_the_reconciler_names_who_is_unproved_and_moves_nothing(world: World) -> None:
    """Every time, with what helps; a row that an operator sets to PENDING is erased once more."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    lying(world, RETIRE)
    await one_run(world, site)
    world.around = None

    for _ in range(2):
        (named,) = await found(site)
        assert (named.verdict, named.state, findings_code([named])) == (Verdict.UNPROVED, "COMPLETE", 1)
        assert "set the row to PENDING" in named.text
    assert await found(site, user_id=4711) == []
    await world.force(USERNAME, "PENDING")
    report = await one_run(world, site)
    assert (report.ending, world.sandbox.residue(USERNAME)) == (Ending.RETIRED, [])
    assert await found(site) == []


async def test_a_dead_run_whose_row_lies_is_not_closed_as_retired(world: World) -> None:
    """COMPLETE alone proves nothing where the account has its own name."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    await world.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=LINE.digest)
    await world.force(USERNAME, "COMPLETE")
    world.calendar.pass_by(minutes=10)

    await found(site)

    assert await ending_of(world) == ("unproved", False)


async def test_a_pipeline_without_the_account_step_asks_for_the_state_alone(world: World) -> None:
    """Nothing renames the account there."""
    short = type(LINE)(LINE.steps[:3])
    world.seed(holder(), states=short.lms_states)

    assert (await one_run(world, world.site(short))).ending is Ending.RETIRED
