"""The order of ledger, LMS and call; and what a run does that has lost its right to the learner."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from retirement.errors import Ending, RetirementError, StateConflict
from retirement.ledger import Ledger, LedgerLocation, opened
from retirement.pipeline import Pipeline, Step
from retirement.pipeline.endings import Report
from retirement.retire.engine import Perform
from retirement.retire.learner_run import LearnerRun
from retirement.retire.opening import open_run
from retirement.site import Site

from .batches import retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

MINIMAL, LINE, DAG = shipped("minimal"), shipped("default"), shipped("dag")
TOKEN = "/oauth2/access_token"


@pytest.fixture
async def rival(world: World, tmp_path: Path) -> AsyncIterator[Ledger]:
    """The same ledger, opened by another process."""
    async with opened(LedgerLocation(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), clock=world.calendar) as ledger:
        yield ledger


class Diary:
    """Entries of the ledger and requests, in the order in which they became true."""

    def __init__(self, world: World, seen: int = 0) -> None:
        self._world = world
        self._seen = seen
        self.lines: list[str] = []
        world.around = self

    async def __call__(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        await self.look()
        if request.url.path != TOKEN:
            name = request.url.path.rstrip("/").rpartition("/")[2]
            body = json.loads(request.content) if request.method == "PATCH" else {}
            forced = " by force" if body.get("force") else ""
            self.lines.append(f"{request.method} {body.get('new_state', name)}{forced}")
        return await forward(request)

    async def look(self) -> list[str]:
        """Everything so far."""
        for event in await self._world.ledger.events.find(after=self._seen):
            self._seen = event.seq
            self.lines.append(" ".join([event.kind, event.facts.get("step") or ""]).strip())
        return self.lines


async def test_the_ledger_comes_before_the_lms_and_the_lms_before_the_call(world: World) -> None:
    """Lease, row; for each step intent, start state, call, outcome, end state; COMPLETE, the row once more, end."""
    world.seed(holder(), states=MINIMAL.lms_states)
    site = world.site(MINIMAL)
    learner = await world.learner(site, USERNAME)
    diary = Diary(world)

    await retire(site, learner)

    expected = ["run.began", "GET retirement_status"]
    for step, call in zip(MINIMAL, ("unenroll", "retire_misc", "retire"), strict=True):
        expected += [f"step.intended {step.name}", f"PATCH {step.start}", f"POST {call}"]
        expected += [f"step.proved {step.name}", f"PATCH {step.end}"]
    assert await diary.look() == [*expected, "PATCH COMPLETE", "GET retirement_status", "run.ended"]


async def test_a_learner_is_given_back_in_the_ledger_before_in_the_lms(world: World) -> None:
    """So that whoever finds a row moved back finds in the ledger who did it."""
    world.seed(holder(), states=MINIMAL.lms_states)
    site = world.site(MINIMAL)
    learner = await world.learner(site, USERNAME)
    world.sandbox.arm([{"path": "retire_misc", "status": 503, "times": 99}])
    diary = Diary(world)

    report = await retire(site, learner)

    assert report.ending is Ending.PARKED
    tail = (await diary.look())[-6:]
    assert tail == [
        "step.failed RETIRING_LMS_MISC",
        "breaker.counted",
        "learner.moved",
        "GET retirement_status",  # a forced move is never refused, so it looks before it moves
        "PATCH ENROLLMENTS_COMPLETE by force",
        "run.ended",
    ]


@dataclass
class Overtaken:
    """Lets the lease run out at one request, and has a rival take the learner where there is one."""

    world: World
    at: int
    rival: Callable[[], Awaitable[object]] | None
    sent: int = 0
    sent_after: list[str] = field(default_factory=list)

    async def __call__(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        self.sent += 1
        if self.sent > self.at:
            self.sent_after.append(f"{request.method} {request.url.path}")
        if self.sent == self.at:
            self.world.calendar.pass_by(minutes=5)
            if self.rival:
                await self.rival()
        return await forward(request)


@pytest.mark.parametrize("taken_over", [False, True], ids=["ran-out", "taken-over"])
@pytest.mark.parametrize("pipeline", [LINE, DAG], ids=["line", "graph"])
async def test_a_run_that_lost_its_lease_sends_and_writes_nothing_more(
    world: World, rival: Ledger, pipeline: Pipeline, taken_over: bool, every_nth: int, first: int
) -> None:
    """At every request of a run: what is out is answered, and then it is over."""
    everybody = [f"learner-{n}" for n in range(40)]
    world.seed(*(holder(name) for name in everybody), states=pipeline.lms_states)
    for at, username in zip(itertools.count(1 + first, every_nth), everybody, strict=False):
        site = world.site(pipeline)
        learner = await world.learner(site, username)
        take = partial(rival.learners.lease, learner, due_at=site.due_at(learner), pipeline="another")
        world.around = overtaken = Overtaken(world, at, take if taken_over else None)
        report = await retire(site, learner)
        world.around = None
        if overtaken.sent < at:
            break
        end = (await world.ledger.events.find(user_id=learner.user_id))[-1]
        assert overtaken.sent_after == [] or pipeline is DAG, f"request {at}"
        assert all(_is_sibling(each) for each in overtaken.sent_after), f"request {at}"
        assert report.ending is Ending.BUSY_ELSEWHERE or world.state(username) == "COMPLETE"
        assert end.kind == "run.began" if taken_over else end.kind != "run.ended"
    assert at > 2 * len(pipeline)


def _is_sibling(sent: str) -> bool:
    """Whether a request belongs to a step beside the one that saw the lease go: it was on its way already."""
    return sent.startswith("PATCH") or not any(last in sent for last in ("retire_misc", "accounts/retire/"))


async def test_a_step_that_is_tried_again_without_a_lease_moves_nothing(world: World) -> None:
    """Its call was made and the move failed; minutes later the learner may be somebody else's."""
    world.seed(holder(), states=MINIMAL.lms_states)
    site = world.site(MINIMAL)
    learner = await world.learner(site, USERNAME)
    moves: list[str] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method != "PATCH":
            return await forward(request)
        moves.append(json.loads(request.content)["new_state"])
        return await forward(request) if len(moves) == 1 else httpx.Response(429, headers={"Retry-After": "900"})

    def patient(run: LearnerRun) -> Perform:
        async def perform(step: Step):  # type: ignore[no-untyped-def]  # never returns
            with pytest.raises(RetirementError):
                await run.step(step)
            world.calendar.pass_by(minutes=15)
            await run.step(step)

        return perform

    world.around = around
    report = await retire(site, learner, patient)

    assert report.ending is Ending.BUSY_ELSEWHERE
    assert "lease" in report.reason
    assert moves == ["RETIRING_ENROLLMENTS", "ENROLLMENTS_COMPLETE"]


async def test_a_learner_whom_another_run_has_is_not_asked_about(world: World, rival: Ledger) -> None:
    """Not even their row is read; afterwards they are free."""
    world.seed(holder(), states=MINIMAL.lms_states)
    site = world.site(MINIMAL)
    learner = await world.learner(site, USERNAME)
    lease = await rival.learners.lease(learner, due_at=site.due_at(learner), pipeline="another")
    before = len(world.sandbox.requests)

    report = await retire(site, learner)

    assert (report.ending, report.reason) == (Ending.BUSY_ELSEWHERE, f"another run has learner {learner.user_id}")
    assert len(world.sandbox.requests) == before
    await lease.end("parked", "", "PENDING")
    assert (await retire(site, learner)).ending is Ending.RETIRED


async def test_a_lease_is_held_for_as_long_as_the_run_and_no_longer(world: World, rival: Ledger) -> None:
    """Renewed leases outlive their first term."""
    world.seed(holder(), states=MINIMAL.lms_states)
    site = world.site(MINIMAL)
    learner = await world.learner(site, USERNAME)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path != TOKEN:
            world.calendar.pass_by(seconds=100)
            await world.ledger.leases.renew()
            with pytest.raises(StateConflict):
                await rival.learners.lease(learner, due_at=site.due_at(learner), pipeline="another")
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert report.ending is Ending.RETIRED
    assert await rival.leases.live() == {}


async def restored(world: World, site: Site, state: str) -> list[str]:
    """Takes the row to an older state, as a restored backup does, and runs the learner again; what was sent."""
    await world.force(USERNAME, state)
    diary = Diary(world, (await world.ledger.events.head()).seq)
    assert (await world.retire(site, USERNAME)).ending is not Ending.BUSY_ELSEWHERE
    world.around = None
    return await diary.look()


@pytest.mark.parametrize("pipeline", [LINE, DAG], ids=["line", "graph"])
async def test_an_lms_that_was_restored_has_its_steps_done_again(world: World, pipeline: Pipeline) -> None:
    """The row stands further back than the ledger proves: the LMS' data is as old as its row."""
    world.seed(holder(), states=pipeline.lms_states)
    site = world.site(pipeline)
    world.sandbox.arm([{"path": "accounts/retire_misc/", "status": 503, "times": 99}])
    assert (await world.retire(site, USERNAME)).ending is Ending.PARKED
    assert world.state(USERNAME) == "LICENSES_COMPLETE"
    world.sandbox.arm([])
    before = world.calls("lms")

    lines = await restored(world, site, "ENROLLMENTS_COMPLETE")

    assert lines.count("steps.voided") == 1
    (voided,) = await world.ledger.events.find(kind="steps.voided")
    assert sorted(voided.facts["steps"]) == sorted(pipeline.working_states[1:7])
    assert sum(each.startswith("step.intended") for each in lines if each) == len(pipeline) - 1
    assert lines[lines.index("steps.voided") + 1].startswith("step.intended")
    assert world.calls("lms") > before
    assert (world.state(USERNAME), world.sandbox.residue(USERNAME)) == ("COMPLETE", [])


async def test_a_run_is_opened_whole_or_not_at_all(world: World, rival: Ledger) -> None:
    """Without the lease there is a report and no run, and nothing is sent; with it the row and the steps are known."""
    world.seed(holder(), states=MINIMAL.lms_states)
    site = world.site(MINIMAL)
    learner = await world.learner(site, USERNAME)
    theirs = await rival.learners.lease(learner, due_at=site.due_at(learner), pipeline="another")
    before = len(world.sandbox.requests)

    refused = await open_run(site, site.batch(), learner)
    assert isinstance(refused, Report)
    assert (refused.ending, refused.steps, len(world.sandbox.requests)) == (Ending.BUSY_ELSEWHERE, (), before)

    await theirs.end("parked", "", learner.state)
    run = await open_run(site, site.batch(), learner)
    assert isinstance(run, LearnerRun)
    run.lease.check()
    assert (await run.step(MINIMAL.steps[0])).result != "skipped"
