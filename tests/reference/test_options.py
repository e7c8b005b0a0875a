"""The table of the reference's jobs names tests that are there, and options that exclude each other are refused."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from retirement.cli import app
from tests.reference.__main__ import table
from tests.reference.delivery import EVERY
from tests.reference.rows import BULK, CLEANUP, LIST, NAMES, ONE, REPORT, Row

ROOT = Path(__file__).parents[2]


@cache
def _functions_of(path: str) -> frozenset[str]:
    """The functions at the top of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(each.name for each in tree.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row.job}: {row.case}")
def test_each_row_is_held_by_tests_that_are_there(row: Row) -> None:
    """`make reference` runs them, and so does each run of all tests."""
    named = [test.split("::") for test in row.tests]

    assert named
    assert [name for path, name in named if name not in _functions_of(path)] == []


def test_each_job_has_its_cases() -> None:
    """Eleven of one learner, eight of the bulk update, twelve of archive and cleanup, and each is printed."""
    counts = Counter(row.job for row in EVERY)
    printed = "\n".join(table(EVERY, None))

    assert {ONE: 11, LIST: 5, BULK: 8, CLEANUP: 12}.items() <= counts.items()
    assert set(counts) == {ONE, LIST, BULK, CLEANUP, REPORT, NAMES}
    assert all(row.case in printed for row in EVERY)


@pytest.mark.parametrize("given", [[], ["--new-state", "PENDING", "--rewind-state"]])
def test_a_bulk_update_takes_one_way_to_say_where_to(given: list[str]) -> None:
    """Before a configuration is read."""
    answer = CliRunner().invoke(app, ["bulk-update", "--initial-state", "ERRORED", *given])

    assert answer.exit_code == 2
    assert "--new-state, --rewind-state: give one of them" in answer.output


@pytest.mark.parametrize("given", [[], ["--user-id", "7", "--csv", "accounts.csv"]])
def test_a_request_takes_one_way_to_name_accounts(given: list[str]) -> None:
    """Before anything is read or asked for."""
    answer = CliRunner().invoke(app, ["request", *given])

    assert answer.exit_code == 2
    assert "--user-id, --username, --email, --csv: give one of them" in answer.output
