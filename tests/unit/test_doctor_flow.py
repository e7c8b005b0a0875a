"""The flow of the doctor: its message says what is wrong, since a notification has nothing else."""

from __future__ import annotations

from retirement.flows.doctor import summary_of
from retirement.site.doctor import Check, Verdict


def test_the_message_names_the_first_failures() -> None:
    """The others stand in the table; warnings are counted."""
    found = [
        Check("file", Verdict.OK, "is well"),
        Check("anchor", Verdict.WARNING, "none"),
        *(Check("route", Verdict.FAILURE, f"number {each}") for each in range(4)),
    ]

    assert summary_of(found) == ("4 failures, 1 warnings, 1 ok; route: number 0; route: number 1; route: number 2; …")
    assert summary_of(found[:3]) == "1 failures, 1 warnings, 1 ok; route: number 0"
    assert summary_of(found[:2]) == "0 failures, 1 warnings, 1 ok"
