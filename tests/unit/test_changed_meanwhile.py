"""What changes between two looks, and what is not what it says: requests, pipelines, holds, answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from retirement.errors import Ending, StateConflict
from retirement.followup.cancel import cancel
from retirement.learner import Learner
from retirement.pipeline import Pipeline, Step

from .batches import batch_of, retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")


async def test_a_request_that_was_made_anew_is_another_one(world: World) -> None:
    """It has a cool-off of its own, so the run that listed the old one calls nobody."""
    world.seed(holder("someone-else"), holder(), states=LINE.lms_states)
    site = world.site(LINE)
    listed = await world.learner(site, USERNAME)
    # Ids grow with the order of the seed: the same learner, another request.
    world.seed(holder("zoe"), holder("bo"), holder(), states=LINE.lms_states)
    again = await world.learner(site, USERNAME)
    assert again.retirement_id != listed.retirement_id
    before = len(world.sandbox.requests)

    report = await retire(site, _with_user_of(listed, again.user_id))

    assert (report.ending, world.state(USERNAME)) == (Ending.RESCINDED, "PENDING")
    assert {each["method"] for each in world.sandbox.requests[before:]} == {"GET"}


def _with_user_of(listed: Learner, user_id: int) -> Learner:
    return replace(listed, user_id=user_id)


async def test_a_step_that_is_new_in_the_pipeline_is_done_for_those_who_were_past_it(world: World) -> None:
    """Parked beyond the place where it was put in: the row goes back to before it, and nothing is left."""
    names = ("RETIRING_ENROLLMENTS", "RETIRING_NOTES", "RETIRING_LMS_MISC", "RETIRING_LMS")
    whole = _line(*names)
    short = _line(*(name for name in names if name != "RETIRING_NOTES"))
    world.seed(holder(credentials=False, licenses=[], proctoring=0, forum=False), states=LINE.lms_states)
    down = {"path": "/retire_misc/", "status": 503, "times": 99}
    world.sandbox.arm([down])
    assert (await world.retire(world.site(short), USERNAME)).ending is Ending.PARKED
    assert world.state(USERNAME) == "ENROLLMENTS_COMPLETE"
    await world.force(USERNAME, "LMS_MISC_COMPLETE")
    world.sandbox.arm([])

    report = await world.retire(world.site(whole), USERNAME)

    assert report.ending is Ending.RETIRED
    assert {each.step for each in report.steps if each.result != "skipped"} >= {"RETIRING_NOTES", "RETIRING_LMS_MISC"}
    assert world.sandbox.residue(USERNAME) == []


def _line(*names: str) -> Pipeline:
    steps: list[Step] = []
    for name in names:
        step = LINE.step(name)
        after = (steps[-1].name,) if steps else ()
        steps.append(Step(step.start, step.end, step.service, step.operation, after))
    return Pipeline(tuple(steps))


@pytest.mark.parametrize("service", [None, "CREDENTIALS"])
async def test_a_hold_that_is_placed_during_a_run_is_kept(world: World, service: str | None) -> None:
    """From the next step on: the learner wholly, or what one service holds."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    until = (world.calendar.now + timedelta(days=3)).date()

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/unenroll/") and not await world.ledger.holds.find():
            await world.ledger.holds.add(
                user_id=learner.user_id, org=None, service=service, basis="litigation", until=until, by="counsel"
            )
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    credentials = world.sandbox.state()["learners"][USERNAME]["credentials"]
    assert (report.ending, credentials["username"]) == (Ending.HELD, USERNAME)
    done = [each.step for each in report.steps if each.result not in ("skipped", "retained")]
    assert len(done) == (1 if service is None else len(LINE) - 1)
    assert (await world.ledger.verify()).ok


async def test_what_one_learner_alone_meets_stops_nobody_else(world: World) -> None:
    """A firewall that dislikes a name answers 403; a second learner with the same answer stops the run."""
    world.seed(holder(), holder("bo"), holder("cy"), states=LINE.lms_states)
    site = world.site(LINE)
    batch_of(site).learners = {
        each.user_id: each for each in (await site.lms.rows.queue(LINE.queue_states, 0)).learners
    }
    disliked = {USERNAME}

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/unenroll/") and any(name.encode() in request.content for name in disliked):
            return httpx.Response(403, json={})
        return await forward(request)

    world.around = around
    endings = {each.username: (await retire(site, each)).ending for each in batch_of(site).learners.values()}

    assert endings == {USERNAME: Ending.PARKED, "bo": Ending.RETIRED, "cy": Ending.RETIRED}
    assert not batch_of(site).stop
    disliked |= {"di"}
    world.seed(holder("di"), holder(), states=LINE.lms_states)
    batch_of(site).learners = {
        each.user_id: each for each in (await site.lms.rows.queue(LINE.queue_states, 0)).learners
    }
    for each in batch_of(site).learners.values():
        await retire(site, each)
    assert batch_of(site).stop


async def test_a_row_that_cannot_be_read_is_no_fault_of_the_learner(world: World) -> None:
    """A lost answer to a move, and then half an answer to the look: given back or left, never ERRORED."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    looks = 0

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        nonlocal looks
        if request.method == "PATCH" and looks == 1:
            await forward(request)
            raise httpx.ReadError("the connection broke")
        if request.url.path.endswith("/retirement_status/"):
            looks += 1
            if looks == 2:
                return httpx.Response(200, content=b"{", headers={"content-type": "application/json"})
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert report.ending in (Ending.PARKED, Ending.STRANDED, Ending.RETIRED)
    assert world.state(USERNAME) != "ERRORED"


async def test_nobody_keeps_an_account_that_is_erased_in_part(world: World) -> None:
    """Side by side with the step that failed another one was done; the row is PENDING again all the same."""
    dag = shipped("dag")
    world.seed(holder(), states=dag.lms_states)
    world.sandbox.arm([{"path": "/unenroll/", "method": "POST", "status": 503, "times": 99}])
    site = world.site(Pipeline(tuple(replace(step, after=()) for step in dag.steps[:2])))
    assert (await world.retire(site, USERNAME)).ending is Ending.PARKED
    assert world.state(USERNAME) == "PENDING"

    with pytest.raises(StateConflict, match="done or begun already"):
        await cancel(site, world.user_ids[USERNAME])

    assert world.state(USERNAME) == "PENDING"


@pytest.mark.parametrize("path", ["/retire_misc/", "/retire/", "/retire_forum/", "/edxnotes/", "/edx_proctoring/"])
async def test_a_success_that_says_something_else_is_none(world: World, path: str) -> None:
    """`200 {}` from whoever stands before the LMS: ERRORED with a reason, and never COMPLETE."""
    world.seed(holder(), states=LINE.lms_states)
    world.sandbox.arm([{"path": path, "status": 200, "body": "{}", "headers": {"Content-Type": "application/json"}}])

    report = await world.retire(world.site(LINE), USERNAME)

    assert (report.ending, world.state(USERNAME)) == (Ending.ERRORED, "ERRORED")
    assert "an empty answer is due" in report.reason
