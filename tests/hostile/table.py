"""The table in text: a line for each place, a letter for each case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from retirement.errors import Ending
from tests.hostile.exceptions import EXCEPTIONS
from tests.hostile.judging import BELIEVED, PROMISED, Result
from tests.hostile.misbehaviours import KINDS
from tests.hostile.plays import CATALOGUE
from tests.hostile.stage import DEFECT, NOT_BEGUN, NOT_LISTED

#: A letter for each outcome; a problem is an X.
LETTERS = {
    Ending.RETIRED: ("r", "retired, and it is true"),
    Ending.PARKED: ("p", "parked: given back to the queue"),
    Ending.ERRORED: ("e", "ERRORED"),
    Ending.STOPPED: ("s", "stopped: given back, and the run stops"),
    Ending.UNPROVED: ("u", "unproved: the row that was read again does not say that the learner is retired"),
    Ending.STRANDED: ("t", "stranded: the LMS could not be told"),
    Ending.BUSY_ELSEWHERE: ("y", "left alone: the row is not where it should be"),
    Ending.RESCINDED: ("c", "rescinded: the LMS says that the request is gone"),
    Ending.HELD: ("h", "held"),
    NOT_BEGUN: ("n", "not begun: the questions before the run failed"),
    NOT_LISTED: ("l", "not listed: the queue does not show the learner"),
    PROMISED: ("o", "retired with an open receipt, by which `verify` finds out that the data is still there"),
    BELIEVED: ("b", "believed: a lie in the service's own words that no read can show, see below"),
    DEFECT: ("d", "a defect"),
}


def table(found: Sequence[Result]) -> list[str]:
    """The lines, and what columns and letters mean."""
    letters = {(each.spot, each.misbehaviour): "X" if each.problem else LETTERS[each.outcome][0] for each in found}
    spots = list(dict.fromkeys(each.spot for each in found))
    width = max((len(str(spot)) for spot in spots), default=0)
    lines = [f"{'':{width}}  {'  '.join(f'{kind:{len(_columns(kind))}}' for kind in KINDS)}"]
    for spot in spots:
        groups = ("".join(letters.get((spot, name), " ") for name in _columns(kind)) for kind in KINDS)
        lines.append(f"{spot!s:{width}}  {'  '.join(groups)}".rstrip())
    columns = [f"{kind}: {' · '.join(_columns(kind))}" for kind in KINDS]
    meanings = [f"{letter} {meaning}" for letter, meaning in LETTERS.values()]
    return [*lines, "", *columns, "", *meanings, "X wrong"]


def _columns(kind: str) -> list[str]:
    return [str(each) for each in CATALOGUE if each.kind == kind]


def summary(found: Sequence[Result]) -> Iterator[str]:
    """How many cases came to what, which took longest, and the exceptions."""
    for outcome, count in Counter(str(each.outcome) for each in found).most_common():
        yield f"{count:>6}  {outcome}"
    if longest := max(found, key=lambda each: each.seconds, default=None):
        yield f"longest: {longest.seconds:.0f} s, {longest.spot}: {longest.misbehaviour}"
    for each in EXCEPTIONS:
        if count := sum(each.covers(result.spot.place.route, result.misbehaviour) for result in _believed(found)):
            yield f"believed  {each.route}: {count} cases: {each.reason}"


def unbelieved(found: Sequence[Result]) -> list[str]:
    """Exceptions that no case needs any more."""
    unused = [
        each
        for each in EXCEPTIONS
        if not any(each.covers(result.spot.place.route, result.misbehaviour) for result in _believed(found))
    ]
    return [f"{each.route}: is believed no more: take it out of the exceptions" for each in unused]


def _believed(found: Sequence[Result]) -> list[Result]:
    return [each for each in found if each.outcome == BELIEVED]
