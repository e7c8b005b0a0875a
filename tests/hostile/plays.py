"""The plays: short pipelines that together ask every route which the whole pipeline asks, and their places.

A retirement by the whole pipeline takes some hundred and fifty requests, and a case is about one of them. So each
step is a play, and a place belongs to the first play that comes by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from retirement.connectors import Connector, registry
from retirement.pipeline import Pipeline, Step
from retirement.sandbox.wire import Answer
from tests.hostile.misbehaviours import KINDS, Misbehaviour, answers
from tests.hostile.proxy import Asked, Place, Route
from tests.hostile.stage import Left
from tests.hostile.streams import streams
from tests.unit.doubles import shipped

#: What the LMS is asked in each run, whatever the steps are, is played with these.
FIRST = ("RETIRING_ENROLLMENTS", "RETIRING_LMS_MISC", "RETIRING_LMS")


@dataclass(frozen=True)
class Play:
    """A pipeline to play; `kinds` are connectors in the place of the installed ones, by service."""

    name: str
    pipeline: Pipeline
    kinds: dict[str, type[Connector]] = field(default_factory=dict, compare=False)

    @property
    def longest_answer(self) -> float:
        """Seconds that the slowest of its operations waits for an answer."""
        kinds = registry() | self.kinds
        declared = (kinds[step.service].operations()[step.operation] for step in self.pipeline)
        return max(each.patience.value.whole for each in declared)


class Phase(StrEnum):
    """When a place is met."""

    BEFORE = "before the run"  #: while the site is asked whether it works, and the queue is listed
    RUN = "in the run"
    STRANGER = "in the run of an unknown learner"  #: only those come by it of whom no service knows anything


@dataclass(frozen=True)
class Spot:
    """A place, and when it is met."""

    place: Place
    phase: Phase = Phase.RUN

    def __str__(self) -> str:
        return f"{self.place}{'' if self.phase is Phase.RUN else f', {self.phase}'}"


@dataclass(frozen=True)
class Case:
    """One misbehaviour at one place."""

    spot: Spot
    misbehaviour: Misbehaviour

    def __str__(self) -> str:
        return f"{self.spot}: {self.misbehaviour}"


def plays() -> list[Play]:
    """The LMS' own steps in one run, then each other step by itself."""
    steps = shipped("all")
    others = [step for step in steps if step.name not in FIRST]
    return [
        Play("LMS", in_line(*(steps.step(name) for name in FIRST))),
        *(Play(f"{step.service} {step.operation}", in_line(step)) for step in others),
    ]


def whole() -> Play:
    """Every step in one run; it is recorded, so that no route is left out."""
    return Play("the whole pipeline", shipped("all"))


def in_line(*steps: Step) -> Pipeline:
    """These steps one after the other."""
    before = [()] + [(step.name,) for step in steps]
    return Pipeline(tuple(replace(step, after=after) for step, after in zip(steps, before, strict=False)))


@dataclass(frozen=True)
class Record:
    """What runs without any trouble asked, and were answered."""

    #: Before the run,
    before: Sequence[Asked]
    #: in that of a learner of whom each service knows something,
    known: Sequence[Asked]
    #: of one of whom only the LMS does,
    unknown: Sequence[Asked]
    #: and of the bystander.
    others: Sequence[Asked]
    #: Where the steps can erase something,
    apps: frozenset[str]
    #: and what a run without trouble leaves there.
    left: Left

    @cached_property
    def spots(self) -> list[Spot]:
        """The first request of each route, and the last one where there are several, in order of arrival."""
        known, unknown = _ends(self.known), _ends(self.unknown)
        own = {place.route for place in known}
        return [
            *(Spot(place, Phase.BEFORE) for place in _ends(self.before)),
            *map(Spot, known),
            *(Spot(place, Phase.STRANGER) for place in unknown if place.route not in own),
        ]

    @cached_property
    def answers_to_others(self) -> dict[Place, Answer]:
        """What the bystander's requests were answered."""
        return {each.place: each.answer for each in self.others if each.answer}


@dataclass(frozen=True)
class Part:
    """A play, what it asks, and the spots that no play before it has."""

    play: Play
    record: Record
    spots: Sequence[Spot]


def _ends(asked: Sequence[Asked]) -> list[Place]:
    found: dict[Route, list[Place]] = {}
    for each in asked:
        found.setdefault(each.place.route, []).append(each.place)
    return [place for places in found.values() for place in dict.fromkeys((places[0], places[-1]))]


CATALOGUE: tuple[Misbehaviour, ...] = tuple(sorted([*answers(), *streams()], key=lambda each: KINDS.index(each.kind)))


@dataclass(frozen=True)
class Choice:
    """Which cases are played: every `every`-th, beginning at `first`; those whose names hold all the `words`."""

    every: int = 1
    first: int = 0
    words: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.every == 1 and not self.words

    def cases(self, spots: Sequence[Spot]) -> Iterator[Case]:
        """Every misbehaviour at each of these spots that is chosen; a slice has each of both."""
        for row, spot in enumerate(spots):
            for column, each in enumerate(CATALOGUE):
                case = Case(spot, each)
                is_due = (row + column + self.first) % self.every == 0
                if is_due and each.fits(spot.place) and all(word in str(case) for word in self.words):
                    yield case
