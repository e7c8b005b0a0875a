"""How much of the suite is run, and which tests share a worker of pytest-xdist (`--dist loadgroup`)."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make test` and `make check NIGHTLY=1` choose."""
    group = parser.getgroup("retirement")
    group.addoption(
        "--every-nth", type=int, default=1, metavar="N", help="sweeps, crash loops among them, try every Nth case only"
    )
    group.addoption("--images", action="store_true", help="keep the pictures of pages in docs/images (make images)")
    group.addoption("--nightly", action="store_true", help="run the tests that are marked nightly, too")


def pytest_configure(config: pytest.Config) -> None:
    """Registers our markers, and takes Hypothesis' time limit off."""
    # A time limit on an example says how busy the machine is.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
    config.addinivalue_line("markers", "nightly: takes many minutes; skipped without --nightly (make check NIGHTLY=1)")
    config.addinivalue_line("markers", "sweep: its cases are one table, of which --every-nth takes a share (make test)")


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
    left_out = _left_out(items, config.getoption("every_nth"))
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))
    for item in items:
        if (group := _group(item)) is not None:
            item.add_marker(pytest.mark.xdist_group(group))
        if item.get_closest_marker("nightly") and not config.getoption("nightly"):
            item.add_marker(pytest.mark.skip(reason="for the night: make check NIGHTLY=1"))


def pytest_collection_finish() -> None:
    """What was collected stays until the end: no collection of garbage has to look through a million objects of it."""
    gc.collect()
    gc.freeze()


def _left_out(items: Iterable[pytest.Item], step: int) -> set[pytest.Item]:
    """The cases of sweeps that no share has; of each table the first one stays."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("sweep"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return {item for table in cases.values() for place, item in enumerate(table) if place % step}


def _group(item: pytest.Item) -> str | None:
    if item.path.parent.name == "house":
        # Each of them reads all sources, which one process does once.
        return "house"
    fixtures = getattr(item, "fixturenames", ())
    shared = [group for fixture, group in SHARED.items() if fixture in fixtures]
    if shared:
        return shared[0]
    if any(fixture in fixtures for fixture in BY_FILE):
        return item.path.stem
    # An operation is compared with a plain call of it, which is made once in a process.
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    if isinstance(subject := chosen.get("subject"), Subject):
        return f"contract {subject.name}"
    # The ledger's tests take their database by this name.
    if chosen.get("desk") == "postgresql":
        return "postgresql"
    definitions = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    ours = [each for found in definitions for each in found if each.baseid]
    return item.path.stem if any(each.scope in ("module", "session") for each in ours) else None


@pytest.fixture
def every_nth(request: pytest.FixtureRequest) -> int:
    """The step by which a sweep goes through its cases within one test: 1 tries each."""
    step: int = request.config.getoption("every_nth")
    return step


@pytest.fixture(autouse=True)
def nothing_left_alone() -> Iterator[None]:
    """Work that one test leaves alone is not to end the process at once when the next one calls a command in it."""
    yield
    process.left_alone.clear()
