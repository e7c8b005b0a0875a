"""Pairs of a current and a desired username: which files of them can be worked on, and where their results may go."""

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retirement.errors import ConfigError
from retirement.followup.name_list import Line, problems_of

COLUMNS = ("current", "desired")
#: What registration takes as a username, in any script (contract, section 1.5).
_NAME = re.compile(r"[\w.@+-]{2,30}")


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """One line of the file."""

    line: int
    current: str
    desired: str

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """What stands in each column."""
        return ("current", self.current), ("desired", self.desired)


def pairs_of(path: object, lines: Sequence[Line]) -> list[Pair]:
    """The pairs of a file. Raises `ConfigError`, a line for each problem, which `path` begins.

    No name stands in two lines, whichever column: what is renamed into a name that another line has yet to give up
    depends on the order in each service, and a request that is sent again would rename the wrong account.
    """
    pairs = [Pair(line.number, line["current"], line["desired"]) for line in lines]
    if problems := [f"{path}:{line}: {text}" for line, text in _problems(pairs)]:
        raise problems_of(problems)
    return pairs


def _problems(pairs: Sequence[Pair]) -> Iterator[tuple[int, str]]:
    """What is wrong, by line: a name of two lines is told at the second one. Letter case does not count."""
    seen: dict[str, tuple[int, str]] = {}
    for pair in pairs:
        if problem := _problem_of(pair) or next(_met_before(pair, seen), ""):
            yield pair.line, problem
        for column, name in pair.columns:
            seen.setdefault(name.casefold(), (pair.line, column))


def _problem_of(pair: Pair) -> str:
    if not pair.current:
        return "the current name is missing"
    if not _NAME.fullmatch(pair.desired):
        return "the desired name has 2 to 30 letters, digits and . @ + - _"
    if pair.current.casefold() == pair.desired.casefold():
        return "both names are the same, but for letter case"
    return ""


def _met_before(pair: Pair, seen: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    for column, name in pair.columns:
        if name.casefold() in seen:
            yield _twice(column, *seen[name.casefold()])


def _twice(column: str, before: int, other: str) -> str:
    what = f"the {column} name is the {other} name of line {before}"
    return what if column == other else f"{what}: replace one after the other, in two files"


def require_private(folder: Path, name: str) -> Path:
    """The folder for results, which hold usernames. Raises `ConfigError` unless it is there and for its owner only.

    `name` is the option or the setting that names it.
    """
    path = folder.expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(f"{name}: {path} is no folder; make it, for its owner only")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{name}: {path} holds usernames and is open to others: `chmod 700` it")
    return path
