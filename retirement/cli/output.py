"""How commands speak: one JSON document on stdout, or text; problems as one line each on stderr."""

import json
import sys
from collections.abc import Collection, Iterable
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from retirement.cli.streams import Stream

#: Where answers go, and where problems go.
out, err = Stream("stdout"), Stream("stderr")
#: Columns of a table in a pipe, where no terminal says how wide it is: no row is folded.
PIPE_COLUMNS = 4096


def _width(stream: IO[str] | None) -> int | None:
    """The width of a stream that is no terminal; None: rich asks the terminal."""
    return PIPE_COLUMNS if stream and not stream.closed and not stream.isatty() else None


#: Text is printed as it is: brackets in it are no markup, and numbers get no colour.
console = Console(file=cast(IO[str], out), soft_wrap=True, highlight=False, markup=False, width=_width(sys.stdout))
errors = Console(
    file=cast(IO[str], err), stderr=True, soft_wrap=True, highlight=False, markup=False, width=_width(sys.stderr)
)


def show_json(document: Any) -> None:
    """Prints the one document of a command; what the output cannot show is escaped."""
    out.write(f"{json.dumps(document, indent=2, ensure_ascii=not out.is_unicode)}\n")


def show_errors(problems: Iterable[str]) -> None:
    """Prints problems on stderr, one on a line."""
    for problem in problems:
        errors.print(problem)


def tables(headings: Iterable[str], rows: Collection[Iterable[object]], *, title: str | None = None) -> list[Table]:
    """The table of these rows; none where there are no rows."""
    return [table(headings, rows, title=title)] if rows else []


def table(headings: Iterable[str], rows: Iterable[Iterable[object]], *, title: str | None = None) -> Table:
    """A table whose long cells are folded and whose missing cells are empty."""
    made = Table(title=title, title_justify="left")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made
