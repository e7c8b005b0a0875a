"""A CSV file of names that an operator gives: read whole and checked before anything is asked. Stays in memory.

A byte order mark, either end of line and a missing line of headings are fine. Errors name the file and the line, and
never what stands there.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retirement.errors import ConfigError

#: Problems that are shown of one file.
_SHOWN = 10


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One line of the file, with a text for each column that the file has; blanks around a text are gone."""

    number: int
    columns: Sequence[str]  #: the same of every line
    cells: tuple[str, ...]

    def __getitem__(self, column: str) -> str:
        return self.cells[self.columns.index(column)] if column in self.columns else ""


def read_names(path: Path, columns: Sequence[str], default: Sequence[str]) -> list[Line]:
    """The lines of a file whose headings are some of `columns`; without headings the columns are `default`.

    Empty lines are left out. Raises `ConfigError`, a line for each problem.
    """
    rows = list(_rows(path))
    if not rows:
        raise ConfigError(f"{path}: the file has no line")
    first = [cell.strip().casefold() for cell in rows[0][1]]
    headed = any(cell in columns for cell in first)
    names, given = (first, rows[1:]) if headed else (list(default), rows)
    _require_headings(f"{path}:{rows[0][0]}", names, columns)
    problems = [
        f"{path}:{number}: {len(cells)} cells, where {len(names)} are due: {', '.join(names)}"
        for number, cells in given
        if len(cells) != len(names)
    ]
    if problems:
        raise problems_of(problems)
    return [Line(number, names, tuple(map(str.strip, cells))) for number, cells in given]


def _require_headings(place: str, names: Sequence[str], columns: Sequence[str]) -> None:
    if unknown := [number for number, name in enumerate(names, 1) if name not in columns]:
        where = ", ".join(map(str, unknown))
        raise ConfigError(f"{place}: column {where} has another heading than {', '.join(columns)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{place}: a heading stands there twice")


def problems_of(problems: Sequence[str]) -> ConfigError:
    """The error of a file with these problems: the first ones, and how many more there are."""
    more = [f"… and {len(problems) - _SHOWN} more lines like these"] if len(problems) > _SHOWN else []
    return ConfigError(*problems[:_SHOWN], *more)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        # A pipe is read to its end as well; a folder is an error of the system.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            yield from ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text in UTF-8; save it as CSV UTF-8") from None
    except csv.Error as error:
        raise ConfigError(f"{path}: is no CSV: {error}") from None
