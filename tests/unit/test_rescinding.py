"""Requests that are taken back or aborted while a run comes or is under way: no call follows once it shows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import httpx
import pytest

from retirement.errors import Ending, Misconfigured, Refused, StateConflict
from retirement.followup.cancel import cancel
from retirement.followup.reconcile import reconcile
from retirement.learner import Learner
from retirement.pipeline import Pipeline

from .batches import retire
from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")
TOKEN = "/oauth2/access_token"


def _erases(request: httpx.Request) -> bool:
    return request.method in ("POST", "PUT") and request.url.path != TOKEN


@dataclass
class Aborting:
    """Has an operator abort one learner just before one request, and keeps the erasing calls after it."""

    world: World
    username: str
    at: int
    sent: int = 0
    on_its_way: str = ""
    calls_after: set[str] = field(default_factory=set)

    async def __call__(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        path = request.url.path
        self.sent += path != TOKEN
        if self.sent == self.at and not self.on_its_way:
            self.on_its_way = path
            await self.world.force(self.username, "ABORTED")
        elif self.sent > self.at and _erases(request) and path != self.on_its_way:
            self.calls_after.add(path)
        return await forward(request)


@pytest.mark.parametrize("pipeline", [LINE, DAG], ids=["line", "graph"])
async def test_an_operator_who_aborts_is_obeyed_from_the_next_look_on(
    world: World, pipeline: Pipeline, every_nth: int, first: int
) -> None:
    """Before each request in turn: at most the calls that were on their way, then nothing, and ABORTED stays."""
    everybody = [f"at-{n}" for n in range(1, 40)]
    world.seed(*(holder(name) for name in everybody), states=pipeline.lms_states)
    step = min(every_nth, 4)
    for at, username in zip(itertools.count(1 + first % step, step), everybody, strict=False):
        site = world.site(pipeline)
        learner = await world.learner(site, username)
        world.around = aborting = Aborting(world, username, at)
        report = await retire(site, learner)
        world.around = None
        if aborting.sent < at:
            break
        if aborting.on_its_way.endswith("update_retirement_status/") and report.ending is Ending.RETIRED:
            # The LMS takes COMPLETE after ABORTED, and everything was erased before.
            assert (aborting.calls_after, world.sandbox.residue(username)) == (set(), [])
            continue
        assert report.ending in (Ending.RESCINDED, Ending.BUSY_ELSEWHERE), f"request {at}: {report}"
        assert world.state(username) == "ABORTED"
        after = aborting.calls_after
        assert len(after) <= (0 if pipeline is LINE else 5), f"request {at}: {after}"
        assert not any("retire_misc" in path or path.endswith("/accounts/retire/") for path in after)
        left = [each async for each in reconcile(site) if each.user_id == learner.user_id]
        # A learner who is half erased is named; nothing is written.
        assert all(each.target is None and "the row is ABORTED" in each.text for each in left)
        record = await world.ledger.learners.newest(learner.user_id)
        assert record is not None
        assert report.ending is Ending.BUSY_ELSEWHERE or bool(left) is bool(record.finished)
    assert at > 2 * len(pipeline)


async def take_back(world: World, learner: Learner) -> int:
    """The learner cancels, by way of support staff."""
    around, world.around = world.around, None
    client = world.sandbox.clients["support"]
    form = {**client, "grant_type": "client_credentials", "token_type": "jwt"}
    token = (await world.clients["lms"].post(TOKEN, data=form)).json()["access_token"]
    body = {"retirement_id": learner.retirement_id}
    headers = {"Authorization": f"JWT {token}"}
    answer = await world.clients["lms"].post("/api/user/v1/accounts/cancel_retirement/", json=body, headers=headers)
    world.around = around
    return answer.status_code


@pytest.mark.parametrize("at", [1, 2], ids=["before-the-row-is-read", "before-the-first-move"])
async def test_a_learner_who_changes_their_mind_in_time_keeps_everything(world: World, at: int) -> None:
    """The request goes while the run begins: nothing is erased."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    seen: list[httpx.Request] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        seen.append(request)
        if len(seen) == at:
            assert await take_back(world, learner) == 200
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert report.ending is Ending.RESCINDED
    assert not [request for request in seen if _erases(request)]
    record = await world.ledger.learners.newest(learner.user_id)
    assert record is not None
    assert (record.ending, record.finished) == ("rescinded", {})


async def test_a_cancellation_comes_too_late_once_the_run_has_begun(world: World) -> None:
    """The LMS refuses it from the first working state on, and the run goes on."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)
    refused: list[int] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("/unenroll/"):
            refused.append(await take_back(world, learner))
        return await forward(request)

    world.around = around
    report = await retire(site, learner)

    assert (report.ending, refused) == (Ending.RETIRED, [400])


async def test_a_cancellation_that_did_nothing_is_not_told_as_one(world: World) -> None:
    """Else the next run would erase a learner who was told that the account stays."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "cancel_retirement" in request.url.path:
            return httpx.Response(200, json={"success": True})
        return await forward(request)

    world.around = around
    with pytest.raises(Refused, match="the request is there still"):
        await cancel(site, world.user_ids[USERNAME])

    (record,) = await world.ledger.learners.find()
    assert (record.ending, world.state(USERNAME)) == ("not-cancelled", "PENDING")


async def test_an_operator_cancels_for_a_learner_who_waits(world: World) -> None:
    """With a worker that may; one that may not gets the reason, and the learner is free again."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    learner = await world.learner(site, USERNAME)

    with pytest.raises(Misconfigured, match="superuser"):
        await cancel(site, learner.user_id)
    assert (world.state(USERNAME), await world.ledger.leases.live()) == ("PENDING", {})
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED

    with pytest.raises(StateConflict, match="is in COMPLETE"):
        await cancel(site, learner.user_id)
    with pytest.raises(StateConflict, match="has no retirement request"):
        await cancel(site, 4242)
