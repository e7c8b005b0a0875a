"""The pipeline as it is written: its order, its states, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retirement.pipeline import Pipeline, Step, problems


def step(name: str, *after: str) -> Step:
    return Step(f"RETIRING_{name}", f"{name}_COMPLETE", "LMS", "an_operation", tuple(f"RETIRING_{x}" for x in after))


DIAMOND = Pipeline((step("A"), step("B", "A"), step("C", "A"), step("D", "B", "C")))


def texts(steps: Sequence[Step]) -> list[tuple[int, str]]:
    return [(place, text) for place, _field, text in problems(tuple(steps))]


def test_a_step_is_named_by_its_start_state() -> None:
    """As the Ansible role has it."""
    assert step("A").name == "RETIRING_A"
    assert DIAMOND.steps[2] == DIAMOND.step("RETIRING_C")


def test_an_unknown_step_is_a_key_error() -> None:
    """Nobody asks for a step that was not checked at load."""
    with pytest.raises(KeyError):
        DIAMOND.step("RETIRING_X")


def test_a_pipeline_is_iterated_in_written_order() -> None:
    """The order of the LMS' states."""
    assert [each.name for each in DIAMOND] == ["RETIRING_A", "RETIRING_B", "RETIRING_C", "RETIRING_D"]
    assert len(DIAMOND) == 4


def test_the_queue_holds_those_who_wait() -> None:
    """PENDING and every end state; never a working state."""
    assert DIAMOND.queue_states == ["PENDING", "A_COMPLETE", "B_COMPLETE", "C_COMPLETE", "D_COMPLETE"]


def test_the_lms_needs_every_state_and_its_own_four() -> None:
    """What populate_retirement_states accepts: PENDING first, the three dead ends last (section 2.3)."""
    expected = ["PENDING", "RETIRING_A", "A_COMPLETE", "RETIRING_B", "B_COMPLETE", "ERRORED", "ABORTED", "COMPLETE"]

    assert expected == Pipeline((step("A"), step("B", "A"))).lms_states


@pytest.mark.parametrize(("name", "expected"), [("A", ""), ("B", "A"), ("C", "A"), ("D", "ABC")])
def test_ancestors_are_all_that_must_have_ended(name: str, expected: str) -> None:
    """Direct and indirect."""
    assert {f"RETIRING_{each}" for each in expected} == DIAMOND.ancestors(f"RETIRING_{name}")


@pytest.mark.parametrize(
    ("state", "expected"), [("PENDING", ""), ("A_COMPLETE", "A"), ("C_COMPLETE", "ABC"), ("D_COMPLETE", "ABCD")]
)
def test_a_waiting_state_tells_what_is_behind_the_learner(state: str, expected: str) -> None:
    """Every step up to that end state, in written order."""
    assert {f"RETIRING_{each}" for each in expected} == DIAMOND.finished_at(state)


@pytest.mark.parametrize("state", ["RETIRING_A", "ERRORED", "ABORTED", "COMPLETE", "NOTES_COMPLETE", "", "pending"])
def test_other_states_are_no_place_to_start_from(state: str) -> None:
    """Working states, dead ends, and what the pipeline does not know."""
    assert DIAMOND.finished_at(state) is None


def test_a_good_pipeline_has_no_problems() -> None:
    """Lines and graphs alike."""
    assert texts(DIAMOND.steps) == []
    assert texts([]) == []


def test_a_state_that_the_lms_cannot_store_is_a_problem() -> None:
    """Thirty characters fit (section 2.1)."""
    fits = Step("R" * 30, "C" * 30, "LMS", "an_operation", ())
    assert texts([fits]) == []

    long = Step("R" * 31, "C" * 30, "LMS", "an_operation", ())
    assert [(0, f"{'R' * 31} has 31 characters; the LMS stores 30")] == texts([long])


@pytest.mark.parametrize("state", ["PENDING", "ERRORED", "ABORTED", "COMPLETE"])
def test_the_lms_own_states_belong_to_no_step(state: str) -> None:
    """A step that ends in COMPLETE would hide the others."""
    expected = [(0, f"{state} is the LMS' own state and cannot belong to a step")]

    assert expected == texts([Step("RETIRING_A", state, "LMS", "an_operation", ())])
    assert expected == texts([Step(state, "A_COMPLETE", "LMS", "an_operation", ())])


def test_a_state_that_is_used_twice_is_a_problem() -> None:
    """In two steps, or at both ends of one."""
    twice = [step("A"), Step("RETIRING_B", "A_COMPLETE", "LMS", "an_operation", ())]
    assert texts(twice) == [(1, "A_COMPLETE is used twice (also by step 1)")]

    both = [Step("RETIRING_A", "RETIRING_A", "LMS", "an_operation", ())]
    assert texts(both) == [(0, "RETIRING_A is used twice (also by step 1)")]


def test_a_step_written_twice_is_a_problem() -> None:
    """Both of its states are."""
    assert [0, *(place for place, _ in texts([step("A"), step("A")]))] == [0, 1, 1]


def test_a_start_state_that_looks_finished_is_a_problem() -> None:
    """The guard of the LMS refuses every learner in a state whose name ends in _COMPLETE (section 2.7)."""
    assert [place for place, _ in texts([Step("A_COMPLETE", "A_DONE", "LMS", "an_operation", ())])] == [0]


def test_after_must_name_a_step() -> None:
    """A misspelling waits for nothing, or for ever."""
    assert texts([step("A", "X")]) == [(0, "`after` names RETIRING_X, which is no step of this pipeline")]


def test_after_may_not_name_a_later_step() -> None:
    """The LMS takes states in written order."""
    expected = "`after` names RETIRING_B, which is written later: write RETIRING_B above RETIRING_A, "

    found = texts([step("A", "B"), step("B")])

    assert [(0, f"{expected}since the LMS takes states in written order")] == found


@pytest.mark.parametrize("steps", [[step("A", "A")], [step("A", "B"), step("B", "A")]], ids=["itself", "two"])
def test_a_circle_is_named(steps: list[Step]) -> None:
    """Nobody would ever start."""
    ((place, text),) = texts(steps)

    assert place == 0
    assert "the steps wait for each other in a circle: RETIRING_A → " in text


def test_a_circle_elsewhere_does_not_hide_a_later_name() -> None:
    """Each of the two mistakes is told where it is."""
    places = [place for place, _ in texts([step("A", "C"), step("B", "C"), step("C", "B")])]

    assert places == [0, 1]


def test_a_circle_with_unknown_names_does_not_break_the_check() -> None:
    """Mistakes come together."""
    assert [place for place, _ in texts([step("A", "X", "B"), step("B")])] == [0, 0]
