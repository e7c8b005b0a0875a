"""Two workers on one queue: a learner is one worker's at a time, however often they die."""

from __future__ import annotations

import pytest

from tests.chaos.racing import HOLD_SECONDS, race, race_of_commands
from tests.chaos.theatre import Theatre

pytestmark = pytest.mark.dear(seconds=80)


@pytest.mark.parametrize(("database", "shape"), [("sqlite", "line"), ("postgresql", "dag")])
def test_two_workers_retire_everybody_between_their_deaths(engine_alone: Theatre, database: str, shape: str) -> None:
    """Twenty learners, killed at random and started again: all COMPLETE, and never two at one learner."""
    raced = race(engine_alone, shape, database, seed=7)

    assert raced.problems == ()
    assert raced.kills > 0


def test_a_second_command_leaves_the_queue_to_the_first(whole: Theatre) -> None:
    """It ends with exit code 4 and calls for nobody; when the first one is killed, the next one ends the work."""
    assert race_of_commands(whole, "line", "sqlite", seed=7).problems == ()


def test_two_at_one_learner_are_seen(engine_alone: Theatre) -> None:
    """The check itself: with a ledger each, nothing keeps two workers from one learner, and the watch says so."""
    for _ in range(5):
        engine_alone.open("line", "sqlite", learners=6)
        engine_alone.watch.hold = HOLD_SECONDS
        engine_alone.separate(1)
        runs = [engine_alone.start("worker", "--at-once", "6", door=door) for door in (0, 1)]
        for door, run in enumerate(runs):
            engine_alone.end(run, door)
        if engine_alone.watch.overlaps:
            break

    assert engine_alone.watch.overlaps != []
