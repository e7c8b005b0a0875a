"""One learner through the pipeline: the requests in their order, steps at the same time, and resuming."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from retirement.errors import Ending, RateLimited
from retirement.pipeline import Moves, Pipeline, Step
from retirement.pipeline.endings import Report, StepReport
from retirement.reports import exit_code
from retirement.retire.engine import Perform
from retirement.retire.learner_run import LearnerRun
from tests.patient import PATIENCE
from tests.routes import ROUTES

from .batches import retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")
#: The first learner of a sandbox.
FIRST = 101
CALLS = {step.name: (ROUTES[step.operation][0], ROUTES[step.operation][2].format(user_id=FIRST)) for step in LINE}


def recording(world: World) -> list[Any]:
    """The requests as they are sent, a move as its state alone."""
    seen: list[Any] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path != "/oauth2/access_token":
            move = request.method == "PATCH"
            seen.append(json.loads(request.content)["new_state"] if move else (request.method, request.url.path))
        return await forward(request)

    world.around = around
    return seen


def expected_of(steps: tuple[Step, ...]) -> list[Any]:
    status = ("GET", f"/api/user/v1/accounts/{USERNAME}/retirement_status/")
    calls = (part for step in steps for part in (step.start, CALLS[step.name], step.end))
    # Our one addition: the row is read once more before the learner is called retired.
    return [status, *calls, "COMPLETE", status]


def assert_retired(world: World, report: Report, username: str = USERNAME) -> None:
    assert (report.ending, report.reason) == (Ending.RETIRED, "")
    assert world.state(username) == "COMPLETE"
    assert world.sandbox.residue(username) == []


async def test_a_line_sends_exactly_what_the_reference_driver_sends(world: World) -> None:
    """One status, then start, call, end for each step, then COMPLETE (contract, section 6), and the row once more."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    seen = recording(world)

    report = await retire(site, learner)

    assert expected_of(LINE.steps) == seen
    assert_retired(world, report)
    assert [each.step for each in report.steps] == [step.name for step in LINE]
    assert {each.result for each in report.steps} == {"erased", "accepted"}
    assert world.naps.taken == []


@pytest.mark.parametrize("place", range(len(LINE)))
async def test_a_line_is_resumed_after_every_end_state(world: World, place: int) -> None:
    """Only what is left is sent."""
    world.seed(holder(account_retired=LINE.steps[place].end == "LMS_COMPLETE"), states=LINE.lms_states)
    site = world.site(LINE)
    await world.force(USERNAME, LINE.steps[place].end)
    learner = await world.learner(site, USERNAME)
    seen = recording(world)

    report = await retire(site, learner)

    assert expected_of(LINE.steps[place + 1 :]) == seen
    assert (report.ending, world.state(USERNAME)) == (Ending.RETIRED, "COMPLETE")
    assert ["without-proof"] * (place + 1) == [each.result for each in report.steps[: place + 1]]


async def test_a_graph_runs_what_it_may_at_the_same_time(world: World) -> None:
    """Six steps after the enrollments: all six calls are out before the first of them is answered."""
    world.seed(holder(), states=DAG.lms_states)
    site = world.site(DAG)
    out, most, everyone = 0, 0, asyncio.Event()

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        nonlocal out, most
        if (request.method, request.url.path) not in list(CALLS.values())[1:7]:
            return await forward(request)
        out += 1
        most = max(most, out)
        if out == 6:
            everyone.set()
        await asyncio.wait_for(everyone.wait(), PATIENCE)
        answer = await forward(request)
        out -= 1
        return answer

    learner = await world.learner(site, USERNAME)
    world.around = around
    report = await retire(site, learner)

    assert most == 6
    assert_retired(world, report)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(12))
async def test_a_graph_ends_well_in_any_order_of_answers(world: World, seed: int) -> None:
    """The row never moves backward and no call finds it in a waiting state, whoever is slow."""
    world.seed(holder(), states=DAG.lms_states)
    site = world.site(DAG)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        for _ in range(len(request.url.path) * (seed + 3) % 17):
            await asyncio.sleep(0)
        answer = await forward(request)
        for _ in range(len(request.url.path) * (seed + 5) % 13):
            await asyncio.sleep(0)
        return answer

    learner = await world.learner(site, USERNAME)
    world.around = around
    assert_retired(world, await retire(site, learner))
    assert {each["status"] for each in world.sandbox.requests if each["method"] == "PATCH"} == {204}


@pytest.mark.sweep
@pytest.mark.parametrize("pipeline", [LINE, DAG], ids=["line", "graph"])
async def test_fifty_learners_at_once_are_retired(world: World, pipeline: Pipeline) -> None:
    """With one token and one site."""
    world.seed(*(holder(f"learner-{n}") for n in range(50)), states=pipeline.lms_states)
    site = world.site(pipeline)
    learners = (await site.lms.rows.queue(pipeline.queue_states, 0)).learners

    reports = await asyncio.gather(*(retire(site, learner) for learner in learners))

    assert len(reports) == 50
    for n, report in enumerate(reports):
        assert_retired(world, report, f"learner-{n}")
    assert exit_code(reports) == 0
    assert sum(each["path"] == "/oauth2/access_token" for each in world.sandbox.requests) == 1


@pytest.mark.parametrize(
    "username", ["bo jensen", "carla@campus", "zoë", "学习者", "faye/slash", "Wanda", "d.o.t.s", "a%b"]
)
async def test_names_of_every_kind_are_retired(world: World, username: str) -> None:
    """Those that no path can carry, too."""
    world.seed(holder(username), states=LINE.lms_states)

    assert_retired(world, await world.retire(world.site(LINE), username), username)


@pytest.mark.parametrize("pipeline", [LINE, DAG], ids=["line", "graph"])
async def test_merged_moves_are_half_as_many_and_the_lms_is_told_each_outcome(world: World, pipeline: Pipeline) -> None:
    """From start state to start state; what a step ended in stands in the LMS' log with the next move."""
    world.seed(holder(), states=pipeline.lms_states)
    seen = recording(world)

    assert_retired(world, await world.retire(world.site(pipeline, moves=Moves.MERGED), USERNAME))

    states = [each for each in seen if isinstance(each, str)]
    assert {*states} <= {*pipeline.working_states, "COMPLETE"}
    assert pipeline is DAG or states == [*(step.start for step in pipeline), "COMPLETE"]
    told = world.sandbox.state()["learners"][USERNAME]["retirement"]["responses"]
    assert all(f"Ending: {step.name} with outcome: " in told for step in pipeline)


async def test_a_learner_who_is_complete_already_is_retired(world: World) -> None:
    """Nothing is sent but the question."""
    world.seed(holder(state="COMPLETE", account_retired=True), states=LINE.lms_states)

    report = await world.retire(world.site(LINE), USERNAME)

    assert (report.ending, report.reason, report.steps) == (Ending.RETIRED, "was COMPLETE already", ())
    assert not [each for each in world.sandbox.requests if each["method"] == "PATCH"]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("ERRORED", "`retirement redrive` brings them back"),
        ("RETIRING_NOTES", "`retirement reconcile` finds out whether a run has them"),
        ("LOCKING_COMPLETE", "a state that no step has: `retirement reconcile --adopt --user-id"),
    ],
)
async def test_a_learner_who_does_not_wait_is_left_alone(world: World, state: str, reason: str) -> None:
    """Dead ends, working states, and what the pipeline does not know."""
    world.seed(holder(), states=["PENDING", "LOCKING_COMPLETE", *LINE.lms_states[1:]])
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, state)
    seen = recording(world)

    report = await retire(site, learner)

    assert Ending.BUSY_ELSEWHERE is report.ending
    assert reason in report.reason
    assert (state, 1) == (world.state(USERNAME), len(seen))


async def test_a_learner_whose_retirement_was_aborted_is_not_called_about(world: World) -> None:
    """ABORTED is how an operator takes a request back in the LMS' admin."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, "ABORTED")
    seen = recording(world)

    report = await retire(site, learner)

    assert (report.ending, world.state(USERNAME), len(seen)) == (Ending.RESCINDED, "ABORTED", 1)


async def test_a_learner_without_a_request_took_it_back(world: World) -> None:
    """Between the queue and us."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    world.seed(states=LINE.lms_states)

    report = await retire(site, learner)

    assert (report.ending, exit_code([report])) == (Ending.RESCINDED, 0)


async def test_a_learner_whose_row_is_lost_on_the_way_took_nothing_back(world: World) -> None:
    """Only PENDING requests can be cancelled (contract, section 4.13); exit code 0 would hide it."""
    world.seed(holder(state="FORUMS_COMPLETE"), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    world.seed(states=LINE.lms_states)

    report = await retire(site, learner)

    assert (report.ending, exit_code([report])) == (Ending.BUSY_ELSEWHERE, 1)


async def test_whoever_performs_a_step_may_try_it_again(world: World) -> None:
    """As a Prefect task does: the call is not repeated when only the move was missing."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    world.sandbox.arm([{"path": "retire_forum", "status": 429, "headers": {"Retry-After": "999"}, "times": 2}])
    tries: list[str] = []

    def patient(run: LearnerRun) -> Perform:
        async def perform(step: Step) -> StepReport:
            for _ in range(2):
                try:
                    tries.append(step.name)
                    return await run.step(step)
                except RateLimited:
                    continue
            return await run.step(step)

        return perform

    assert_retired(world, await retire(site, learner, patient))
    assert tries.count("RETIRING_FORUMS") == 2
