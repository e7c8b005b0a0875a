"""A partner report that dies: at a request, an entry of the ledger or a file operation; and what finishes it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import httpx

from retirement.errors import Ending, RetirementError
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.ledger import Ledger, LedgerLocation, Transaction, opened
from retirement.ledger.tables import ParcelKey
from retirement.partners import report as partners
from retirement.partners.destination import Destination

from .batches import batch_of
from .doubles import PERSONAL, AtOnce, Died, Forward, World
from .reporting import ORGS, PIPELINE, WAITS, due, flags, learners, lose_a_claim, queued, sent

P = ParamSpec("P")
T = TypeVar("T")

#: Whatever erases anything, in whatever service.
ERASES = ("accounts/retire/", "retire_misc", "retire_forum", "retire_user", "unenroll", "replace_usernames")


@dataclass
class Mortal:
    """Lets so many requests and entries pass, dies at the next one, and is dead from then on.

    `of_sinks`: only what sinks do counts.
    """

    at: int
    after: bool
    of_sinks: bool = False
    seen: int = 0

    async def request(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        self._may_live_elsewhere()
        answer = await forward(request)
        self._may_go_on_elsewhere()
        return answer

    def haunt(self, ledger: Ledger) -> None:
        """Counts the ledger's entries, and refuses them to the dead."""
        write = ledger.access.write

        async def mortal(work: Callable[[Transaction], T]) -> T:
            self._may_live_elsewhere()
            result = await write(work)
            self._may_go_on_elsewhere()
            return result

        vars(ledger.access)["write"] = mortal

    def doing(self, work: Callable[P, T]) -> Callable[P, T]:
        """Some work that counts, such as a file operation."""

        def mortal(*args: P.args, **kwargs: P.kwargs) -> T:
            self.may_live()
            result = work(*args, **kwargs)
            self.may_go_on()
            return result

        return mortal

    def awaiting(self, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """The same of work that is waited for, such as a request to a sink."""

        async def mortal(*args: P.args, **kwargs: P.kwargs) -> T:
            self.may_live()
            result = await work(*args, **kwargs)
            self.may_go_on()
            return result

        return mortal

    @property
    def died(self) -> bool:
        return self.seen >= self.at

    def may_live(self) -> None:
        self.seen += 1
        if self.seen > self.at or (self.seen == self.at and not self.after):
            raise Died

    def _may_live_elsewhere(self) -> None:
        if not self.of_sinks:
            self.may_live()
        elif self.died:
            raise Died

    def _may_go_on_elsewhere(self) -> None:
        if not self.of_sinks:
            self.may_go_on()

    def may_go_on(self) -> None:
        if self.died:
            raise Died


class Place(Protocol):
    """Where the files of one death go."""

    def destination(self, mortal: Mortal | None) -> Destination:
        """The sinks, which die with the process."""

    def told(self) -> Counter[tuple[str, str]]:
        """How often each learner is in a file of each organisation."""


async def dies_anywhere(
    world: World,
    folder: Path,
    make: Callable[[int], Place],
    *,
    lost: bool = False,
    after: bool,
    every_nth: int,
    first: int = 0,
    of_sinks: bool = False,
) -> int:
    """Lets a report die at each Nth thing that it does, and the next one finish it; how many things there are.

    `first`: how many things are left out before the first death.
    """
    await _prepare(world, folder / "first.sqlite")
    deaths = first
    while True:
        place = make(deaths)
        ledger = LedgerLocation(f"sqlite:///{folder / str(deaths)}.sqlite", key=folder / "first.sqlite.key")
        shutil.copy(folder / "first.sqlite", folder / f"{deaths}.sqlite")
        if not await _dies(world, ledger, place, Mortal(deaths + 1, after, of_sinks), lost=lost):
            return deaths
        deaths += 1
        world.calendar.pass_by(minutes=10)
        async with opened(ledger, clock=world.calendar, executor=AtOnce()) as world.ledger:
            await _finish(world, place)
            assert place.told() == due(), f"died at {deaths}"
            assert not flags(world), f"died at {deaths}"
            assert await _keys(world) == 0, f"died at {deaths}"
            assert (await world.ledger.verify()).ok
        _names_nobody(folder, deaths)
        deaths += every_nth - 1


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


async def _dies(world: World, ledger: LedgerLocation, place: Place, mortal: Mortal, *, lost: bool) -> bool:
    """Whether a run met its death; one that did not has to be through with everybody."""
    async with opened(ledger, clock=world.calendar, executor=AtOnce()) as world.ledger:
        _queued_again(world)
        site = world.site(PIPELINE)
        if lost:
            await lose_a_claim(world, site)
        mortal.haunt(world.ledger)
        world.around = mortal.request
        try:
            delivery = await partners.deliver(site, batch_of(site), place.destination(mortal))
        except Died:
            return True
        except RetirementError:
            # A server that let its client die says so by an error, before anything was claimed.
            if not mortal.died:
                raise
            return True
        finally:
            world.around = None
        assert not mortal.died
        assert (delivery.error, place.told(), flags(world)) == (None, due(), {})
        return False


async def _keys(world: World) -> int:
    """How many parcels still have their key."""
    return len(await world.ledger.access.read(lambda tx: tx.rows(ParcelKey)))


async def _finish(world: World, place: Place) -> None:
    """What the schedules of a site do: reconcile, the next report, the next queue run."""
    site = world.site(PIPELINE)
    assert not [each async for each in reconcile(site) if each.verdict in (Verdict.LEFT, Verdict.FAILED)]
    assert {world.state(name) for name in ORGS if name != "bo"} == {"COMPLETE"}
    assert world.state("bo") == WAITS
    delivery = await partners.deliver(site, batch_of(site), place.destination(None))
    assert (delivery.error, delivery.left, delivery.problems) == (None, {}, [])
    for name in ORGS:
        report = await world.retire(site, name)
        assert report.ending is Ending.RETIRED, report
    # Once for bo, whom a service had kept waiting.
    assert [sent(world, path) for path in ERASES] == [1, 0, 0, 0, 0, 0]
    calm = await partners.deliver(site, batch_of(site), place.destination(None))
    assert (calm.learners, calm.queued_again, calm.left) == (0, [], {})


def _names_nobody(folder: Path, deaths: int) -> None:
    secrets: list[Any] = [secret.encode() for secret in PERSONAL]
    for path in folder.glob(f"{deaths - 1}.sqlite*"):
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path.name
