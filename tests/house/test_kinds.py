"""docs/kinds.md: which tests hold which kind of harm off; they are there, and each part has inputs of its own."""

import ast
import re
from functools import cache

import pytest

from .source import ROOT

PAGE = (ROOT / "docs" / "kinds.md").read_text(encoding="utf-8")
#: The rows of each part: what holds, the tests, and further inputs.
PARTS = {
    int(number): [
        tuple(cell.strip() for cell in row) for row in re.findall(r"^\|(.*)\|(.*)\|(.*)\|$", rows, re.MULTILINE)
    ][2:]
    for number, rows in re.findall(r"^## (\d+)\. [^\n]*\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


@cache
def _tests_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(each.name for each in tree.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _named(cell: str) -> list[tuple[str, str]]:
    """The tests that a cell names, each as file and name."""
    files = [re.findall(r"`([^`]+)`", part) for part in cell.split("<br>")]
    return [(path, name) for path, *names in files for name in names]


@pytest.mark.parametrize("part", range(1, 11))
def test_each_part_names_tests_that_are_there(part: int) -> None:
    """By path and name."""
    for sentence, tests, _ in PARTS[part]:
        named = _named(tests)
        assert named, sentence
        assert [each for each in named if each[1] not in _tests_in(each[0])] == []


@pytest.mark.parametrize("part", range(1, 11))
def test_each_part_has_three_inputs_of_its_own(part: int) -> None:
    """Such as were not written down when the kind was found."""
    inputs = [each for _, _, cell in PARTS[part] for each in cell.split("; ") if each]

    assert len(set(inputs)) >= 3
