"""A worker dies at one request; reconcile and queue run later it is as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.chaos.doors import Blow, Moment, Patch
from tests.chaos.evidence import DATABASES
from tests.chaos.rounds import COMMAND, WORKER, found, kill, kills, kills_of_the_mender
from tests.chaos.stage import SHAPES
from tests.chaos.theatre import Theatre

pytestmark = pytest.mark.dear(seconds=310)

#: Every so many requests are tried here, from another first one in each combination; `make chaos` tries all.
EVERY = 12
COMBINATIONS = [(shape, database) for shape in SHAPES for database in DATABASES]
#: The two workers of `test_racing` have the other pairs of shape and database.
BY_DAY = {("line", "postgresql"), ("dag", "sqlite")}


@pytest.mark.parametrize(
    ("shape", "database"),
    [pytest.param(*each, marks=() if each in BY_DAY else pytest.mark.nightly) for each in COMBINATIONS],
)
def test_a_retirement_survives_a_kill_at_any_request(engine_alone: Theatre, shape: str, database: str) -> None:
    """Before it, with its reply unread, and after it: COMPLETE, no residue, one outcome a step, nothing ahead."""
    first = 2 + COMBINATIONS.index((shape, database)) * 2
    played = list(kills(engine_alone, shape, database, WORKER, EVERY, first))

    assert [each for each in played if each.problems] == []
    assert {each.blow.moment for each in played} == set(Moment)
    assert len(played) >= 6


def test_the_reconciler_may_die_as_well(engine_alone: Theatre) -> None:
    """Killed at its look, at its forced move and after it, it leaves nothing that the next one cannot end."""
    played = list(kills_of_the_mender(engine_alone, "dag", "sqlite", requests=(3, 4, 5)))

    assert [each for each in played if each.problems] == []


@pytest.mark.parametrize(
    "blow",
    [Blow(14, Moment.DURING), pytest.param(Blow(32, Moment.AFTER), marks=pytest.mark.nightly)],
    ids=lambda blow: blow.moment,
)
def test_the_whole_command_survives_a_kill(whole: Theatre, blow: Blow) -> None:
    """`retire-queue` with Prefect: in the middle of the work, and at the very last request."""
    played = kill(whole, "line", "sqlite", COMMAND, blow)

    assert played is not None
    assert played.problems == ()


Vandal = Callable[[Theatre], None]


def _moves_ahead(theatre: Theatre) -> None:
    theatre.watch.patches.append(Patch("RETIRING_NOTES", frozenset({"RETIRING_ENROLLMENTS"}), frozenset(), 204))


def _forgets(theatre: Theatre) -> None:
    _change(theatre, "UPDATE attempt SET voided_at = 'now' WHERE step = 'RETIRING_LMS'")


def _betrays(theatre: Theatre) -> None:
    _change(theatre, "UPDATE learner SET reason = 'Quetzal-Canary-001 was slow'")


def _leaves_data(theatre: Theatre) -> None:
    theatre.stage.seed("line", 1, [{"state": "COMPLETE"}])


def _change(theatre: Theatre, order: str) -> None:
    with theatre.evidence.engine.begin() as connection:
        connection.execute(text(order))


@pytest.mark.parametrize(
    ("vandal", "said"),
    [
        (_moves_ahead, "the row went to RETIRING_NOTES before the ledger had RETIRING_FORUMS"),
        (_moves_ahead, "at the move to RETIRING_NOTES the ledger had RETIRING_ENROLLMENTS, which was not done"),
        (_forgets, "RETIRING_LMS has 0 outcomes"),
        (_forgets, "the ledger does not verify"),
        (_betrays, "the ledger names a learner"),
        (_leaves_data, "the username is left in"),
    ],
)
def test_what_is_wrong_is_found(engine_alone: Theatre, vandal: Vandal, said: str) -> None:
    """The checks themselves: after a retirement in peace nothing is found, and each piece of damage is."""
    engine_alone.open("line", "sqlite")
    engine_alone.play("worker")
    assert found(engine_alone) == []

    vandal(engine_alone)

    assert any(problem.startswith(said) for problem in found(engine_alone))
