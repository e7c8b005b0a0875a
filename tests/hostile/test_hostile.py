"""A slice of `make hostile`: each place and each misbehaviour, every Nth of their pairs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from retirement.connectors import Connector, Erasure, Identity, operation
from retirement.errors import Transient
from retirement.learner import Learner
from tests.contract import toys
from tests.hostile.judging import records, results
from tests.hostile.plays import Choice, Part, Play, in_line, plays, whole
from tests.hostile.recording import parts
from tests.unit.doubles import shipped

#: A prime, so that over the places each misbehaviour is played.
EVERY = 31
PLAYS = plays()


@pytest.fixture(scope="module")
def found() -> dict[Play, Part]:
    """What each play asks, and the places that are its own."""
    return {part.play: part for part in parts(PLAYS)}


@pytest.mark.sweep
@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.name)
def test_no_misbehaviour_of_a_proxy_retires_a_learner_falsely(play: Play, found: dict[Play, Part]) -> None:
    """Nor is any case over its time, a defect of the program, or told with a name."""
    choice = Choice(EVERY, first=PLAYS.index(play))

    assert [str(each) for each in results(found[play], choice) if each.problem] == []


def test_the_plays_ask_every_route_of_the_whole_pipeline(found: dict[Play, Part]) -> None:
    """A new step is played without a word here, and so is each request that a connector begins to send."""
    played = {spot.place.route for part in found.values() for spot in part.spots}

    assert {spot.place.route for record in records([whole()]) for spot in record.spots} <= played


def played_with(toy: type[Connector]) -> Part:
    """The play of a toy that talks to the simulated Braze."""
    step = replace(next(step for step in shipped("all") if step.service == "BRAZE"), operation="erase")
    return parts([Play("toy", in_line(step), {"BRAZE": toy})])[0]


class Stubborn(toys.Sound):
    """Tries again and again, each time with the whole patience."""

    @operation(Identity.USER_ID, route=("POST", toys.DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        for _ in range(9):
            with suppress(Transient):
                return await super().erase(learner)
        return await super().erase(learner)


@pytest.mark.parametrize(
    ("toy", "misbehaviour", "problem"),
    [
        (toys.Credulous, "200-{}", "retired, and there is still: braze.braze_profile.email"),
        (toys.Careless, "503-html", "retired, and there is still: braze.braze_profile.email"),
        (toys.Breaks, "200-[]", "a defect in the program: TypeError"),
        (Stubborn, "a-byte-a-second", "took 1800 s, and 450 s is the longest"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_mistake_is_found(toy: type[Connector], misbehaviour: str, problem: str) -> None:
    """Connectors with one mistake each."""
    part = played_with(toy)

    found = results(part, Choice(words=(toys.DELETE, f": {misbehaviour}")))

    assert problem in next(each.problem for each in found if each.misbehaviour == misbehaviour)


def test_a_connector_that_names_the_learner_is_not_heard() -> None:
    """Every answer makes it say the address; what it says is withheld, so no store and no output has it."""
    part = played_with(toys.NamesTheLearner)

    found = results(part, Choice(every=5, words=(toys.DELETE,)))

    assert found
    assert [str(each) for each in found if "names a learner" in each.problem] == []


def test_a_connector_without_a_mistake_is_blamed_for_nothing() -> None:
    """Else the mistakes above would prove nothing."""
    part = played_with(toys.Sound)

    assert [str(each) for each in results(part, Choice(every=5, words=(toys.DELETE,))) if each.problem] == []
