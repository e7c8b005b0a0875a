"""The ledger's disk fails at each write in turn: nobody is called any more, and the next run makes it whole."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import Ending, LedgerError
from retirement.followup.move_back import Verdict
from retirement.followup.reconcile import reconcile
from retirement.ledger import LedgerLocation, opened
from retirement.pipeline import COMPLETE
from retirement.pipeline.endings import Report

from .batches import batch_of, retire
from .doubles import USERNAME, AtOnce, Calendar, Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE, DAG = shipped("default"), shipped("dag")


class Failing(AtOnce):
    """Runs transactions at once; the one at `at` finds the database damaged, and later ones too if it lasts."""

    def __init__(self, file: Path, lasting: bool) -> None:
        self._file = file
        self._lasting = lasting
        self.at = 0
        self.ran = 0
        self.failed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not self.at:
            return super().submit(fn, *args, **kwargs)
        self.ran += 1
        if self.ran == self.at or (self.ran > self.at and self._lasting):
            self.failed = True
            self._say("ALTER TABLE event RENAME TO canary")
            done = super().submit(fn, *args, **kwargs)
            self._say("ALTER TABLE canary RENAME TO event")
            return done
        return super().submit(fn, *args, **kwargs)

    def _say(self, statement: str) -> None:
        connection = sqlite3.connect(self._file)
        connection.execute(statement)
        connection.close()


@dataclass
class Case:
    """What one run with a failing ledger came to."""

    report: Report
    sent_after: list[str]
    failed: bool


async def _run(world: World, place: LedgerLocation, pipeline_name: str, *, at: int, lasting: bool) -> Case:
    pipeline = shipped(pipeline_name)
    assert place.file is not None
    failing = Failing(place.file, lasting)
    sent_after: list[str] = []

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if failing.failed:
            sent_after.append(f"{request.method} {request.url.path}")
        return await forward(request)

    async with opened(place, clock=world.calendar, executor=failing) as world.ledger:
        site = world.site(pipeline)
        learner = await world.learner(site, USERNAME)
        world.around, failing.at = around, at
        report = await retire(site, learner)
        world.around, failing.at = None, 0
        assert bool(batch_of(site).stop) == (report.ending is not Ending.RETIRED or failing.failed)
    return Case(report, sent_after, failing.failed)


@pytest.mark.parametrize(
    ("name", "lasting"),
    [
        pytest.param("default", False, id="default-once"),
        pytest.param("dag", True, id="dag-from-then-on"),
        pytest.param("default", True, id="default-from-then-on", marks=pytest.mark.nightly),
        pytest.param("dag", False, id="dag-once", marks=pytest.mark.nightly),
    ],
)
async def test_nobody_is_called_once_the_ledger_fails(
    tmp_path: Path, name: str, lasting: bool, every_nth: int, first: int
) -> None:
    """At every transaction of a run: a truthful ending, never a wrong COMPLETE, and whole after reconciling."""
    pipeline = shipped(name)
    async with opened(LedgerLocation(f"sqlite:///{tmp_path / 'first.sqlite'}")) as empty:
        world = World(empty, Calendar())
    endings: list[Ending] = []
    step = min(every_nth, 8)
    for at in itertools.count(1 + first, step):
        world.seed(holder(), states=pipeline.lms_states)
        place = LedgerLocation(f"sqlite:///{tmp_path / str(at)}.sqlite")
        case = await _run(world, place, name, at=at, lasting=lasting)
        if not case.failed:
            break
        endings.append(case.report.ending)
        assert "canary" not in case.report.reason
        state, left = world.state(USERNAME), world.sandbox.residue(USERNAME)
        assert (case.report.ending is Ending.RETIRED) == (state == COMPLETE), at
        assert state != COMPLETE or not left
        if name == "default":
            assert case.sent_after == [], at
        else:
            # Siblings whose intent is stored end their call; nothing moves the row.
            assert not [each for each in case.sent_after if "retire_misc" in each or "accounts/retire/" in each], at
        await _healed(world, place, name)
    every = {Ending.STOPPED, Ending.STRANDED, Ending.RETIRED}
    assert set(endings) == every if step == 1 else set(endings) <= every
    assert at - 1 > len(pipeline)  # steps that run together share transactions


async def _healed(world: World, place: LedgerLocation, name: str) -> None:
    world.calendar.pass_by(minutes=10)
    async with opened(place, clock=world.calendar, executor=AtOnce()) as world.ledger:
        site = world.site(shipped(name))
        assert not [each async for each in reconcile(site) if each.verdict in (Verdict.LEFT, Verdict.FAILED)]
        report = await world.retire(site, USERNAME)
        assert (report.ending, world.sandbox.residue(USERNAME)) == (Ending.RETIRED, [])
        assert (await world.ledger.verify()).ok
        record = await world.ledger.learners.newest(world.user_ids[USERNAME])
        assert record is not None
        assert set(record.finished) == set(shipped(name).working_states)
        assert record.retired_at is not None


async def test_learners_after_the_failure_are_not_begun(tmp_path: Path) -> None:
    """The run stops: whoever comes next is not even leased, and no service hears of them."""
    file = tmp_path / "ledger.sqlite"
    failing = Failing(file, lasting=False)
    async with opened(LedgerLocation(f"sqlite:///{file}"), executor=failing) as ledger:
        world = World(ledger, Calendar())
        world.seed(holder("bo"), holder("cy"), states=LINE.lms_states)
        site = world.site(LINE)
        failing.at = 2
        assert (await world.retire(site, "bo")).ending is Ending.STOPPED
        assert isinstance(batch_of(site).stop.reason, LedgerError)
        report = await world.retire(site, "cy")

    assert report.ending is Ending.STOPPED
    assert (world.state("bo"), world.state("cy"), world.calls("lms")) == ("PENDING", "PENDING", 1)
