"""What a run has done so far, as lines of its log: each finding when it comes, as the table of the run has it later.

The rows are those of the tables, which name no learner but by user id.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from prefect import get_run_logger

Found = TypeVar("Found")
Cells = Mapping[str, Any]


class Noted(list[Found]):
    """A list of findings that logs each as it is appended; `row` gives the cells of its table."""

    def __init__(self, row: Callable[[Found], Cells]) -> None:
        super().__init__()
        self._row = row

    def append(self, found: Found) -> None:
        log_rows([self._row(found)])
        super().append(found)


def log_rows(rows: Iterable[Cells]) -> None:
    """Logs a line for each row of a table."""
    log = get_run_logger()
    for row in rows:
        log.info("%s", line(row))


def line(row: Cells) -> str:
    """The cells of a row in a line; empty ones are left out."""
    cells = {name.replace("_", " "): value for name, value in row.items() if value not in (None, "", False)}
    return "; ".join(name if value is True else f"{name} {value}" for name, value in cells.items())
