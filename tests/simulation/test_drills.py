"""Drills of the simulation, one story each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .drills import outage
from .virtual import clear_graves

pytestmark = [
    pytest.mark.dear(seconds=50),
    # Killed processes leave coroutines suspended; what their taking apart by the garbage collector says is no failure.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def quiet_dead() -> Iterator[None]:
    """What killed processes left behind is taken apart after the test, in silence."""
    yield
    clear_graves()


def test_a_service_may_be_down_for_an_hour() -> None:
    """200 learners: none is ERRORED, the other lanes go on, and no command is needed afterwards."""
    assert outage() == []
