"""The partner report dies at each request and each entry of the ledger in turn; the next run finishes it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from retirement.errors import Ending
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.ledger import Ledger, LedgerLocation, Transaction, opened
from retirement.partners import report as partners

from .batches import batch_of
from .doubles import PERSONAL, AtOnce, Died, Forward, World
from .reporting import ORGS, PIPELINE, WAITS, due, flags, learners, lose_a_claim, queued, sent, told

pytestmark = pytest.mark.anyio

T = TypeVar("T")

#: Whatever erases anything, in whatever service.
ERASES = ("accounts/retire/", "retire_misc", "retire_forum", "retire_user", "unenroll", "replace_usernames")


@dataclass
class Mortal:
    """Lets so many requests and entries pass, dies at the next one, and is dead from then on."""

    at: int
    after: bool
    seen: int = 0

    async def request(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        self._may_live()
        answer = await forward(request)
        self._may_go_on()
        return answer

    def haunt(self, ledger: Ledger) -> None:
        """Counts the ledger's entries, and refuses them to the dead."""
        write = ledger.access.write

        async def mortal(work: Callable[[Transaction], T]) -> T:
            self._may_live()
            result = await write(work)
            self._may_go_on()
            return result

        vars(ledger.access)["write"] = mortal

    @property
    def died(self) -> bool:
        return self.seen >= self.at

    def _may_live(self) -> None:
        self.seen += 1
        if self.seen > self.at or (self.seen == self.at and not self.after):
            raise Died

    def _may_go_on(self) -> None:
        if self.died:
            raise Died


@pytest.mark.parametrize("after", [False, True], ids=["before-the-work", "after-the-work"])
@pytest.mark.parametrize("lost", [False, True], ids=["in-peace", "after-a-lost-claim"])
async def test_a_report_that_died_anywhere_is_finished_by_the_next(
    world: World, tmp_path: Path, lost: bool, after: bool, every_nth: int
) -> None:
    """Everybody is in one file of each organisation, no name is left in the LMS' queue, rows are where they were."""
    await _prepare(world, tmp_path / "first.sqlite")
    deaths = 0
    while True:
        folder = tmp_path / f"reports-{deaths}"
        folder.mkdir()
        place = LedgerLocation(f"sqlite:///{tmp_path / str(deaths)}.sqlite", key=tmp_path / "first.sqlite.key")
        shutil.copy(tmp_path / "first.sqlite", tmp_path / f"{deaths}.sqlite")
        if not await _dies(world, place, folder, Mortal(deaths + 1, after), lost=lost):
            break
        deaths += 1
        world.calendar.pass_by(minutes=10)
        async with opened(place, clock=world.calendar, executor=AtOnce()) as world.ledger:
            await _finish(world, folder)
            assert told(folder) == due(), f"died at {deaths}"
            assert not flags(world), f"died at {deaths}"
            assert (await world.ledger.verify()).ok
        _names_nobody(tmp_path, deaths)
        deaths += every_nth - 1

    assert deaths >= (45 if lost else 15)


async def _prepare(world: World, path: Path) -> None:
    """A ledger in which everybody was queued; each death has its copy, so that nobody has to be retired again."""
    async with opened(LedgerLocation(f"sqlite:///{path}"), clock=world.calendar) as world.ledger:
        await queued(world)


def _queued_again(world: World) -> None:
    """The platform as it was when that ledger was written."""
    seeds = [
        each
        | {"state": WAITS if each["username"] == "bo" else "COMPLETE", "account_retired": each["username"] != "bo"}
        | ({"partner_report": "queued"} if each["enrollments"] else {})
        for each in learners()
    ]
    before = world.user_ids
    world.seed(*seeds, states=PIPELINE.lms_states)
    assert world.user_ids == before


async def _dies(world: World, place: LedgerLocation, folder: Path, mortal: Mortal, *, lost: bool) -> bool:
    """Whether a run met its death; one that did not has to be through with everybody."""
    async with opened(place, clock=world.calendar, executor=AtOnce()) as world.ledger:
        _queued_again(world)
        site = world.site(PIPELINE)
        if lost:
            await lose_a_claim(world, site)
        mortal.haunt(world.ledger)
        world.around = mortal.request
        try:
            delivery = await partners.deliver(
                site, batch_of(site), partners.destination(folder, "https://campus.example")
            )
        except Died:
            return True
        finally:
            world.around = None
        assert not mortal.died
        assert (delivery.error, told(folder), flags(world)) == (None, due(), {})
        return False


async def _finish(world: World, folder: Path) -> None:
    """What the schedules of a site do: reconcile, the next report, the next queue run."""
    site = world.site(PIPELINE)
    assert not [each async for each in reconcile(site) if each.verdict in (Verdict.LEFT, Verdict.FAILED)]
    assert {world.state(name) for name in ORGS if name != "bo"} == {"COMPLETE"}
    assert world.state("bo") == WAITS
    delivery = await partners.deliver(site, batch_of(site), partners.destination(folder, "https://campus.example"))
    assert (delivery.error, delivery.left, delivery.problems) == (None, {}, [])
    for name in ORGS:
        report = await world.retire(site, name)
        assert report.ending is Ending.RETIRED, report
    # Once for bo, whom a service had kept waiting.
    assert [sent(world, path) for path in ERASES] == [1, 0, 0, 0, 0, 0]
    calm = await partners.deliver(site, batch_of(site), partners.destination(folder, "https://campus.example"))
    assert (calm.learners, calm.queued_again, calm.left) == (0, [], {})


def _names_nobody(folder: Path, deaths: int) -> None:
    secrets: list[Any] = [secret.encode() for secret in PERSONAL]
    for path in folder.glob(f"{deaths - 1}.sqlite*"):
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path.name
