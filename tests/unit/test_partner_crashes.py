"""The partner report dies at each request, entry of the ledger and file operation; the next run finishes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from retirement.partners.destination import Destination, destination
from retirement.partners.sinks import folder as of_folders

from .doubles import World
from .dying import Mortal, dies_anywhere
from .reporting import told

pytestmark = pytest.mark.anyio


@dataclass
class Folder:
    """The operator's folder; the operations on its files die with the process."""

    path: Path
    patch: pytest.MonkeyPatch

    def destination(self, mortal: Mortal | None) -> Destination:
        self.patch.undo()
        if mortal:
            for name in ("_write_private", "_renamed", "sync_folder"):
                self.patch.setattr(of_folders, name, mortal.doing(vars(of_folders)[name]))
        return destination(self.path, "https://campus.example")

    def told(self) -> Counter[tuple[str, str]]:
        assert not list(self.path.glob(".*.partial"))
        return told(self.path)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
@pytest.mark.parametrize("lost", [False, True], ids=["in-peace", "after-a-lost-claim"])
async def test_a_report_that_died_anywhere_is_finished_by_the_next(
    world: World, tmp_path: Path, lost: bool, after: bool, every_nth: int
) -> None:
    """Everybody is in one file of each organisation, no name is left in the LMS' queue, rows are where they were."""

    def make(deaths: int) -> Folder:
        (tmp_path / f"reports-{deaths}").mkdir()
        return Folder(tmp_path / f"reports-{deaths}", patch)

    with pytest.MonkeyPatch.context() as patch:
        deaths = await dies_anywhere(world, tmp_path, make, lost=lost, after=after, every_nth=every_nth)

    assert deaths >= (60 if lost else 30)
