"""Where a run leaves a learner when something goes wrong, and what it says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import StateType

from retirement.connectors import Connector, Outcome, ServiceSettings, operation
from retirement.errors import Ending
from retirement.flows.retire_learner import final_state
from retirement.learner import Learner
from retirement.ledger.unended import OVER
from retirement.pipeline import Pipeline, Step
from retirement.pipeline.endings import Report
from retirement.reports import FINE, document, exit_code, summary, table
from retirement.retire.engine import Perform
from retirement.retire.learner_run import LearnerRun
from retirement.site import Site

from .batches import batch_of, retire
from .doubles import EMAIL, NAME, USERNAME, Forward, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
#: Of each ending: whether it needs no operator (`FINE`), whether nothing is left to do by what the ledger knows
#: (`OVER`), and the kind of the final state of the flow run of the learner (`final_state`).
PLACES = {
    Ending.RETIRED: (True, True, StateType.COMPLETED),
    Ending.ERRORED: (False, False, StateType.FAILED),
    Ending.PARKED: (False, False, StateType.CANCELLED),
    Ending.HELD: (True, False, StateType.CANCELLED),
    Ending.BUSY_ELSEWHERE: (False, False, StateType.CANCELLED),
    Ending.RESCINDED: (True, True, StateType.CANCELLED),
    Ending.STOPPED: (False, False, StateType.CANCELLED),
    Ending.UNPROVED: (False, True, StateType.FAILED),
    Ending.STRANDED: (False, False, StateType.FAILED),
}


def test_every_ending_has_its_place_in_reports_ledger_and_prefect() -> None:
    """A new one would need an operator, be open for ever and end as cancelled, whatever it means."""
    found = {
        each: (each in FINE, each.value in OVER, final_state(Report(17, each, "a reason", (), 1.0)).type)
        for each in Ending
    }

    assert found == PLACES, "FINE of retirement/reports, OVER of retirement/ledger/unended.py, final_state"


async def run(world: World, *faults: dict[str, Any], **changes: Any) -> Report:
    world.seed(holder(**changes), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    world.sandbox.arm(faults)
    report = await retire(site, learner)
    assert names_nobody(f"{report} {document(report)} {table([report], {})} {summary([report])}")
    responses = world.sandbox.state()["learners"][USERNAME]["retirement"]["responses"]
    assert names_nobody(responses)
    return report


def fault(path: str, **what: Any) -> dict[str, Any]:
    return {"path": path, "body": f"<p>{USERNAME} {EMAIL} {NAME}</p>", **what}


JSON = {"content-type": "application/json"}


async def test_a_refusal_ends_in_errored_with_its_reason(world: World) -> None:
    """The reason goes into the row; the service's words do not."""
    report = await run(world, fault("retire_misc", status=409, headers=JSON))

    assert (report.ending, world.state(USERNAME), exit_code([report])) == (Ending.ERRORED, "ERRORED", 1)
    assert report.reason == "LMS: POST /api/user/v1/accounts/retire_misc/ answered 409"
    stored = world.sandbox.state()["learners"][USERNAME]["retirement"]["responses"]
    assert f"Stopped: {report.reason}" in stored


async def test_a_service_that_is_down_gives_the_learner_back(world: World) -> None:
    """To the last proved state, where the next queue run finds them; then that run finishes."""
    report = await run(world, fault("retire_misc", status=503, times=99))
    assert (report.ending, world.state(USERNAME)) == (Ending.PARKED, "LICENSES_COMPLETE")
    assert len(report.steps) == 7

    world.sandbox.arm([])
    again = await world.retire(world.site(LINE), USERNAME)
    assert (again.ending, world.sandbox.residue(USERNAME)) == (Ending.RETIRED, [])


async def test_a_misconfigured_service_gives_the_learner_back_and_stops_the_run(world: World) -> None:
    """Every learner would fail alike."""
    report = await run(world, fault("retire_misc", status=403, times=99))

    assert (report.ending, world.state(USERNAME)) == (Ending.STOPPED, "LICENSES_COMPLETE")


async def test_the_first_step_gives_back_to_pending(world: World) -> None:
    """Nothing is proved yet."""
    report = await run(world, fault("unenroll", status=403))

    assert (report.ending, world.state(USERNAME), report.steps) == (Ending.STOPPED, "PENDING", ())


async def test_an_lms_that_does_not_answer_leaves_the_row(world: World) -> None:
    """Nothing was started."""
    report = await run(world, fault("/retirement_status/", status=503, times=99))

    assert (report.ending, world.state(USERNAME), report.steps) == (Ending.PARKED, "PENDING", ())


async def test_credentials_that_end_before_the_start_stop_the_run(world: World) -> None:
    """The row could not be read."""
    report = await run(world, fault("/retirement_status/", status=403, times=99))

    assert (report.ending, world.state(USERNAME)) == (Ending.STOPPED, "PENDING")


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_first_move_that_was_done_and_lost_does_not_strand_the_learner(world: World, comes_back: bool) -> None:
    """The move is committed, its answer lost, and the LMS cannot be read for as long as we try.

    `parked` promises that the next queue run finds them; a row in a working state is never queued.
    """
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    world.sandbox.arm([{"path": "update_retirement_status", "after": True, "drop": True}])
    moved = False

    async def down_after_the_move(request: httpx.Request, forward: Forward) -> httpx.Response:
        nonlocal moved
        # Twelve waits are what one move takes at most; the next request is one that closes the run.
        if moved and not (comes_back and len(world.naps.taken) > 12):
            return httpx.Response(503)
        moved = moved or request.method == "PATCH"
        return await forward(request)

    world.around = down_after_the_move
    report = await retire(site, learner)
    world.around = None

    assert (report.ending is Ending.PARKED) == (world.state(USERNAME) in LINE.queue_states)
    assert not comes_back or world.state(USERNAME) == "PENDING"


async def test_a_learner_who_could_not_be_given_back_is_not_called_parked(world: World) -> None:
    """The LMS goes down for good in the middle: the row stays in a working state, which no queue lists."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    dead = False

    async def dies(request: httpx.Request, forward: Forward) -> httpx.Response:
        nonlocal dead
        dead = dead or request.url.path.endswith("/retire_misc/")
        return httpx.Response(503) if dead else await forward(request)

    world.around = dies
    report = await retire(site, learner)
    world.around = None

    assert world.state(USERNAME) == "RETIRING_LMS_MISC"
    assert "the row stays in RETIRING_LMS_MISC" in report.reason
    assert report.ending is not Ending.PARKED


async def test_a_last_move_that_is_forbidden_stops_the_run(world: World) -> None:
    """Misconfigured is misconfigured in COMPLETE, too: no other learner would get there."""
    world.seed(holder(state="LMS_COMPLETE", account_retired=True), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    world.sandbox.arm([fault("update_retirement_status", status=403, times=99)])

    await retire(site, learner)

    assert batch_of(site).stop


@pytest.mark.parametrize(
    ("call", "theirs"), [("retire_misc", "LMS_MISC_COMPLETE"), ("retire_misc", "COMPLETE"), ("retire_forum", "ERRORED")]
)
async def test_a_learner_whom_somebody_else_moved_is_left_alone(world: World, call: str, theirs: str) -> None:
    """During our call; whatever the call answers."""
    for status in (None, 409):
        world.seed(holder(), states=LINE.lms_states)
        site = world.site(LINE)
        learner = await world.learner(site, USERNAME)
        world.around = _moving(world, call, theirs, status)

        report = await retire(site, learner)

        assert theirs == world.state(USERNAME)
        possible = Ending(theirs.lower()) if theirs == "ERRORED" else Ending.BUSY_ELSEWHERE
        assert report.ending in (Ending.BUSY_ELSEWHERE, possible)


def _moving(world: World, call: str, theirs: str, status: int | None) -> Callable[[httpx.Request, Forward], Any]:
    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if call not in request.url.path:
            return await forward(request)
        answer = await forward(request)
        await world.force(USERNAME, theirs)
        return answer if status is None else httpx.Response(status, json={})

    return around


class Faulty(Connector):
    """Breaks with the learner's name on its lips."""

    service = "FAULTY"

    @operation()
    async def break_down(self, learner: Learner) -> Outcome:
        """Raise what no connector should raise."""
        raise KeyError(learner.email, learner.username)


def faulty(site: Site, connector: type[Connector] = Faulty) -> Site:
    """The site with such a connector, which its first step calls."""
    api = next(iter(site.connectors.values())).api
    connectors = {**site.connectors, "FAULTY": connector(ServiceSettings(url="https://x.example"), api)}
    first, *rest = LINE.steps
    pipeline = Pipeline((Step(first.start, first.end, "FAULTY", "break_down", ()), *rest))
    return replace(site, connectors=connectors, pipeline=pipeline)


async def test_a_connector_that_breaks_is_a_defect_without_its_words(world: World) -> None:
    """This learner is ERRORED, and the text says where and not whom."""
    world.seed(holder(), states=LINE.lms_states)
    site = faulty(world.site(LINE))

    report = await world.retire(site, USERNAME)

    assert (report.ending, world.state(USERNAME), bool(batch_of(site).stop)) == (Ending.ERRORED, "ERRORED", False)
    assert report.reason.startswith("a defect in the program: KeyError at test_endings.py:")
    stored = world.sandbox.state()["learners"][USERNAME]["retirement"]["responses"]
    assert names_nobody(report.reason + stored)


async def test_a_defect_of_the_wrapping_of_a_step_harms_only_its_learner(world: World) -> None:
    """`perform` is somebody else's engine: what it raises is a defect, not the end of `retire`."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)

    def broken(run: LearnerRun) -> Perform:
        async def perform(step: Step) -> Any:
            raise RuntimeError(EMAIL)

        return perform

    report = await retire(site, learner, broken)

    assert Ending.ERRORED is report.ending
    assert names_nobody(report.reason)


async def test_the_table_of_a_run_begins_with_those_who_need_an_operator() -> None:
    """Then by user id; step and reason stand beside the outcome, and the run that has the rest is a click away."""
    endings = {1: Ending.RETIRED, 2: Ending.PARKED, 3: Ending.HELD, 4: Ending.ERRORED}
    found = [Report(user_id, ending, "a reason", (), 1.0, "A_STEP") for user_id, ending in endings.items()]
    rows = table(found, {2: "https://ui.example/runs/2"})

    assert [row["learner"] for row in rows] == [2, 4, 1, 3]
    assert list(rows[0]) == ["learner", "outcome", "run", "failed step", "reason", "steps", "seconds"]
    assert [row["run"] for row in rows] == ["[open](https://ui.example/runs/2)", "", "", ""]
