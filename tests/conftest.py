"""How much of the suite is run, and which tests share a worker of pytest-xdist (`--dist loadgroup`)."""

from __future__ import annotations

import gc
import shutil
import subprocess
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from retirement import process
from tests.contract.subjects import Subject

#: What takes a process some seconds to start: a file whose tests have it goes to one worker, which then keeps it.
BY_FILE = ("engine", "environment", "retirement")
#: What takes even longer, and only one worker is therefore to have: fixture and group.
SHARED = {
    "whole": "theatre with prefect",
    "engine_alone": "theatre",
    "postgresql": "postgresql",
}
#: Of Hypothesis, however few cases of a sweep are tried; those of a whole run are its own hundred.
FEWEST_EXAMPLES = 20
PROCESSES = {*BY_FILE, *SHARED}


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make test` and `make check NIGHTLY=1` choose."""
    group = parser.getgroup("retirement")
    group.addoption(
        "--every-nth", type=int, default=1, metavar="N", help="sweeps, crash loops among them, try every Nth case only"
    )
    group.addoption(
        "--turns", type=int, default=1, metavar="N", help="of the tests that are marked dear, every Nth file only"
    )
    group.addoption(
        "--turn", type=int, default=None, metavar="N", help="which share it is (default: the number of commits)"
    )
    group.addoption("--in-process", action="store_true", help="leave out the tests that start processes (make test)")
    group.addoption("--images", action="store_true", help="keep the pictures of pages in docs/images (make images)")
    group.addoption("--nightly", action="store_true", help="run the tests that are marked nightly, too")


def pytest_configure(config: pytest.Config) -> None:
    """Registers our markers, and has Hypothesis try without a time limit, as many examples as the share is large."""
    # A time limit on an example says how busy the machine is. Examples are others in each run, so each has its turn.
    examples = max(100 // config.option.every_nth, FEWEST_EXAMPLES)
    settings.register_profile("patient", deadline=None, max_examples=examples)
    settings.load_profile("patient")
    config.addinivalue_line("markers", "nightly: takes many minutes; skipped without --nightly (make check NIGHTLY=1)")
    config.addinivalue_line("markers", "processes: starts processes of its own, so `make test` leaves it to make check")
    config.addinivalue_line("markers", "sweep: its cases are one table, of which --every-nth takes a share (make test)")
    config.addinivalue_line(
        "markers", "dear(seconds): processes for so long; its file is run by every Nth commit (--turns)"
    )
    if config.option.turn is None:
        config.option.turn = _commits(config.rootpath)


def pytest_report_header(config: pytest.Config) -> str:
    """Which share is run, for who wants to run the same again."""
    step, turns, turn = (config.getoption(each) for each in ("every_nth", "turns", "turn"))
    return f"share: --every-nth {step} --turns {turns} --turn {turn}"


def _commits(root: Path) -> int:
    """How many there are below HEAD, so that one commit after the other has the next share; 0 outside a repository."""
    if (git := shutil.which("git")) is None:
        return 0
    command = [git, "-C", str(root), "rev-list", "--count", "HEAD"]
    counted = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(counted.stdout) if counted.returncode == 0 else 0


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keeps bytes out of the names of tests.

    Workers have to collect the same names, and packed bytes hold the second in which they were packed.
    """
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts tests into groups, takes a share of the sweeps, and skips what is for the night.

    A group goes to one worker. A test that shares nothing is a group of its own, so no long file ends last.
    """
    turn = config.getoption("turn")
    left_out = cases_of_others(items, config.getoption("every_nth"), turn)
    left_out |= files_of_others(items, config.getoption("turns"), turn)
    if config.getoption("in_process"):
        left_out |= {item for item in items if _starts_processes(item)}
    # What takes longest begins first, so that no worker is left alone with it in the end.
    items[:] = sorted((item for item in items if item not in left_out), key=lambda item: -_seconds(item))
    config.hook.pytest_deselected(items=list(left_out))
    for item in items:
        if (group := _group(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("nightly") and not config.getoption("nightly"):
            item.add_marker(pytest.mark.skip(reason="for the night: make check NIGHTLY=1"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: no search for garbage has to look through a million objects of it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def cases_of_others(items: Iterable[pytest.Item], step: int, turn: int) -> set[pytest.Item]:
    """The cases of sweeps that another share has; each share has one of each table, however short that is."""
    tables = _by(items, "sweep", lambda item: item.nodeid.partition("[")[0])
    return {
        item for table in tables for place, item in enumerate(table) if place % step != turn % min(step, len(table))
    }


def files_of_others(items: Iterable[pytest.Item], turns: int, turn: int) -> set[pytest.Item]:
    """The dear tests that another share has: by file, since the tests of a file share what is dear.

    The longest file goes to the share that has least, so that shares take as long as one another.
    """
    files = sorted(_by(items, "dear", lambda item: item.path), key=lambda file: -_seconds(file[0]))
    shares: list[list[list[pytest.Item]]] = [[] for _ in range(turns)]
    for file in files:
        min(shares, key=lambda share: sum(_seconds(each[0]) for each in share)).append(file)
    del shares[turn % turns]
    return {item for share in shares for each in share for item in each}


def _seconds(item: pytest.Item) -> int:
    """What a test's file takes one of four workers on two cores, about."""
    marker = item.get_closest_marker("dear")
    return int(marker.kwargs["seconds"]) if marker else 0


def _starts_processes(item: pytest.Item) -> bool:
    """Whether a test says so, or has something that is a process."""
    return bool(item.get_closest_marker("processes")) or not PROCESSES.isdisjoint(_asked_for(item))


def _asked_for(item: pytest.Item) -> set[str]:
    """The fixtures of a test, and PostgreSQL where it is chosen by that name."""
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    named = {"postgresql"} if "postgresql" in (chosen.get("desk"), chosen.get("database")) else set()
    return {*getattr(item, "fixturenames", ()), *named}


def _by(
    items: Iterable[pytest.Item], marker: str, key: Callable[[pytest.Item], Hashable]
) -> Iterable[list[pytest.Item]]:
    found: dict[Hashable, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker(marker):
            found.setdefault(key(item), []).append(item)
    return found.values()


def _group(item: pytest.Item) -> str | None:
    if item.path.parent.name == "house":
        # Each of them reads all sources, which one process does once.
        return "house"
    fixtures = _asked_for(item)
    shared = [group for fixture, group in SHARED.items() if fixture in fixtures]
    if shared:
        return shared[0]
    if any(fixture in fixtures for fixture in BY_FILE):
        return item.path.stem
    # An operation is compared with a plain call of it, which is made once in a process.
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    if isinstance(subject := chosen.get("subject"), Subject):
        return f"contract {subject.name}"
    definitions = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    ours = [each for found in definitions for each in found if each.baseid]
    return item.path.stem if any(each.scope in ("module", "session") for each in ours) else None


@pytest.fixture
def every_nth(request: pytest.FixtureRequest) -> int:
    """The step by which a sweep goes through its cases within one test: 1 tries each."""
    step: int = request.config.getoption("every_nth")
    return step


@pytest.fixture
def turn(request: pytest.FixtureRequest) -> int:
    """Which share this run has: a sweep within one test begins with another case in each.

    Where the test is a case of a sweep itself, its own cases move on when all those of the table had their turn.
    """
    found: int = request.config.getoption("turn")
    step: int = request.config.getoption("every_nth")
    return found // step if request.node.get_closest_marker("sweep") else found


@pytest.fixture
def first(every_nth: int, turn: int) -> int:
    """The case that a sweep within one test begins with, from 0: another one in each run.

    Below the step of `make check`, whose runs have all cases one after the other, so that each run of a table has one.
    """
    return turn % min(every_nth, 8)


@pytest.fixture(autouse=True)
def nothing_left_alone() -> Iterator[None]:
    """Work that one test leaves alone is not to end the process at once when the next one calls a command in it."""
    yield
    process.left_alone.clear()
