"""Was an address erased? Yes only if every retirement of it that is known has ended retired; the others are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retirement.learner import Learner
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, PENDING
from retirement.site import Site
from retirement.site.address import NEVER_ASKED, Answer, was_erased

from .doubles import World, holder, line, names_nobody

pytestmark = pytest.mark.anyio

TODAY = line(("LMS_MISC", "LMS", "retirement_lms_retire_misc"), ("LMS", "LMS", "retirement_lms_retire"))
#: How a retirement ends in the ledger: the ending, and the steps that are proved.
GONE, HALF, PLAIN = ("retired", 2), ("parked", 1), ("rescinded", 0)


async def entered(world: World, site: Site, learner: Learner, ending: str, steps: int) -> None:
    lease = await world.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline=TODAY.digest)
    for step in list(TODAY)[:steps]:
        await lease.intend(step.name, step.service, step.operation)
        await lease.prove(step.name, "erased")
    await lease.end(ending, "of this test", COMPLETE if ending == "retired" else PENDING)


def why(answer: Answer) -> list[tuple[int, int, str]]:
    return [(each.user_id, each.retirement_id, each.why) for each in answer.not_retired]


@pytest.mark.parametrize(
    ("told", "erased", "named"),
    [
        ([(7, 1, GONE)], True, []),
        ([(7, 1, GONE), (9, 2, GONE)], True, []),
        ([(7, 1, GONE), (9, 2, HALF)], False, [(9, 2)]),
        ([(7, 1, HALF), (9, 2, GONE)], False, [(7, 1)]),
        ([(7, 1, PLAIN), (9, 2, GONE)], False, [(7, 1)]),
        ([(7, 1, PLAIN), (7, 2, GONE)], True, []),
        ([(7, 1, HALF), (7, 2, GONE)], False, [(7, 1)]),
        ([(7, 1, GONE), (7, 2, PLAIN)], False, [(7, 2)]),
        ([(7, 1, PLAIN)], False, [(7, 1)]),
        ([], False, []),
    ],
)
async def test_a_yes_is_about_every_retirement_that_is_known(
    world: World, ana: Learner, told: list[tuple[int, int, tuple[str, int]]], erased: bool, named: list[tuple[int, int]]
) -> None:
    """One of an earlier account, or of an earlier request, counts like the newest."""
    world.seed(holder("bo"), states=TODAY.lms_states)
    site = world.site(TODAY)
    for user_id, retirement_id, (ending, steps) in told:
        await entered(world, site, replace(ana, user_id=user_id, retirement_id=retirement_id), ending, steps)

    answer = await was_erased(site, f" {ana.email.upper()}")

    assert (answer.erased, [(each.user_id, each.retirement_id) for each in answer.not_retired]) == (erased, named)
    assert all(each.why.endswith(": of this test") for each in answer.not_retired)
    assert answer.not_asked == NEVER_ASKED


@pytest.mark.parametrize(
    ("state", "erased"),
    [(PENDING, False), ("NOTES_COMPLETE", False), (ERRORED, False), (ABORTED, False), (COMPLETE, None)],
)
async def test_a_row_of_which_the_ledger_has_nothing_is_named(world: World, state: str, erased: bool | None) -> None:
    """Of a learner who waits, or whom another driver left or finished: that is no proof."""
    world.seed(holder("bo", state=state), states=[PENDING, "NOTES_COMPLETE", *TODAY.lms_states[1:]])
    site = world.site(TODAY)

    answer = await was_erased(site, "bo@mail.example")

    assert answer.erased is erased
    ((user_id, _, said),) = why(answer)
    assert (user_id, said.startswith(f"the LMS has its row in {state}")) == (world.user_ids["bo"], True)
    assert names_nobody(str(answer))


async def test_a_row_that_came_back_is_named_though_the_ledger_has_it_as_retired(world: World) -> None:
    """A backup of the LMS was restored."""
    world.seed(holder("bo"), states=TODAY.lms_states)
    site = world.site(TODAY)
    bo = await world.learner(site, "bo")
    await entered(world, site, bo, *GONE)

    answer = await was_erased(site, bo.email)

    assert (answer.erased, why(answer)) == (False, [(bo.user_id, bo.retirement_id, "the LMS has its row in PENDING")])
    await world.force("bo", COMPLETE)
    assert (await was_erased(site, bo.email)).erased is True


async def test_an_lms_that_cannot_be_asked_is_said_beside_the_answer(world: World, ana: Learner) -> None:
    """The ledger's answer stands for what the ledger knows."""
    world.seed(states=TODAY.lms_states)
    site = world.site(TODAY)
    await entered(world, site, ana, *GONE)
    world.sandbox.arm([{"path": "", "status": 503, "times": 100}])

    answer = await was_erased(site, ana.email)

    assert answer.erased is True
    assert "answered 503" in answer.not_asked[0]
    assert answer.not_asked[0].startswith("the LMS, for retirements that this ledger does not know: ")


async def test_rows_that_could_not_be_compared_are_said(world: World) -> None:
    """No listing shows the row, and the worker is not staff."""
    world.seed(holder("bo"), states=[*TODAY.lms_states, "QUARANTINE"], worker_is_staff=False)
    site = world.site(TODAY)
    bo = await world.learner(site, "bo")
    lease = await world.ledger.learners.lease(bo, due_at=site.due_at(bo), pipeline=TODAY.digest)
    await lease.end("parked", "", "LMS_MISC_COMPLETE")
    await world.force("bo", "QUARANTINE")

    answer = await was_erased(site, "other@mail.example")

    assert answer.not_asked[0].startswith(f"the row of learner {bo.user_id}: ")


async def test_a_retirement_that_a_later_request_replaced_half_way_is_found(world: World, ana: Learner) -> None:
    """The LMS shows the later row only."""
    world.seed(states=TODAY.lms_states)
    site = world.site(TODAY)
    for number, ending in enumerate([HALF, PLAIN, GONE], 1):
        await entered(world, site, replace(ana, user_id=7, retirement_id=number), *ending)

    (replaced,) = await world.ledger.unended.replaced()

    assert (replaced.user_id, replaced.retirement_id) == (7, 1)
