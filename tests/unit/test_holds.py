"""Holds: on a learner, an organisation or a service; what they keep, and what happens when they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from retirement.errors import Ending
from retirement.followup.reconcile import reconcile
from retirement.pipeline import Pipeline
from retirement.pipeline.endings import Report

from .doubles import USERNAME, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")


async def hold(world: World, *, days: int = 10, **on: Any) -> int:
    """Places a hold that lasts so many days."""
    until = (world.calendar.now + timedelta(days=days)).date()
    on = {"user_id": None, "org": None, "service": None} | on
    return await world.ledger.holds.add(**on, basis="litigation", until=until, by="counsel")


def results(report: Report) -> dict[str, str]:
    """What each step came to."""
    return {each.step: each.result for each in report.steps}


async def test_a_held_learner_is_not_even_asked_about(world: World) -> None:
    """No request at all, until the hold is released."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    number = await hold(world, user_id=world.user_ids[USERNAME])
    learner = await world.learner(site, USERNAME)
    before = len(world.sandbox.requests)

    report = await world.retire(site, USERNAME)

    assert (report.ending, report.steps) == (Ending.HELD, ())
    assert f"by hold {number}" in report.reason
    assert {each["path"] for each in world.sandbox.requests[before:]} == {"/api/user/v1/accounts/retirement_queue/"}
    assert await world.ledger.leases.live() == {}
    await world.ledger.holds.release(number, by="counsel", reason="settled")
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED
    assert learner.state == "PENDING"


async def test_a_hold_ends_with_its_day(world: World) -> None:
    """It holds through the day it names, in UTC."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await hold(world, user_id=world.user_ids[USERNAME], days=1)
    world.calendar.now = world.calendar.now.replace(hour=23, minute=59) + timedelta(days=1)

    assert (await world.retire(site, USERNAME)).ending is Ending.HELD
    world.calendar.pass_by(minutes=1)
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED


async def test_a_hold_on_an_organisation_keeps_its_learners(world: World) -> None:
    """Those with an enrollment there, ended ones too, whatever the letter case; nobody else."""
    world.seed(
        holder("bo", enrollments=[{"org": "OrgA", "active": False}]),
        holder("cy", enrollments=[{"org": "OrgB", "active": True}]),
        states=LINE.lms_states,
        worker_is_staff=True,
    )
    number = await hold(world, org="orga")

    assert await world.endings(world.site(LINE), "bo", "cy") == {"bo": Ending.HELD, "cy": Ending.RETIRED}
    assert world.state("bo") == "PENDING"
    await world.ledger.holds.release(number, by="counsel", reason="settled")
    assert (await world.retire(world.site(LINE), "bo")).ending is Ending.RETIRED


async def test_a_hold_on_an_organisation_that_cannot_be_looked_up_keeps_everybody(world: World) -> None:
    """A worker who is not staff sees no enrollments of others: nobody is erased on a guess."""
    world.seed(holder(), states=LINE.lms_states)
    await hold(world, org="OrgZ")

    report = await world.retire(world.site(LINE), USERNAME)

    assert (report.ending, world.state(USERNAME)) == (Ending.STOPPED, "PENDING")
    assert "only staff may list the enrollments" in report.reason


@pytest.mark.parametrize("expires", [False, True], ids=["released", "expired"])
@pytest.mark.parametrize("pipeline", [LINE, DAG], ids=["line", "graph"])
async def test_a_hold_on_a_service_keeps_only_what_is_there(world: World, pipeline: Pipeline, expires: bool) -> None:
    """The rest is done, the row waits before the kept step, and the run after the hold does that step alone."""
    world.seed(holder(), states=pipeline.lms_states)
    site = world.site(pipeline)
    number = await hold(world, user_id=world.user_ids[USERNAME], service="CREDENTIALS")

    report = await world.retire(site, USERNAME)

    assert report.ending is Ending.HELD
    assert {step for step, result in results(report).items() if result == "retained"} == {"RETIRING_CREDENTIALS"}
    assert world.state(USERNAME) == "PARTNER_QUEUE_COMPLETE"
    assert world.calls("credentials") == 0
    assert {each["service"] for each in world.sandbox.residue(USERNAME)} == {"credentials"}
    assert [each async for each in reconcile(site)] == []

    before = world.calls("lms")
    assert (await world.retire(site, USERNAME)).ending is Ending.HELD
    assert world.calls("lms") == before
    if expires:
        world.calendar.pass_by(days=11)
    else:
        await world.ledger.holds.release(number, by="counsel", reason="settled")
    last = await world.retire(site, USERNAME)

    assert last.ending is Ending.RETIRED
    assert {step for step, result in results(last).items() if result != "skipped"} == {"RETIRING_CREDENTIALS"}
    assert (world.state(USERNAME), world.sandbox.residue(USERNAME), world.calls("lms")) == ("COMPLETE", [], before)
    assert (await world.ledger.verify()).ok


async def test_a_hold_on_the_last_service_and_trouble_at_another_one(world: World) -> None:
    """A learner with both is parked where the proof ends, and held once the trouble is over."""
    world.seed(holder(), states=DAG.lms_states)
    site = world.site(DAG)
    await hold(world, user_id=world.user_ids[USERNAME], service="LICENSE_MANAGER")
    world.sandbox.arm([{"service": "credentials", "path": "replace", "status": 503, "times": 99}])

    assert (await world.retire(site, USERNAME)).ending is Ending.PARKED
    assert world.state(USERNAME) == "PARTNER_QUEUE_COMPLETE"
    world.sandbox.arm([])
    assert (await world.retire(site, USERNAME)).ending is Ending.HELD
    assert world.state(USERNAME) == "CREDENTIALS_COMPLETE"
    assert world.calls("license_manager") == 0


async def test_a_hold_on_a_step_that_is_done_keeps_nothing(world: World) -> None:
    """What is erased cannot be kept any more."""
    world.seed(holder(state="LICENSES_COMPLETE"), states=LINE.lms_states)
    site = world.site(LINE)
    await hold(world, user_id=world.user_ids[USERNAME], service="CREDENTIALS")

    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED
