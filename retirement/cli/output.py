"""How commands speak: one JSON document on stdout, or text; problems as one line each on stderr."""

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice, zip_longest
from typing import IO, Any, TypeVar, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from retirement import reports
from retirement.cli.streams import Stream
from retirement.pipeline.endings import Report
from retirement.privacy import CONTROL, visible

T = TypeVar("T")

#: Where answers go, and where problems go.
out, err = Stream("stdout"), Stream("stderr")
#: Columns of a table in a pipe, where no terminal says how wide it is: no row is folded.
PIPE_COLUMNS = 4096
#: Characters of the longest word that a narrow table leaves whole; a state of an LMS has 30 at most.
LONGEST_WORD = 40
#: Rows of any table: more are for programs, which take --json.
MOST_ROWS = 1_000
#: Words and signs of JSON that are written at once.
PARTS = 10_000


def _width(stream: IO[str] | None) -> int | None:
    """The width of a stream that is no terminal; None: rich asks the terminal."""
    return PIPE_COLUMNS if stream and not stream.closed and not stream.isatty() else None


class PlainConsole(Console):
    """Prints text as it is: brackets in it are no markup, `:name:` is no picture, numbers get no colour.

    Control characters are shown as their escapes, in tables too: what is printed may be typed by a person.
    """

    def __init__(self, stream: Stream, *, stderr: bool = False) -> None:
        width = _width(sys.stderr if stderr else sys.stdout)
        file = cast(IO[str], stream)
        super().__init__(
            file=file, stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False, width=width
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text on its way out passes here, cells of tables and titles included."""
        return super().render_str(visible(text), **options)


console, errors = PlainConsole(out), PlainConsole(err, stderr=True)


class Streamed(list[Any]):
    """A list of a document whose items are made one by one while it is printed: for as many rows as there are."""

    def __init__(self, found: Collection[T], row: Callable[[T], Any]) -> None:
        super().__init__()
        self._found, self._row = found, row

    def __len__(self) -> int:
        return len(self._found)

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[Any]:
        return map(self._row, self._found)


def show_json(document: Any) -> None:
    """Prints the one document of a command; what the output cannot show, or must not, is escaped.

    It may be about a hundred thousand learners, so no text of the whole is made, and reports are rows one by one; so
    are those of `Streamed`, which the encoder asks for one after the other.
    """
    encoder = json.JSONEncoder(indent=2, ensure_ascii=not out.is_unicode, default=_row)
    parts = iter(encoder.iterencode(document))
    while piece := "".join(islice(parts, PARTS)):
        out.write(re.sub(CONTROL, lambda found: f"\\u{ord(found[0]):04x}", piece))
    out.write("\n")


def _row(value: object) -> Any:
    if isinstance(value, Report):
        return reports.document(value)
    raise TypeError(f"a {type(value).__name__} stands in no document")


def show_errors(problems: Iterable[str]) -> None:
    """Prints problems on stderr, one on a line."""
    for problem in problems:
        errors.print(problem)


def more(count: int, what: str) -> str | None:
    """What to say below a table that leaves so many out; None where it has all."""
    return f"and {count} more {what}; --json has all" if count else None


def tables(headings: Iterable[str], rows: Collection[Iterable[object]], *, title: str | None = None) -> list[Table]:
    """The table of these rows; none where there are no rows."""
    return [table(headings, rows, title=title)] if rows else []


def table(headings: Iterable[str], rows: Iterable[Iterable[object]], *, title: str | None = None) -> Table:
    """A table whose missing cells are empty; sentences are folded, and a word (a state, a day) only where it is long.

    In a terminal that is too narrow for its words the table is wider than the terminal. It ends at `MOST_ROWS`.
    """
    left = iter(rows)
    cells = [["" if cell is None else str(cell) for cell in row] for row in islice(left, MOST_ROWS)]
    made = Table(title=title, title_justify="left", caption=more(sum(1 for _ in left), "rows"))
    for heading, column in zip_longest(headings, zip(*cells, strict=True)):
        longest = max((len(word) for cell in column or () for word in cell.split()), default=0)
        made.add_column(heading, overflow="fold", min_width=min(longest, LONGEST_WORD))
    for row in cells:
        made.add_row(*row)
    return made
