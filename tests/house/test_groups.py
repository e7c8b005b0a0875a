"""Tests that share something costly run on one worker of pytest-xdist."""

import os
import re

import pytest

from .source import ROOT, TESTS, modules, within


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_a_group_is_known_to_the_scheduler(request: pytest.FixtureRequest) -> None:
    """It goes by the end of a test's name, which a new version of pytest once left out; tests/conftest.py groups us."""
    assert request.node.nodeid.endswith("@house")


def test_tests_that_start_an_interpreter_are_known() -> None:
    """`make test` leaves them to `make check`: the files of some folders, and what is marked elsewhere."""
    (folders,) = re.findall(r"^IN_PROCESSES := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    left = [folder.replace("/", ".") for folder in folders.split()]
    starting = {
        module.place: "mark.processes" in module.text
        for module in modules(*TESTS)
        if module.path.name.startswith("test_") and "sys.executable" in module.text
        if not any(within(module.name, folder) for folder in left)
    }

    assert starting
    assert [place for place, is_marked in starting.items() if not is_marked] == []
