"""Learners and steps that are under way together: what the failure of one does to the others."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from retirement.connectors.openedx import Forum
from retirement.errors import Ending, Misconfigured

from .batches import batch_of, retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")


async def test_a_failing_step_lets_its_siblings_end(world: World) -> None:
    """They are in the middle of an erasure; only then the row says ERRORED, and nothing new starts."""
    world.seed(holder(), states=DAG.lms_states)
    site = world.site(DAG)
    learner = await world.learner(site, USERNAME)
    calling, failed = asyncio.Event(), asyncio.Event()
    states: list[str] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/retire_forum/"):
            await calling.wait()
            failed.set()
            return httpx.Response(409, json={})
        if request.url.path.endswith("/replace_usernames/"):
            calling.set()
            await failed.wait()
            for _ in range(50):
                await asyncio.sleep(0)
            states.append(world.state(USERNAME))
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert (report.ending, states) == (Ending.ERRORED, ["RETIRING_FORUMS"])
    assert "RETIRING_CREDENTIALS" in {each.step for each in report.steps}
    assert "RETIRING_LMS_MISC" not in {each.step for each in report.steps}
    assert world.sandbox.state()["learners"][USERNAME]["credentials"]["full_name"] == ""


async def test_a_conflict_weighs_more_than_a_refusal(world: World) -> None:
    """A sibling is refused, then another finds the row taken by somebody else: nothing is written."""
    world.seed(holder(), states=DAG.lms_states)
    site = world.site(DAG)
    learner = await world.learner(site, USERNAME)
    calling, refused = asyncio.Event(), asyncio.Event()

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/retire_forum/"):
            await calling.wait()
            refused.set()
            return httpx.Response(409, json={})
        if request.url.path.endswith("/edxnotes/v1/retire_user/"):
            calling.set()
            await refused.wait()
            await world.force(USERNAME, "LICENSES_COMPLETE")
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert (report.ending, world.state(USERNAME)) == (Ending.BUSY_ELSEWHERE, "LICENSES_COMPLETE")


async def test_a_misconfigured_service_stops_the_others_between_steps(world: World) -> None:
    """They end the step they are in, and are given back to what is proved."""
    world.seed(holder("bo"), holder("cy"), holder("di"), states=LINE.lms_states)
    site = world.site(LINE)
    learners = (await site.lms.rows.queue(LINE.queue_states, 0)).learners
    waiting, stopped = asyncio.Semaphore(0), asyncio.Event()

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/retire_forum/"):
            if b'"bo"' in request.content:
                await waiting.acquire()
                await waiting.acquire()
                stopped.set()
                return httpx.Response(404, html="<p>off</p>")
            waiting.release()
            await stopped.wait()
            for _ in range(50):
                await asyncio.sleep(0)
        return await forward(request)

    world.around = around
    reports = await asyncio.gather(*(retire(site, learner) for learner in learners))

    assert {Ending.STOPPED} == {report.ending for report in reports}
    states = [world.state(username) for username in ("bo", "cy", "di")]
    assert states == ["ENROLLMENTS_COMPLETE", "FORUMS_COMPLETE", "FORUMS_COMPLETE"]
    assert isinstance(batch_of(site).stop.reason, Misconfigured)
    assert "404" in reports[1].reason


@pytest.mark.parametrize(("configured", "retired"), [(Forum.V2, 4), (Forum.AUTO, 1)])
async def test_old_forums_take_one_learner_at_a_time(world: World, configured: Forum, retired: int) -> None:
    """Told so, nobody collides; untold, those who collide are parked and the next runs finish them."""
    names = ["bo", "cy", "di", "ed"]
    world.seed(*(holder(name) for name in names), states=LINE.lms_states, forum="v2")
    site = world.site(LINE, forum=configured)
    endings: list[list[Ending]] = []
    for _ in range(4):
        learners = (await site.lms.rows.queue(LINE.queue_states, 0)).learners
        endings.append([each.ending for each in await asyncio.gather(*(retire(site, each) for each in learners))])

    assert endings[0].count(Ending.RETIRED) >= retired
    assert {Ending.RETIRED, Ending.PARKED} >= {ending for run in endings for ending in run}
    assert [world.state(name) for name in names] == ["COMPLETE"] * 4
    # An old forum renames the account, so the account step misses the consent (contract, section 4.16).
    left = {place["table"] for name in names for place in world.sandbox.residue(name)}
    assert left <= {"consent_datasharingconsent"}
