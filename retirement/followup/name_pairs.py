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
    depends on the order in each service, and a request that is sent again would rename the wrong account. What to do
    instead is said: which line comes first, or that the lines are a circle, which no order resolves.
    """
    pairs = [Pair(line.number, line["current"], line["desired"]) for line in lines]
    if problems := [f"{path}:{line}: {text}" for line, text in sorted(_problems(pairs))]:
        raise problems_of(problems)
    return pairs


def _problems(pairs: Sequence[Pair]) -> Iterator[tuple[int, str]]:
    """What is wrong, by line, each line once: a name of two lines is told at the second one. Letter case is nothing."""
    of_current: dict[str, Pair] = {}
    of_desired: dict[str, Pair] = {}
    alone = []
    for pair in pairs:
        problem = _problem_of(pair) or _doubled(pair, of_current, of_desired)
        if problem:
            yield pair.line, problem
        else:
            alone.append(pair)
        of_current.setdefault(pair.current.casefold(), pair)
        of_desired.setdefault(pair.desired.casefold(), pair)
    waits_for = {pair.line: other for pair in alone if (other := of_current.get(pair.desired.casefold()))}
    circles = _circles(alone, waits_for)
    yield from ((line, text) for line, text in circles.items() if text)
    for pair in alone:
        if pair.line not in circles and (other := waits_for.get(pair.line)):
            yield pair.line, f"the desired name is the current name of line {other.line}: {_FIRST.format(other.line)}"


#: What no order of the lines within one file would do.
_FIRST = "replace that of line {} first, in a file of its own"


def _circles(pairs: Sequence[Pair], waits_for: Mapping[int, Pair]) -> dict[int, str]:
    """The lines that are in circles, in each of which the last one has the text that says so."""
    found: dict[int, str] = {}
    seen: set[int] = set()
    for start in (each for each in pairs if each.line in waits_for):
        way: list[int] = []
        at: Pair | None = start
        while at and at.line not in seen:
            seen.add(at.line)
            way.append(at.line)
            at = waits_for.get(at.line)
        # No name stands twice in a column here, so a way that comes back does so at its beginning.
        if at is start and way:
            lines = sorted(way)
            text = f"closes a circle of {len(lines)} lines, which begins in line {lines[0]}: give one of the accounts a"
            found |= dict.fromkeys(lines, "") | {lines[-1]: f"{text} third name first, in a file of its own"}
    return found


def _problem_of(pair: Pair) -> str:
    if not pair.current:
        return "the current name is missing"
    if not _NAME.fullmatch(pair.desired):
        return "the desired name has 2 to 30 letters, digits and . @ + - _"
    if pair.current.casefold() == pair.desired.casefold():
        return "both names are the same, but for letter case"
    return ""


def _doubled(pair: Pair, of_current: Mapping[str, Pair], of_desired: Mapping[str, Pair]) -> str:
    for column, name, before in (("current", pair.current, of_current), ("desired", pair.desired, of_desired)):
        if other := before.get(name.casefold()):
            return f"the {column} name is the {column} name of line {other.line}"
    return ""


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
