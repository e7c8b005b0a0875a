"""Tests that share something costly run on one worker of pytest-xdist."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_a_group_is_known_to_the_scheduler(request: pytest.FixtureRequest) -> None:
    """It goes by the end of a test's name, which a new version of pytest once left out; tests/conftest.py groups us."""
    assert request.node.nodeid.endswith("@house")
