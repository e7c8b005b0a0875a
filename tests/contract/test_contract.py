"""Every registered operation in every situation; a new connector is judged without a test of its own."""

from __future__ import annotations

import inspect

import pytest

from retirement.connectors import registry
from tests.contract import promises, situations
from tests.contract.catalogue import SITUATIONS
from tests.contract.recording import PAGE, page
from tests.contract.subjects import Subject, subjects
from tests.contract.suite import FAILS, Result, Situation, judged, table, title

SUBJECTS = subjects()


@pytest.mark.sweep
@pytest.mark.parametrize("situation", SITUATIONS, ids=title)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_an_operation_keeps_the_contract(subject: Subject, situation: Situation) -> None:
    """What has to hold in this situation, whatever the operation is."""
    result = judged(subject, situation)

    assert result.word != FAILS, result.reason


def test_no_operation_is_left_out() -> None:
    """The table has a row for each operation of the registry."""
    wanted = sum(len(connector.operations()) for connector in registry().values())
    lines = table([Result(subject.name, "situation", "ok") for subject in SUBJECTS])

    assert wanted == len(SUBJECTS) == lines.index("") - 1


def test_no_situation_is_left_out() -> None:
    """One that the catalogue does not list would never be played."""
    written = {
        each
        for module in (situations, promises)
        for name, each in inspect.getmembers(module, inspect.iscoroutinefunction)
        if each.__module__ == module.__name__ and [*inspect.signature(each).parameters] == ["case"] and name[0] != "_"
    }

    assert written == set(SITUATIONS)


def test_the_recorded_requests_are_fresh() -> None:
    """`python -m tests.contract --write` writes them again."""
    assert page() == PAGE.read_text(encoding="utf-8")
