"""The faults that were reproduced on the archived driver, each with the end that operators would rather see."""

from __future__ import annotations

import pytest

from tests.chaos.matrix import CASES, matrix
from tests.chaos.theatre import Theatre

pytestmark = pytest.mark.dear(seconds=70)


def test_every_fault_of_the_archived_driver_ends_well(whole: Theatre) -> None:
    """State for state, read back, waited, renewed, redriven, keyed by id, held, and 404s told apart."""
    played = list(matrix(whole, "sqlite", engine=True))

    assert {line.case.name: line.problems for line in played if line.problems} == {}
    assert len(played) == len(CASES)
