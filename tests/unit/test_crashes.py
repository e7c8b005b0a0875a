"""The process dies at each request in turn, before the work or after it; the next run finishes the learner."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest

from retirement.engine import Ending, retire
from retirement.pipeline import Pipeline

from .doubles import USERNAME, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio


class Died(BaseException):
    """What no code of ours may catch."""


@dataclass
class Deadly:
    """Lets so many requests pass and dies at the next one."""

    at: int
    after: bool
    sent: int = 0

    async def __call__(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        self.sent += 1
        if self.sent < self.at:
            return await forward(request)
        if self.sent == self.at and self.after:
            await forward(request)
        raise Died


def given_back(pipeline: Pipeline, state: str) -> str | None:
    """What an operator forces a stuck row to: the last end state before its working state."""
    for place, step in enumerate(pipeline):
        if step.start == state:
            return pipeline.steps[place - 1].end if place else "PENDING"
    return None


@pytest.mark.parametrize("forum", ["legacy", "v2"])
@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
@pytest.mark.parametrize("name", ["default", "dag"])
async def test_a_run_that_died_anywhere_is_finished_by_the_next(
    world: World, name: str, after: bool, forum: str
) -> None:
    """For every request of a run: COMPLETE in the end, and nothing of the learner left."""
    pipeline = shipped(name)
    # An old forum renames the account, so the account step misses the consent (contract, section 4.16).
    survivors = {"consent_datasharingconsent"} if forum == "v2" else set()
    deaths = 0
    while True:
        world.seed(holder(), states=pipeline.lms_states, forum=forum)
        world.around = None
        site = world.site(pipeline)
        learner = await world.learner(site, USERNAME)
        world.around = Deadly(deaths + 1, after)
        try:
            report = await retire(site, learner)
        except BaseException as death:
            world.around = None
            grouped = isinstance(death, BaseExceptionGroup) and death.subgroup(Died)
            if not (isinstance(death, Died) or grouped):
                raise
        else:
            assert Ending.RETIRED is report.ending
            break
        deaths += 1
        if (state := given_back(pipeline, world.state(USERNAME))) is not None:
            await world.force(USERNAME, state)
        again = await world.retire(world.site(pipeline), USERNAME)
        assert (again.ending, world.state(USERNAME)) == (Ending.RETIRED, "COMPLETE"), f"died at request {deaths}"
        left = {place["table"] for place in world.sandbox.residue(USERNAME)}
        assert left <= survivors, f"died at request {deaths}"
        assert [each["active"] for each in world.sandbox.state()["learners"][USERNAME]["enrollments"]] == [False, False]

    assert deaths >= 2 * len(pipeline) + 1
