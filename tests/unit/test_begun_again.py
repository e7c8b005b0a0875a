"""Retirements that had ended and are open again: a restored backup or an operator has taken the row back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retirement.certificate import certificate_of
from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.ledger.extract import extract
from retirement.pipeline import COMPLETE, PENDING, Pipeline, Step
from retirement.site import Site
from retirement.site.address import was_erased
from retirement.site.watch import watch

from .doubles import World, holder
from .test_made_complete import EMAIL, LINE, refusing

pytestmark = pytest.mark.anyio

#: Two steps at a time: one that fails leaves the row in PENDING, whatever the other has proved.
GRAPH = Pipeline(
    (
        Step("RETIRING_CREDENTIALS", "CREDENTIALS_COMPLETE", "CREDENTIALS", "replace_usernames", ()),
        Step("RETIRING_MISC", "MISC_COMPLETE", "LMS", "retirement_lms_retire_misc", ()),
        Step("RETIRING_LMS", "LMS_COMPLETE", "LMS", "retirement_lms_retire", ("RETIRING_CREDENTIALS", "RETIRING_MISC")),
    )
)


async def failed_again(world: World) -> Site:
    """A learner who was retired, and whose last step failed when the row had come back."""
    states = [PENDING, "QUARANTINE", *LINE.lms_states[1:]]
    world.seed(holder("bo", email=EMAIL), states=states, worker_is_staff=True)
    assert (await world.retire(world.site(LINE), "bo")).ending is Ending.RETIRED
    await world.force("bo", PENDING)
    world.around = refusing
    assert (await world.retire(world.site(LINE), "bo")).ending is Ending.ERRORED
    world.around = None
    return world.site(LINE)


async def test_what_was_proved_the_first_time_does_not_make_the_second_complete(world: World) -> None:
    """An operator sets the ERRORED row to COMPLETE, as it was before."""
    site = await failed_again(world)
    await world.force("bo", COMPLETE)

    assert [each.state for each in (await watch(site)).unseen] == [COMPLETE]
    assert [each.verdict async for each in reconcile(site)] == [Verdict.UNSEEN]
    assert (await was_erased(site, EMAIL)).erased is False
    again = await world.retire(site, "bo")
    assert (again.ending, "no run has proved RETIRING_CREDENTIALS" in again.reason) == (Ending.UNPROVED, True)
    assert (await world.ledger.verify()).ok


async def test_the_ledger_alone_knows_that_it_is_open_again(world: World) -> None:
    """The LMS does not answer; and what the certificate says is of the second time."""
    site = await failed_again(world)
    world.sandbox.arm([{"path": "", "status": 503, "times": 100}])

    assert (await was_erased(site, EMAIL)).erased is False
    certificate = certificate_of(await extract(world.ledger, world.user_ids["bo"]))
    assert (certificate["retired_at"], certificate["complete"]) == (None, False)


async def test_it_is_looked_for_where_no_list_shows_it(world: World) -> None:
    """In a state that nothing names."""
    site = await failed_again(world)
    await world.force("bo", "QUARANTINE")

    assert [each.state for each in (await watch(site)).learners] == ["QUARANTINE"]


async def test_the_reconciler_opens_it_again_as_well(world: World) -> None:
    """The backup was made while a run had the learner; from then on the ledger says no."""
    world.seed(holder("bo", email=EMAIL), states=LINE.lms_states)
    site = world.site(LINE)
    await world.retire(site, "bo")
    await world.force("bo", PENDING)
    await world.force("bo", "RETIRING_LMS")
    world.calendar.pass_by(hours=2)
    assert [each.verdict async for each in reconcile(site)] == [Verdict.MOVED]
    world.sandbox.arm([{"path": "", "status": 503, "times": 100}])

    assert (await was_erased(site, EMAIL)).erased is False


async def test_it_is_retired_once_it_is_through_again(world: World) -> None:
    """By what was done the second time."""
    site = await failed_again(world)
    (report,) = await world.mend(site, "bo")

    assert report.ending is Ending.RETIRED
    assert (await was_erased(site, EMAIL)).erased is True


async def test_a_dead_run_of_an_earlier_request_is_not_retired_with_the_later_one(world: World) -> None:
    """The row that the LMS has says nothing of a request that it has replaced."""
    world.seed(holder("bo", email=EMAIL), states=LINE.lms_states)
    site = world.site(LINE)
    bo = await world.learner(site, "bo")
    earlier = replace(bo, retirement_id=bo.retirement_id - 1)
    await world.ledger.learners.lease(earlier, due_at=site.due_at(bo), pipeline=LINE.digest)
    world.calendar.pass_by(hours=3)
    assert (await world.retire(site, "bo")).ending is Ending.RETIRED

    (closed,) = [each async for each in reconcile(site)]

    assert (closed.verdict, closed.state) == (Verdict.CLOSED, "gone")
    endings = {each.retirement_id: each.ending for each in await world.ledger.learners.retirements([bo.user_id])}
    assert endings == {earlier.retirement_id: "closed", bo.retirement_id: "retired"}
    assert (await was_erased(site, EMAIL)).erased is True


@pytest.mark.parametrize("days", [0, 1], ids=["the-same-request", "another-request"])
async def test_a_number_that_the_lms_gives_out_again_is_another_request(world: World, days: int) -> None:
    """The LMS came back from a backup, and the learner asked anew: what was proved before is done again."""
    world.seed(holder("bo", email=EMAIL), states=GRAPH.lms_states)
    world.sandbox.arm([{"service": "credentials", "path": "replace_usernames", "status": 503, "times": 99}])
    first = await world.retire(world.site(GRAPH), "bo")
    assert first.ending is Ending.PARKED, first
    world.sandbox.arm([])
    (record,) = await world.ledger.learners.find()
    assert (world.state("bo"), set(record.finished)) == (PENDING, {"RETIRING_MISC"})
    world.age(-days, "created")

    report = await world.retire(world.site(GRAPH), "bo")

    misc = next(each.result for each in report.steps if each.step == "RETIRING_MISC")
    assert (report.ending, misc) == (Ending.RETIRED, "erased" if days else "skipped")
    assert (await world.ledger.verify()).ok
