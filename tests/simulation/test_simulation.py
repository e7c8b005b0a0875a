"""Seeded stories of learners, faults, crashes and restarts; each invariant holds in all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from retirement.pipeline import Moves

from .mutants import MUTANTS, ROOT
from .story import play
from .virtual import clear_graves
from .weather import FALSE, LOST_COMPLETE, MISCONFIGURED, OUTAGES, PASSING, REFUSING
from .wire import FAULTS

#: Killed processes leave coroutines suspended; whatever their taking apart by the garbage collector says is no failure.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


#: Seeds that are played here; `make simulate` plays a thousand.
SEEDS = 60


@pytest.fixture(autouse=True)
def quiet_dead() -> object:
    """What killed processes left behind is taken apart after the test, in silence."""
    yield
    clear_graves()


@pytest.mark.parametrize("moves", Moves)
def test_every_invariant_holds_and_the_seeds_are_eventful(moves: Moves, every_nth: int) -> None:
    """In each story; what is played here is the same on every machine. Where nothing happens nothing is proved."""
    first = 0 if moves is Moves.EACH else SEEDS
    played = [play(seed, moves) for seed in range(first, first + SEEDS, every_nth)]

    failed = {result.seed: result.problems for result in played if result.problems}
    assert failed == {}, "python -m tests.simulation --seed N --moves MOVES --trace shows what happened"
    eventful = (("faults", 20), ("crashes", 5), ("freezes", 2), ("jumps", 1), ("losses", 1), ("edits", 1))
    for event, least in eventful if every_nth <= 4 else ():
        assert sum(getattr(result, event) for result in played) > least, event


def test_every_fault_of_the_weather_is_one_that_the_wire_plays() -> None:
    """Else it would be drawn, and the request served as if nothing were wrong."""
    drawn = {*PASSING, *MISCONFIGURED, *REFUSING, *OUTAGES, *LOST_COMPLETE, *(kind for each in FALSE for kind in each)}

    assert drawn == FAULTS


@pytest.mark.processes
@pytest.mark.parametrize("seed", [pytest.param(3, marks=pytest.mark.nightly), 34])
def test_a_seed_replays_byte_for_byte(seed: int, tmp_path: Path) -> None:
    """In this process, and in another one that orders sets of text differently."""
    once = play(seed).trace

    assert play(seed).trace == once
    for hashing in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.splitlines()[: len(once)] == once, done.stderr


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_each_guard_is_where_the_mutants_look_for_it(mutant: object) -> None:
    """`python -m tests.simulation.mutants` takes them out one at a time; a list of texts would rot."""
    assert isinstance(mutant, type(MUTANTS[0]))
    source = (ROOT / "retirement" / mutant.file).read_text(encoding="utf-8")

    changed = mutant.applied(source)

    assert changed != source
    compile(changed, mutant.file, "exec")
