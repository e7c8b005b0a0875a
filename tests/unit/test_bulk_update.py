"""Rows of one state and some days move at once: to the state that was given, or back to what is proved."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from retirement.errors import ConfigError, Ending, GuardStopped, Transient
from retirement.followup.bulk_update import Wanted, listed
from retirement.followup.job import Asked, planned, require_few
from retirement.followup.move_back import Finding, Verdict
from retirement.site import Site

from .batches import retire
from .doubles import World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
ASKED = Asked("dpo", "the forum had answered and done nothing")
TODAY = datetime.now(UTC).date()


async def preview(site: Site, wanted: Wanted) -> list[Finding]:
    return [each async for each in (await listed(site, wanted)).preview()]


async def done(site: Site, wanted: Wanted, asked: Asked = ASKED) -> list[Finding]:
    """A preview, and then what it shows."""
    job = await listed(site, wanted)
    found = [each async for each in job.preview()]
    return [each async for each in job.do(found, asked)]


def said(world: World, found: list[Finding]) -> dict[str, tuple[str, str | None]]:
    """Verdict and target by username."""
    names = {number: name for name, number in world.user_ids.items()}
    return {names[each.user_id]: (each.verdict.value, each.target) for each in found if each.user_id}


async def errored(world: World, site: Site, *usernames: str, path: str = "retire_forum") -> None:
    """Runs in which a step fails for good."""
    world.sandbox.arm([{"service": "lms", "path": path, "status": 409}])
    for name in usernames:
        assert (await world.retire(site, name)).ending is Ending.ERRORED
    world.sandbox.arm([])


async def test_a_rewind_goes_to_the_last_good_state_and_the_learner_is_retired_then(world: World) -> None:
    """The reference forces the row to `last_state`, a working state that no queue lists: such a learner is lost."""
    world.seed(holder("bo"), holder("cy"), states=LINE.lms_states)
    site = world.site(LINE)
    await errored(world, site, "bo")
    await errored(world, site, "cy", path="unenroll")
    last = {name: (await world.learner(site, name)).last_state for name in ("bo", "cy")}
    assert set(last.values()) <= set(LINE.working_states)

    found = await done(site, Wanted("ERRORED"))

    assert said(world, found) == {"bo": ("moved", "ENROLLMENTS_COMPLETE"), "cy": ("moved", "PENDING")}
    assert await done(site, Wanted("ERRORED")) == []
    assert await world.endings(site, "bo", "cy") == {"bo": Ending.RETIRED, "cy": Ending.RETIRED}
    assert (await world.ledger.verify()).ok


async def test_rows_that_an_operator_aborted_are_rewound_as_errored_ones_are(world: World) -> None:
    """The state before ABORTED says how far they were."""
    world.seed(holder("bo"), holder("cy"), states=LINE.lms_states)
    site = world.site(LINE)
    await errored(world, site, "bo")
    await world.force("bo", "RETIRING_FORUMS")
    await world.force("bo", "ABORTED")
    await world.force("cy", "ENROLLMENTS_COMPLETE")
    await world.force("cy", "ABORTED")

    found = await done(site, Wanted("ABORTED"))

    assert said(world, found) == dict.fromkeys(("bo", "cy"), ("moved", "ENROLLMENTS_COMPLETE"))


async def test_rows_move_to_the_state_that_was_given_and_steps_beyond_it_are_done_again(world: World) -> None:
    """As the reference's own example has it: COMPLETE, back to PENDING. Who asked and why is in the ledger."""
    world.seed(holder("bo"), holder("cy"), holder("di"), states=LINE.lms_states)
    site = world.site(LINE)
    await world.endings(site, "bo", "cy")

    would = await preview(site, Wanted("COMPLETE", "PENDING"))
    assert {world.state(name) for name in ("bo", "cy")} == {"COMPLETE"}
    assert all("done again: RETIRING_ENROLLMENTS" in each.text for each in would)
    found = await done(site, Wanted("COMPLETE", "PENDING"))

    assert said(world, found) == dict.fromkeys(("bo", "cy"), ("moved", "PENDING"))
    (act,) = [each for each in await world.ledger.events.find() if each.kind == "bulk.asked"]
    facts = {name: act.facts[name] for name in ("by", "reason", "before", "after", "learners")}
    assert facts == {"by": "dpo", "reason": ASKED.reason, "before": "COMPLETE", "after": "PENDING", "learners": 2}
    assert set((await world.endings(site, "bo", "cy")).values()) == {Ending.RETIRED}


@pytest.mark.parametrize(
    ("start", "target", "force", "verdict", "text"),
    [
        ("PENDING", "FORUMS_COMPLETE", False, Verdict.LEFT, "RETIRING_ENROLLMENTS, RETIRING_FORUMS"),
        ("PENDING", "FORUMS_COMPLETE", True, Verdict.WOULD_MOVE, "past RETIRING_ENROLLMENTS, RETIRING_FORUMS"),
        ("PENDING", "COMPLETE", False, Verdict.LEFT, "no run has proved"),
        ("ENROLLMENTS_COMPLETE", "FORUMS_COMPLETE", False, Verdict.LEFT, "no run has proved RETIRING_FORUMS:"),
        ("FORUMS_COMPLETE", "ENROLLMENTS_COMPLETE", False, Verdict.WOULD_MOVE, "goes on from there"),
        ("RETIRING_FORUMS", "ENROLLMENTS_COMPLETE", False, Verdict.WOULD_MOVE, "goes on from there"),
        ("RETIRING_FORUMS", "PENDING", False, Verdict.WOULD_MOVE, "goes on from there"),
        ("PENDING", "ABORTED", False, Verdict.WOULD_MOVE, "no queue run takes"),
    ],
)
async def test_no_row_goes_past_what_is_proved_without_force(
    world: World, start: str, target: str, force: bool, verdict: Verdict, text: str
) -> None:
    """A row that skips a step counts as erased there; that takes a word of the operator."""
    world.seed(holder("bo"), states=LINE.lms_states)
    site = world.site(LINE)
    if start != "PENDING":
        await world.force("bo", start)
    world.age(1)

    (found,) = await preview(site, Wanted(start, target, force=force))

    assert (found.verdict, text in found.text) == (verdict, True), found.text


async def test_both_days_are_included_and_those_around_them_are_not(world: World) -> None:
    """As the LMS has it: by the day of the request, in UTC."""
    now = datetime.now(UTC)
    since_noon = (now - now.replace(hour=12, minute=0, second=0)).total_seconds() / 86400
    days = {f"d-{days}": days + since_noon for days in (1, 40, 41, 75, 76, 77)}
    world.seed(*(holder(name, requested_days_ago=ago) for name, ago in days.items()), states=LINE.lms_states)
    site = world.site(LINE)

    async def meant(first: int | None, last: int | None) -> set[str]:
        span = [None if ago is None else now.date() - timedelta(days=ago) for ago in (first, last)]
        return set(said(world, await preview(site, Wanted("PENDING", "ABORTED", *span))))

    assert await meant(76, 41) == {"d-41", "d-75", "d-76"}
    assert await meant(41, 41) == {"d-41"}
    assert await meant(None, 76) == {"d-76", "d-77"}
    assert await meant(40, None) == {"d-1", "d-40"}


async def test_learners_with_a_run_or_a_hold_are_left_and_named(world: World) -> None:
    """A hold on an organisation counts as well; the others are moved."""
    cy = holder("cy", enrollments=[{"org": "Court", "active": True}])
    world.seed(holder("bo"), cy, holder("di"), holder("ed"), states=LINE.lms_states, worker_is_staff=True)
    site = world.site(LINE)
    for name in world.user_ids:
        await world.force(name, "ERRORED")
    until = world.calendar.now.date() + timedelta(days=9)
    for who in ({"user_id": world.user_ids["bo"], "org": None}, {"user_id": None, "org": "court"}):
        await world.ledger.holds.add(**who, service=None, basis="a case", until=until, by="dpo")  # type: ignore[arg-type]
    learner = await world.learner(site, "di")
    lease = await world.ledger.learners.lease(learner, due_at=world.calendar.now, pipeline=None)

    found = await preview(site, Wanted("ERRORED", "PENDING"))

    assert {name: verdict for name, (verdict, _) in said(world, found).items()} == {
        "bo": "held",
        "cy": "held",
        "di": "busy",
        "ed": "would-move",
    }
    assert said(world, await done(site, Wanted("ERRORED", "PENDING"))) == {"ed": ("moved", "PENDING")}
    await lease.end("parked", "", "ERRORED")


async def test_one_that_fails_stops_no_other_and_a_second_run_goes_on(world: World) -> None:
    """What has moved is in another state by then, so nothing is moved twice."""
    world.seed(*(holder(f"n-{n}") for n in range(4)), states=LINE.lms_states)
    site = world.site(LINE)
    for n in range(4):
        await world.force(f"n-{n}", "ERRORED")
    world.sandbox.arm([{"path": "update_retirement_status", "status": 503, "times": 4}])

    first = await done(site, Wanted("ERRORED", "PENDING"))
    second = await done(site, Wanted("ERRORED", "PENDING"))

    assert [each.verdict for each in first] == [Verdict.FAILED, *[Verdict.MOVED] * 3]
    assert [each.verdict for each in second] == [Verdict.MOVED]
    assert await done(site, Wanted("ERRORED", "PENDING")) == []
    kinds = [each.kind for each in await world.ledger.events.find()]
    assert kinds.count("bulk.asked") == 2


async def test_a_list_that_cannot_be_had_ends_it_before_anything_is_entered(world: World) -> None:
    """Nor is a row moved; what was moved by an earlier run stays so."""
    world.seed(holder("bo"), states=LINE.lms_states)
    site = world.site(LINE)
    await world.force("bo", "ERRORED")
    before = (await world.ledger.events.head()).seq
    world.sandbox.arm([{"path": "retirements_by_status_and_date", "status": 503, "times": 9}])

    with pytest.raises(Transient):
        await listed(site, Wanted("ERRORED", "PENDING"))
    assert ((await world.ledger.events.head()).seq, world.state("bo")) == (before, "ERRORED")


async def test_a_row_that_has_moved_since_it_was_shown_is_left(world: World) -> None:
    """Another run, or another operator."""
    world.seed(holder("bo"), states=LINE.lms_states)
    site = world.site(LINE)
    await world.force("bo", "ERRORED")
    job = await listed(site, Wanted("ERRORED", "PENDING"))
    found = [each async for each in job.preview()]
    await world.force("bo", "ABORTED")

    (left,) = [each async for each in job.do(found, ASKED)]

    assert (left.verdict, world.state("bo")) == (Verdict.LEFT, "ABORTED")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"state": "ERORED"}, "--initial-state: the LMS has no state ERORED; states are PENDING, "),
        ({"state": "errored"}, "--initial-state: the LMS has no state errored; "),
        ({"state": "PENDING"}, "--initial-state: a row in PENDING cannot be rewound; give --new-state"),
        ({"state": "ERRORED", "new_state": "RETIRING_FORUMS"}, "--new-state: no run takes a learner in RETIRING_F"),
        ({"state": "ERRORED", "new_state": "LOCKED"}, "--new-state: LOCKED is no state of the pipeline's; give one"),
        ({"state": "ERRORED", "new_state": "ERRORED"}, "--new-state: the rows are in ERRORED already"),
        ({"first": date(2026, 2, 2), "last": date(2026, 2, 1)}, "--start-date: 2026-02-02 is after 2026-02-01"),
        ({"first": TODAY + timedelta(days=2)}, "--start-date: "),
        ({"last": TODAY + timedelta(days=2)}, "--end-date: "),
    ],
)
async def test_what_cannot_be_meant_is_one_line(world: World, wanted: dict[str, Any], text: str) -> None:
    """Nothing is entered, and no row is listed."""
    world.seed(holder("bo"), states=LINE.lms_states)
    before = (await world.ledger.events.head()).seq

    with pytest.raises(ConfigError) as raised:
        await listed(world.site(LINE), Wanted(**{"state": "ERRORED", **wanted}), prefix="--")

    assert str(raised.value).startswith(text)
    assert len(str(raised.value).splitlines()) == 1
    assert (await world.ledger.events.head()).seq == before
    assert not any("by_status_and_date" in path for _, path in world.sent())


async def test_more_learners_than_agreed_to_are_refused_before_anything_is_entered(world: World) -> None:
    """And the option is named that lets them through."""
    world.seed(*(holder(f"n-{n}") for n in range(3)), states=LINE.lms_states)
    site = world.site(LINE)
    found = await preview(site, Wanted("PENDING", "ABORTED"))

    require_few(found, 3)
    with pytest.raises(GuardStopped, match="--at-most: 3 learners are meant, and 2 is the most"):
        require_few(found, 2, "--at-most")
    assert len(planned(found)) == 3


async def test_a_reason_that_names_a_learner_is_not_kept(world: World) -> None:
    """Nor a row that the LMS stores with the move."""
    world.seed(holder("bo.canary"), states=LINE.lms_states)
    site = world.site(LINE)

    await done(site, Wanted("PENDING", "ABORTED"), Asked("dpo", "because bo.canary wants it"))

    bodies = [each.facts for each in await world.ledger.events.find()]
    assert "canary" not in str(bodies)
    assert (await retire(site, await world.learner(site, "bo.canary"))).ending is Ending.RESCINDED
