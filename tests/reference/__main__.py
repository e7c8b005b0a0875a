"""`make reference`: the table of the reference's jobs, each row with the verdict of the tests that hold it.

    python -m tests.reference [--list]

`--list` prints the table without running a test. Ends with 1 when a row does not hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from tests.reference.delivery import EVERY
from tests.reference.rows import Row


@dataclass(eq=False)
class Verdicts:
    """A plugin of pytest that keeps how each test ended, whatever its parameters."""

    failed: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        name = report.nodeid.partition("[")[0].partition("@")[0]
        if report.failed:
            self.failed.add(name)
        elif report.when == "call" and report.passed:
            self.passed.add(name)

    def of(self, row: Row) -> str:
        """What the tests of a row say of it."""
        if self.failed & {*row.tests}:
            return "FAILS"
        return "holds" if self.passed >= {*row.tests} else "not run"


def table(rows: Iterable[Row], verdicts: Verdicts | None) -> list[str]:
    """A block of lines for each job."""
    lines: list[str] = []
    job = ""
    for row in rows:
        if row.job != job:
            job = row.job
            lines += ["", job, "-" * len(job)]
        said = f"[{verdicts.of(row)}] " if verdicts else ""
        lines += [f"{said}{row.case}", f"    reference: {row.reference}", f"    ours:      {row.ours}"]
    return lines


def main() -> int:
    """Runs the tests, prints the table, and says whether each row holds."""
    verdicts = Verdicts()
    wanted = list(dict.fromkeys(test for row in EVERY for test in row.tests))
    if "--list" in sys.argv[1:]:
        _say(table(EVERY, None))
        return 0
    # As `make test`: side by side, and of what dies at each request every fourth case.
    options = ("-q", "--no-header", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "--every-nth", "4")
    code = pytest.main([*wanted, *options], plugins=[verdicts])
    _say(table(EVERY, verdicts))
    held = sum(verdicts.of(row) == "holds" for row in EVERY)
    _say(["", f"{held} of {len(EVERY)} rows hold, by {len(wanted)} tests"])
    return 0 if held == len(EVERY) and code == 0 else 1


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
