"""Moving a row: not repeatable, so after a lost answer it is read before anything is decided."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from retirement.errors import Misconfigured, Rescinded, StateConflict, Transient
from retirement.learner import Learner
from retirement.site import Site

from .doubles import USERNAME, Forward, World, holder, row, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")
UPDATE = "/api/user/v1/accounts/update_retirement_status/"
START = "RETIRING_ENROLLMENTS"


@pytest.fixture
def site(world: World) -> Site:
    world.seed(holder(), states=PIPELINE.lms_states)
    return world.site(PIPELINE)


def patches(world: World) -> int:
    return sum(each["method"] == "PATCH" for each in world.sandbox.requests)


def fault(**what: Any) -> dict[str, Any]:
    return {"path": "update_retirement_status", "method": "PATCH", **what}


async def start(world: World, site: Site, **options: Any) -> None:
    learner = await world.learner(site, USERNAME)
    await site.lms.rows.move(learner, START, "Starting.", since="PENDING", **options)


async def test_a_move_is_one_request_with_its_text(world: World, site: Site) -> None:
    """The text is stored with the row."""
    await start(world, site)

    retirement = world.sandbox.state()["learners"][USERNAME]["retirement"]
    assert (retirement["current_state"], retirement["last_state"], patches(world)) == (START, "PENDING", 1)
    assert retirement["responses"].endswith(f"Moved from PENDING (step 1) to {START} (step 11):\nStarting.\n")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"after": True, "drop": True}, 1),
        ({"after": True, "status": 504}, 1),
        ({"after": True, "status": 500}, 1),
        ({"drop": True}, 2),
        ({"status": 504}, 2),
        ({"status": 502}, 2),
        ({"status": 503, "headers": {"Retry-After": "3"}}, 2),
        ({"status": 429, "headers": {"Retry-After": "3"}}, 2),
    ],
    ids=str,
)
async def test_a_lost_answer_is_read_back(world: World, site: Site, what: dict[str, Any], expected: int) -> None:
    """Sent again only where the row shows that it was not done."""
    world.sandbox.arm([fault(**what)])

    await start(world, site)

    assert (START, expected) == (world.state(USERNAME), patches(world))
    responses = world.sandbox.state()["learners"][USERNAME]["retirement"]["responses"]
    assert responses.count("Moved from") == 1
    if "headers" in what:
        assert world.naps.taken == [3.0]


async def test_over_its_limit_the_lms_has_done_nothing_so_nothing_is_read(world: World, site: Site) -> None:
    """429 leaves no doubt."""
    world.sandbox.arm([fault(status=429, headers={"Retry-After": "1"})])

    await start(world, site)

    assert not [each for each in world.sandbox.requests if each["path"].endswith("/retirement_status/")]


async def test_a_lost_answer_of_a_slow_move_is_ours_when_it_arrives_late(world: World, site: Site) -> None:
    """504, the row has not moved, we send again, and now the first one is there: 400, and the move is ours.

    Contract, section 7: 400 after a lost answer of the same PATCH and the state as wanted means ours.
    """
    kept: list[httpx.Request] = []

    async def late(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.method == "PATCH" and not kept:
            kept.append(request)
            return httpx.Response(504, html="<p>gateway</p>")
        if request.method == "PATCH" and len(kept) == 1:
            kept.append(request)
            await forward(kept[0])
        return await forward(request)

    learner = await world.learner(site, USERNAME)
    world.around = late
    await site.lms.rows.move(learner, START, "Starting.", since="PENDING")

    assert world.state(USERNAME) == START


async def test_an_lms_that_stays_down_ends_in_the_error(world: World, site: Site) -> None:
    """One PATCH in doubt, and no second one before the row could be read."""
    learner = await world.learner(site, USERNAME)
    world.sandbox.arm([{"status": 503, "times": 99}])

    with pytest.raises(Transient):
        await site.lms.rows.move(learner, START, "Starting.", since="PENDING")

    assert (patches(world), world.state(USERNAME)) == (1, "PENDING")


@pytest.mark.parametrize("force", [False, True])
async def test_a_row_that_is_gone_was_taken_back(site: Site, force: bool) -> None:
    """A learner may cancel between the queue and the first move (contract, section 4.13)."""
    gone = Learner.from_row(row(original_username="nobody"))

    with pytest.raises(Rescinded):
        await site.lms.rows.move(gone, START, "Starting.", since="PENDING", force=force)


async def test_a_row_that_is_gone_later_was_not_taken_back(world: World, site: Site) -> None:
    """Only PENDING requests can be cancelled: further on somebody renamed or removed the row (section 4.14)."""
    await world.force(USERNAME, "ENROLLMENTS_COMPLETE")
    learner = await world.learner(site, USERNAME)
    answer = await world.clients["lms"].post(
        "/api/user/v1/accounts/replace_usernames/",
        json={"username_mappings": [{USERNAME: "another"}]},
        headers={"Authorization": f"JWT {await site.tokens.current()}"},
    )
    assert answer.status_code == 200

    with pytest.raises(StateConflict) as caught:
        await site.lms.rows.move(learner, "RETIRING_FORUMS", "Starting.", since="ENROLLMENTS_COMPLETE")

    assert type(caught.value) is not Rescinded


@pytest.mark.parametrize("theirs", [START, "ENROLLMENTS_COMPLETE", "ERRORED", "COMPLETE"])
@pytest.mark.parametrize("force", [False, True])
async def test_a_row_that_somebody_else_moved_is_left_alone(world: World, site: Site, theirs: str, force: bool) -> None:
    """The refusal is the only sign of mutual exclusion that there is (contract, section 2.8)."""
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, theirs)
    if force and theirs == START:
        pytest.skip("a forced move that finds the row where it should be is done")

    with pytest.raises(StateConflict, match=theirs):
        await site.lms.rows.move(learner, START, "Starting.", since="PENDING", force=force)

    assert theirs == world.state(USERNAME)


@pytest.mark.parametrize("theirs", ["FORUMS_COMPLETE", "ERRORED"])
async def test_a_row_that_was_moved_while_the_answer_was_lost_is_left_alone(
    world: World, site: Site, theirs: str
) -> None:
    """Neither what we left nor what we wanted."""
    learner = await world.learner(site, USERNAME)

    async def taken(request: httpx.Request, forward: Forward) -> httpx.Response:
        await world.force(USERNAME, theirs)
        world.around = None
        raise httpx.ReadTimeout("lost", request=request)

    world.around = taken
    with pytest.raises(StateConflict, match=theirs):
        await site.lms.rows.move(learner, START, "Starting.", since="PENDING")
    assert theirs == world.state(USERNAME)


async def test_an_order_that_the_lms_refuses_is_misconfigured(world: World, site: Site) -> None:
    """The row is where we left it, and still the LMS refuses: its states have another order."""
    await world.force(USERNAME, "RETIRING_NOTES")
    learner = await world.learner(site, USERNAME)

    with pytest.raises(Misconfigured, match="no move from RETIRING_NOTES to FORUMS_COMPLETE"):
        await site.lms.rows.move(learner, "FORUMS_COMPLETE", "Ending.", since="RETIRING_NOTES")


@pytest.mark.parametrize("force", [False, True])
async def test_a_state_that_the_lms_lacks_is_misconfigured(world: World, site: Site, force: bool) -> None:
    """400 without force, 500 with it; neither is a matter of time."""
    learner = await world.learner(site, USERNAME)

    with pytest.raises(Misconfigured):
        await site.lms.rows.move(learner, "RETIRING_X", "Starting.", since="PENDING", force=force)
    assert (patches(world), world.naps.taken) == (1, [])


async def test_a_forced_move_goes_backward(world: World, site: Site) -> None:
    """As parking does; it looks first, and the body says `force`."""
    await world.force(USERNAME, START)
    learner = await world.learner(site, USERNAME)
    bodies: list[dict[str, Any]] = []

    async def seen(request: httpx.Request, forward: Forward) -> httpx.Response:
        bodies.append(json.loads(request.content) if request.content else {})
        return await forward(request)

    world.around = seen
    await site.lms.rows.move(learner, "PENDING", "Given back.", since=START, force=True)

    assert world.state(USERNAME) == "PENDING"
    body = {"username": USERNAME, "new_state": "PENDING", "response": "Given back.", "force": True}
    assert [{}, body] == bodies


async def test_a_forced_move_that_is_done_already_sends_nothing(world: World, site: Site) -> None:
    """Somebody gave the learner back."""
    await world.force(USERNAME, START)
    learner = await world.learner(site, USERNAME)
    await world.force(USERNAME, "PENDING")
    before = patches(world)

    await site.lms.rows.move(learner, "PENDING", "Given back.", since=START, force=True)

    assert before == patches(world)


async def test_a_name_that_no_path_carries_is_moved_and_read_back(world: World, site: Site) -> None:
    """The PATCH has the name in its body; the row is read from a list."""
    world.seed(holder("faye/slash"), states=PIPELINE.lms_states)
    learner = await world.learner(site, "faye/slash")
    world.sandbox.arm([fault(after=True, drop=True)])

    await site.lms.rows.move(learner, START, "Starting.", since="PENDING")

    assert (world.state("faye/slash"), patches(world)) == (START, 1)
