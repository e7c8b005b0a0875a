"""The partner report dies at each request, entry of the ledger and file operation; the next run finishes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from retirement.config.partners import KINDS

from .doubles import World
from .dying import dies_anywhere
from .every_sink import SINKS

pytestmark = pytest.mark.anyio

BEFORE_AND_AFTER = pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])


#: The operations of a folder are among all that the second test dies at.
@pytest.mark.sweep
@BEFORE_AND_AFTER
@pytest.mark.parametrize("kind", [each for each in KINDS if each != "folder"])
async def test_a_report_that_died_at_any_request_of_a_sink_is_finished_by_the_next(
    world: World, tmp_path: Path, kind: str, after: bool, every_nth: int, turn: int
) -> None:
    """Each learner is in one delivered file of each organisation, no draft is left, and the LMS' queue is empty."""
    opened, least = SINKS[kind]
    async with opened(tmp_path) as make:
        deaths = await dies_anywhere(
            world, tmp_path, make, after=after, every_nth=every_nth, first=turn % min(every_nth, least), of_sinks=True
        )

    assert deaths >= least


@BEFORE_AND_AFTER
@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        ("folder", True),
        *(pytest.param(kind, False, marks=pytest.mark.nightly) for kind in KINDS),
    ],
)
async def test_a_report_that_died_anywhere_is_finished_by_the_next(
    world: World, tmp_path: Path, kind: str, lost: bool, after: bool, every_nth: int, turn: int
) -> None:
    """At requests to the LMS and entries of the ledger as well, and after a claim whose answer was lost."""
    opened, least = SINKS[kind]
    async with opened(tmp_path) as make:
        first = turn % min(every_nth, least)
        deaths = await dies_anywhere(world, tmp_path, make, lost=lost, after=after, every_nth=every_nth, first=first)

    assert deaths >= least + 15
