"""Which tests a commit leaves to another one: none of them is left out for good."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest

from tests.conftest import cases_of_others, files_of_others


@dataclass(eq=False)
class Item:
    """As much of a test as is looked at."""

    nodeid: str
    marks: dict[str, pytest.Mark] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return Path(self.nodeid.partition("::")[0])

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.marks.get(name)


def collected(*items: Item) -> list[pytest.Item]:
    return cast("list[pytest.Item]", list(items))


def mark(name: str, **given: Any) -> dict[str, pytest.Mark]:
    return {name: getattr(pytest.mark, name)(**given).mark}


@pytest.mark.parametrize("cases", [1, 3, 8, 20])
def test_each_case_of_a_sweep_has_its_turn_and_each_turn_has_a_case(cases: int) -> None:
    """A table that is shorter than the step is gone through as well."""
    table = collected(
        *(Item(f"test_a.py::test_b[{n}]", mark("sweep")) for n in range(cases)), Item("test_a.py::test_c")
    )

    kept = [set(table) - cases_of_others(table, 8, turn) for turn in range(8)]

    assert set.union(*kept) == set(table)
    assert {len(each) for each in kept} <= {-(-cases // 8) + 1, cases // 8 + 1}


def test_each_dear_file_has_its_turn_as_a_whole_and_turns_take_alike() -> None:
    """Four turns run all of them, and no turn takes much longer than a quarter."""
    seconds = {"a": 300, "b": 100, "c": 110, "d": 90, "e": 150, "f": 140, "g": 160, "h": 130}
    items = collected(
        *(
            Item(f"test_{name}.py::test_{n}", mark("dear", seconds=each))
            for name, each in seconds.items()
            for n in (1, 2)
        ),
        Item("test_cheap.py::test_1"),
    )

    kept = [set(items) - files_of_others(items, 4, turn) for turn in range(4)]

    files = [{each.path.stem for each in share} - {"test_cheap"} for share in kept]
    assert sorted(chain.from_iterable(files)) == [f"test_{name}" for name in seconds]
    assert all(
        sum(item in share for item in items if item.path.stem == stem) == 2
        for share, stems in zip(kept, files, strict=True)
        for stem in stems
    )
    taken = [sum(seconds[stem[-1]] for stem in share) for share in files]
    assert max(taken) < 1.25 * sum(taken) / 4
