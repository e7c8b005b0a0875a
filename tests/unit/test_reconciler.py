"""Bringing back learners whom nobody has: every verdict, and what a run that is under way makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import Ending, Misconfigured, Transient
from retirement.followup.move_back import Finding, Verdict, move_back
from retirement.followup.reconcile import reconcile
from retirement.ledger import Ledger, LedgerLocation, opened
from retirement.pipeline.endings import Report
from retirement.site import Site

from .batches import retire
from .doubles import USERNAME, Forward, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")


@pytest.fixture
async def elsewhere(world: World, tmp_path: Path) -> AsyncIterator[Ledger]:
    """The same ledger, opened by another process."""
    async with opened(LedgerLocation(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), clock=world.calendar) as ledger:
        yield ledger


class Died(BaseException):
    """What no code of ours may catch."""


async def died(run: Coroutine[Any, Any, Report]) -> None:
    """Lets a run die, in a task of its own as a process has."""
    (death,) = await asyncio.gather(asyncio.create_task(run), return_exceptions=True)
    assert isinstance(death, Died) or (isinstance(death, BaseExceptionGroup) and death.subgroup(Died))


async def die_at(world: World, site: Site, path: str, *, after: bool, username: str = USERNAME) -> None:
    """A run that dies at the first request to a path, before the work or after it."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if path not in request.url.path:
            return await forward(request)
        if after:
            await forward(request)
        raise Died

    learner = await world.learner(site, username)
    world.around = around
    await died(retire(site, learner))
    world.around = None


async def found(site: Site, *, dry_run: bool = False, user_id: int | None = None) -> list[Finding]:
    """What the reconciler says."""
    return [each async for each in reconcile(site, dry_run=dry_run, user_id=user_id)]


async def test_a_learner_of_a_dead_run_goes_back_to_what_is_proved(world: World) -> None:
    """Once the lease has run out; until then they are busy."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await die_at(world, site, "retire_forum", after=True)
    assert world.state(USERNAME) == "RETIRING_FORUMS"

    (busy,) = await found(site)
    assert (busy.verdict, busy.target, world.state(USERNAME)) == (Verdict.BUSY, None, "RETIRING_FORUMS")
    world.calendar.pass_by(minutes=10)
    (moved,) = await found(site)

    assert (moved.verdict, moved.state, moved.target) == (Verdict.MOVED, "RETIRING_FORUMS", "ENROLLMENTS_COMPLETE")
    assert world.state(USERNAME) == "ENROLLMENTS_COMPLETE"
    assert await found(site) == []
    assert await world.ledger.learners.open_runs() == []
    (event,) = await world.ledger.events.find(kind="learner.moved")
    assert (event.facts["before"], event.facts["after"]) == ("RETIRING_FORUMS", "ENROLLMENTS_COMPLETE")


async def test_what_the_ledger_proves_beyond_the_row_is_not_done_again(world: World) -> None:
    """The call was made and its outcome stored; only the move was missing."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    moves = 0

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        nonlocal moves
        moves += request.method == "PATCH"
        if moves == 4:
            raise Died
        return await forward(request)

    learner = await world.learner(site, USERNAME)
    world.around = around
    await died(retire(site, learner))
    world.around = None
    world.calendar.pass_by(minutes=10)

    (moved,) = await found(site)
    assert moved.target == "FORUMS_COMPLETE"
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED
    assert sum(each["path"].endswith("/retire_forum/") for each in world.sandbox.requests) == 1


async def test_a_dry_run_changes_nothing(world: World) -> None:
    """Neither the LMS nor the ledger, and it says what would be done."""
    world.seed(holder(), states=DAG.lms_states)
    site = world.site(DAG)
    await die_at(world, site, "replace_usernames", after=False)
    world.calendar.pass_by(minutes=10)
    head, state, sent = await world.ledger.events.head(), world.state(USERNAME), len(world.sandbox.requests)

    (would,) = await found(site, dry_run=True)

    assert (would.verdict, would.state) == (Verdict.WOULD_MOVE, state)
    assert (await world.ledger.events.head(), world.state(USERNAME)) == (head, state)
    assert {each["method"] for each in world.sandbox.requests[sent:]} == {"GET"}
    (moved,) = await found(site)
    assert (moved.verdict, moved.target) == (Verdict.MOVED, would.target)


async def test_a_working_state_that_no_run_of_ours_began_is_left_for_an_hour(world: World) -> None:
    """Another driver may be at work; after that nobody is."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await world.force(USERNAME, "RETIRING_NOTES")

    (left,) = await found(site)
    assert (left.verdict, world.state(USERNAME)) == (Verdict.LEFT, "RETIRING_NOTES")
    assert "another driver" in left.text
    world.calendar.pass_by(minutes=61)
    (moved,) = await found(site)

    assert (moved.verdict, moved.target) == (Verdict.MOVED, "FORUMS_COMPLETE")
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED


async def test_a_row_that_changes_while_it_is_looked_at_is_left_alone(world: World) -> None:
    """Somebody moved it between the list and the lease."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await die_at(world, site, "retire_forum", after=False)
    world.calendar.pass_by(minutes=10)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "retirement_status" in request.url.path:
            await world.force(USERNAME, "ABORTED")
        return await forward(request)

    world.around = around
    (left,) = await found(site)

    assert (left.verdict, left.text, world.state(USERNAME)) == (
        Verdict.LEFT,
        "the row is in ABORTED by now",
        "ABORTED",
    )


async def test_what_another_run_has_ended_meanwhile_stays_as_it_said(world: World) -> None:
    """It retired the learner between the list and the lease."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await die_at(world, site, "retire_forum", after=False)
    world.calendar.pass_by(minutes=10)
    listed = (await site.lms.rows.queue(site.pipeline.working_states, 0)).learners[0]
    assert [each.verdict async for each in reconcile(site)] == [Verdict.MOVED]
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED

    left = await move_back(site, listed, dry_run=False)

    (record,) = await world.ledger.learners.find()
    assert (left.verdict, left.text) == (Verdict.LEFT, "the row is in COMPLETE by now")
    assert (record.ending, record.state) == ("retired", "COMPLETE")


async def test_a_run_that_begins_first_keeps_the_learner(world: World, elsewhere: Ledger) -> None:
    """Between the look at the leases and the attempt to take one."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await die_at(world, site, "retire_forum", after=False)
    world.calendar.pass_by(minutes=10)
    learner = await world.learner(site, USERNAME)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "retirement_queue" in request.url.path and not await elsewhere.leases.live():
            await elsewhere.learners.lease(learner, due_at=site.due_at(learner), pipeline="another")
        return await forward(request)

    world.around = around
    (busy,) = await found(site)

    assert (busy.verdict, world.state(USERNAME)) == (Verdict.BUSY, "RETIRING_FORUMS")


@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_an_lms_that_fails_meanwhile_is_met_again_by_the_next_one(world: World, method: str) -> None:
    """One finding says so; nobody is worse off, and nobody stays leased."""
    world.seed(holder("bo"), holder("cy"), states=LINE.lms_states)
    site = world.site(LINE)
    for name in ("bo", "cy"):
        await die_at(world, site, "retire_forum", after=False, username=name)
    world.calendar.pass_by(minutes=10)
    path = "retirement_status" if method == "GET" else "update_retirement_status"
    world.sandbox.arm([{"path": path, "method": method, "status": 503, "times": 4}])

    first = {each.user_id: each for each in await found(site)}

    assert [first[world.user_ids[name]].verdict for name in ("bo", "cy")] == [Verdict.FAILED, Verdict.MOVED]
    assert names_nobody(first[world.user_ids["bo"]].text)
    assert await world.ledger.leases.live() == {}
    (again,) = await found(site)
    assert again.verdict is Verdict.MOVED
    assert set((await world.endings(site, "bo", "cy")).values()) == {Ending.RETIRED}
    assert (await world.ledger.verify()).ok


async def test_a_worker_that_may_no_longer_stops_the_reconciler(world: World) -> None:
    """Everybody would fail alike; the learner at hand is given back to nobody's lease."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await die_at(world, site, "retire_forum", after=False)
    world.calendar.pass_by(minutes=10)
    world.sandbox.arm([{"path": "update_retirement_status", "status": 403, "times": 9}])

    with pytest.raises(Misconfigured):
        await found(site)
    assert await world.ledger.leases.live() == {}
    assert await world.ledger.learners.open_runs() == []
    world.sandbox.arm([])
    assert [each.verdict for each in await found(site)] == [Verdict.MOVED]


async def test_a_list_that_cannot_be_had_is_said_at_once(world: World) -> None:
    """Nothing was looked at, so there is nothing to report but that."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    world.sandbox.arm([{"path": "retirement_queue", "status": 503, "times": 99}])

    with pytest.raises(Transient):
        await found(site)


@pytest.mark.parametrize("complete", [False, True], ids=["waiting", "complete"])
async def test_a_run_that_died_between_two_steps_is_closed(world: World, complete: bool) -> None:
    """Its row stands in no working state, so only the ledger has to be told; COMPLETE counts as retired."""
    world.seed(holder(account_retired=complete), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    await world.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=LINE.digest)
    if complete:
        await world.force(USERNAME, "COMPLETE")
    assert await found(site) == []
    world.calendar.pass_by(minutes=10)

    assert [each.verdict for each in await found(site, dry_run=True)] == [Verdict.CLOSED]
    assert len(await world.ledger.learners.open_runs()) == 1
    (closed,) = await found(site)

    record = await world.ledger.learners.newest(learner.user_id)
    assert record is not None
    assert (closed.verdict, closed.state) == (Verdict.CLOSED, "COMPLETE" if complete else "PENDING")
    assert (record.ending, bool(record.retired_at)) == (("retired", True) if complete else ("closed", False))
    assert await found(site) == []


async def test_a_run_whose_learner_is_gone_is_closed(world: World) -> None:
    """The request was taken back, or the row was cleaned up."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    await world.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=LINE.digest)
    world.seed(states=LINE.lms_states)
    world.calendar.pass_by(minutes=10)

    assert [(each.verdict, each.state) for each in await found(site)] == [(Verdict.CLOSED, "gone")]


@pytest.mark.parametrize("learners", [1, 5])
async def test_runs_that_died_cost_no_list_each(world: World, learners: int) -> None:
    """Every list of the LMS has all of its learners, so it is asked as often for many as for one."""
    names = [f"learner{number}" for number in range(learners)]
    world.seed(*(holder(name) for name in names), states=LINE.lms_states)
    site = world.site(LINE)
    for name in names:
        learner = await world.learner(site, name)
        await world.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=LINE.digest)
    world.calendar.pass_by(minutes=10)
    before = len(world.sandbox.requests)

    assert [each.verdict for each in await found(site)] == [Verdict.CLOSED] * learners
    asked = [each["path"] for each in world.sandbox.requests[before:]]
    assert sum("retirement_queue" in path or "by_status_and_date" in path for path in asked) == 4


async def test_one_learner_can_be_asked_for(world: World) -> None:
    """The others stay as they are."""
    world.seed(holder("bo"), holder("cy"), states=LINE.lms_states)
    site = world.site(LINE)
    for name in ("bo", "cy"):
        await die_at(world, site, "retire_forum", after=False, username=name)
    world.calendar.pass_by(minutes=10)

    (moved,) = await found(site, user_id=world.user_ids["cy"])

    assert (moved.user_id, world.state("bo"), world.state("cy")) == (
        world.user_ids["cy"],
        "RETIRING_FORUMS",
        "ENROLLMENTS_COMPLETE",
    )
