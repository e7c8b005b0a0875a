"""Rows that stand in a working state for another reason than a run that died: what the reconciler makes of them."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.reconcile import reconcile
from retirement.followup.redrive import Choice, redrive
from retirement.partners import report as partners
from retirement.partners.destination import Destination
from retirement.partners.unreported import QUEUED
from retirement.pipeline import ERRORED
from retirement.site import Site

from .batches import batch_of
from .doubles import USERNAME, Died, Forward, World, holder, shipped
from .reporting import WAITS, lose_a_claim, queued, sent

pytestmark = pytest.mark.anyio

LINE = shipped("default")
ERASES = "accounts/retire/"


async def found(site: Site, *, dry_run: bool = False) -> list[Finding]:
    return [each async for each in reconcile(site, dry_run=dry_run)]


@pytest.mark.parametrize("back", ["lost", "never"], ids=["the-move-back-fails", "the-run-dies"])
async def test_a_retired_learner_in_the_queue_again_is_complete_again(
    world: World, tmp_path_factory: pytest.TempPathFactory, back: str
) -> None:
    """Nothing is erased twice, and the ledger has them as retired."""
    site = await queued(world)
    await lose_a_claim(world, site)
    before = {name: world.state(name) for name in world.user_ids}
    erased = sent(world, ERASES)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method == "PATCH" and b"Back from" in request.content:
            if back == "never":
                raise Died
            return httpx.Response(503)
        return await forward(request)

    world.around = around
    try:
        await partners.deliver(site, batch_of(site), Destination(tmp_path_factory.mktemp("reports"), "x"))
    except Died:
        assert back == "never"
    world.around = None
    stuck = {name for name in before if world.state(name) != before[name]}
    assert stuck
    world.calendar.pass_by(minutes=10)

    dry = {each.user_id: each.target for each in await found(site, dry_run=True)}
    moved = {each.user_id: each.target for each in await found(site) if each.verdict is Verdict.MOVED}

    assert moved == dry == {world.user_ids[name]: before[name] for name in stuck}
    assert {name: world.state(name) for name in before} == before
    endings = {each.user_id: each.ending for each in await site.ledger.learners.find()}
    assert {endings[world.user_ids[name]] for name in before if name != "bo"} == {"retired"}
    assert [(await world.retire(site, name)).ending for name in before if name != "bo"] == [Ending.RETIRED] * 3
    assert sent(world, ERASES) == erased


async def test_a_row_that_an_old_backup_brought_back_is_not_complete(world: World) -> None:
    """It is in the same working state, and came there on its way forward: its learner's data is back too."""
    site = await queued(world)
    (learner,) = [each for each in (await site.lms.rows.queue(["COMPLETE"], 0)).learners if each.username == USERNAME]
    lease = await site.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=site.pipeline.digest)
    await lease.moved("COMPLETE", "RETIRING_PARTNERS", QUEUED)
    await lease.end("retired", "", "COMPLETE")
    await world.force(USERNAME, "PENDING")
    await world.force(USERNAME, "RETIRING_PARTNERS")

    (moved,) = await found(site)

    assert (moved.verdict, moved.target) == (Verdict.MOVED, "PENDING")


async def test_whoever_another_driver_went_on_with_is_left_for_an_hour(world: World) -> None:
    """Our run had ended before the row changed."""
    world.calendar.pass_by(hours=-2)
    site = await queued(world)
    await world.force("bo", "RETIRING_LMS")
    world.calendar.pass_by(hours=2)

    (left,) = await found(site)
    assert (left.verdict, world.state("bo")) == (Verdict.LEFT, "RETIRING_LMS")
    assert "another driver" in left.text
    world.calendar.pass_by(minutes=61)

    assert [(each.verdict, each.target) for each in await found(site)] == [(Verdict.MOVED, WAITS)]


async def test_a_request_that_was_made_anew_is_left_alone(world: World) -> None:
    """The row that was listed is not the one that is there now."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    await world.force(USERNAME, "RETIRING_NOTES")
    world.calendar.pass_by(minutes=61)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if "retirement_status" not in request.url.path:
            return answer
        await answer.aread()
        body = answer.json()
        return httpx.Response(200, json=body | {"id": body["id"] + 1})

    world.around = around
    (left,) = await found(site)

    assert (left.verdict, left.text, world.state(USERNAME)) == (Verdict.LEFT, "the row is gone", "RETIRING_NOTES")


async def test_a_row_that_nobody_can_read_is_a_finding(world: World) -> None:
    """Without a user id and without what it held; the others are brought back."""
    world.seed(holder("bo"), holder("cy"), states=LINE.lms_states)
    site = world.site(LINE)
    for name in ("bo", "cy"):
        await world.force(name, "RETIRING_NOTES")
    world.calendar.pass_by(minutes=61)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        is_queue = "retirement_queue" in request.url.path and answer.status_code == 200
        if not is_queue or "RETIRING" not in str(request.url):
            return answer
        await answer.aread()
        first, *others = answer.json()
        return httpx.Response(200, json=[first | {"original_email": None}, *others])

    world.around = around
    moved, failed = await found(site)

    assert (moved.user_id, moved.verdict) == (world.user_ids["cy"], Verdict.MOVED)
    assert (failed.user_id, failed.verdict) == (None, Verdict.FAILED)
    assert "original_email" in failed.text
    assert "bo" not in failed.text.split()


async def test_a_question_that_nobody_answered_in_time_is_closed(world: World) -> None:
    """Unless a queue run lives, which closes its own; a dry run only says so."""
    world.seed(holder(), states=LINE.lms_states)
    site, ledger = world.site(LINE), world.ledger
    soon = ledger.now() + timedelta(hours=1)
    number = await ledger.decisions.ask("dead", trips=["deep"], depth=9, expires_at=soon)
    assert await found(site) == []
    world.calendar.pass_by(hours=1)
    lease = await ledger.leases.take("queue", what="the queue")
    assert await found(site) == []
    await ledger.leases.release(lease)

    (dry,) = await found(site, dry_run=True)
    assert len(await ledger.decisions.find(open_only=True)) == 1
    (closed,) = await found(site)

    assert dry == closed
    assert (closed.user_id, closed.verdict) == (None, Verdict.CLOSED)
    (decision,) = await ledger.decisions.find(run_id="dead")
    assert (decision.id, decision.answer, decision.approver) == (number, "expired", None)
    assert await found(site) == []
    assert (await ledger.verify()).ok


async def test_a_limit_counts_only_those_who_can_be_brought_back(world: World) -> None:
    """Who has to be set by hand does not take the place of others; the choice by user id takes nobody else."""
    names = [f"n-{n}" for n in range(4)]
    world.seed(*(holder(name) for name in names), states=["PENDING", "LOCKING", *LINE.lms_states[1:]])
    site = world.site(LINE)
    for name in names[:2]:
        await world.force(name, "LOCKING")
    for name in names:
        await world.force(name, ERRORED)

    async def brought(choice: Choice, *, dry_run: bool) -> dict[int | None, Verdict]:
        return {each.user_id: each.verdict async for each in redrive(site, choice, limit=1, dry_run=dry_run)}

    first, second, third, last = (world.user_ids[name] for name in names)
    left = dict.fromkeys((first, second), Verdict.LEFT)
    assert await brought(Choice(), dry_run=True) == left | {third: Verdict.WOULD_MOVE}
    assert await brought(Choice(user_ids=frozenset({last})), dry_run=False) == {last: Verdict.MOVED}
    assert world.state("n-2") == ERRORED
