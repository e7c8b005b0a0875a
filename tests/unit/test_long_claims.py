"""An answer of the LMS with more learners than one claim holds is several claims, whatever ends the run in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from retirement.partners import report as partners
from retirement.partners.destination import destination
from tests.ledger.desk import claims_of

from .batches import batch_of
from .doubles import World
from .dying import dies_anywhere
from .every_sink import SINKS
from .reporting import due, flags, queued, told

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def short_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two learners are as many as a claim holds."""
    monkeypatch.setattr(partners, "LEARNERS", 2)


async def test_a_long_answer_is_several_claims_with_files_of_their_own(world: World, tmp_path: Path) -> None:
    """Each learner is in one file of each organisation, whose name has the number of its claim."""
    site = await queued(world)
    place = destination(tmp_path, "https://campus.example")

    delivery = await partners.deliver(site, batch_of(site), place)
    again = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, delivery.problems, delivery.learners, again.learners) == (None, [], 3, 0)
    assert (told(tmp_path), flags(world)) == (due(), {})
    claims = [each for each in await claims_of(site.ledger) if each.user_ids]
    assert [(each.state, len(each.user_ids)) for each in claims] == [("delivered", 2), ("delivered", 1)]
    numbers = {name.partition("_claim-")[2] for name in delivery.files}
    assert numbers == {f"{each.id}.csv" for each in claims}
    assert (await site.ledger.verify()).problem is None


@pytest.mark.sweep
@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
async def test_a_report_of_several_claims_that_died_anywhere_is_finished_by_the_next(
    world: World, tmp_path: Path, after: bool, every_nth: int, turn: int
) -> None:
    """None of its learners is told of twice, or not at all."""
    opened, least = SINKS["folder"]
    async with opened(tmp_path) as make:
        first = turn % min(every_nth, least)
        deaths = await dies_anywhere(world, tmp_path, make, after=after, every_nth=every_nth, first=first)

    assert deaths >= least + 15
