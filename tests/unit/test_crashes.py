"""The process dies at each request in turn, before the work or after it; the next run finishes the learner."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.learner import Learner
from retirement.ledger import LedgerLocation, opened
from retirement.pipeline import Moves
from retirement.site import Site
from tests.ledgers import place_file

from .batches import retire
from .doubles import USERNAME, Deadly, World, holder, shipped

pytestmark = pytest.mark.anyio


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "after", "forum", "moves"),
    [
        ("default", False, "legacy", Moves.EACH),
        ("default", True, "v2", Moves.EACH),
        ("dag", True, "legacy", Moves.EACH),
        ("dag", False, "v2", Moves.EACH),
        ("default", True, "legacy", Moves.MERGED),
        ("dag", False, "legacy", Moves.MERGED),
    ],
    ids=[
        "line-before-the-work",
        "line-after-the-work-old-forum",
        "dag-after-the-work",
        "dag-before-the-work-old-forum",
        "line-after-the-work-merged",
        "dag-before-the-work-merged",
    ],
)
async def test_a_run_that_died_anywhere_is_finished_by_the_next(
    world: World, tmp_path: Path, name: str, after: bool, forum: str, moves: Moves, every_nth: int, first: int
) -> None:
    """For every request of a run: COMPLETE in the end, nothing of the learner left, a ledger that is whole."""
    pipeline = shipped(name)
    # An old forum renames the account, so the account step misses the consent (contract, section 4.16).
    survivors = {"consent_datasharingconsent"} if forum == "v2" else set()
    deaths = first
    while True:
        world.seed(holder(), states=pipeline.lms_states, forum=forum)
        place = LedgerLocation(f"sqlite:///{place_file(tmp_path / f'{deaths}.sqlite')}")
        async with opened(place, clock=world.calendar) as world.ledger:
            site = world.site(pipeline, moves=moves)
            learner = await world.learner(site, USERNAME)
            if await world.outlives(Deadly(deaths + 1, after), partial(_retired, site, learner)):
                break
            deaths += 1
            world.calendar.pass_by(minutes=10)
            survivor = world.site(pipeline, moves=moves)
            assert not [each async for each in reconcile(survivor) if each.verdict in (Verdict.LEFT, Verdict.FAILED)]
            again = await world.retire(survivor, USERNAME)
            assert (again.ending, world.state(USERNAME)) == (Ending.RETIRED, "COMPLETE"), f"died at request {deaths}"
            left = {each["table"] for each in world.sandbox.residue(USERNAME)}
            assert left <= survivors, f"died at request {deaths}"
            assert (await world.ledger.verify()).ok
        learner = world.sandbox.state()["learners"][USERNAME]
        assert [each["active"] for each in learner["enrollments"]] == [False, False]
        deaths += every_nth - 1

    assert deaths >= (2 if moves is Moves.EACH else 1) * len(pipeline) + 1


async def _retired(site: Site, learner: Learner) -> None:
    """A run with nobody in its way."""
    assert (await retire(site, learner)).ending is Ending.RETIRED
