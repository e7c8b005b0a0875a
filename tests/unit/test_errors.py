"""Errors: typed by what happens next, safe to store, and able to cross a process."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from retirement import errors
from retirement.errors import (
    BreakerOpen,
    Busy,
    BusyElsewhere,
    ConfigError,
    Defect,
    Ending,
    EngineLost,
    GuardStopped,
    Interrupted,
    Kept,
    LeaseLost,
    LedgerError,
    Misconfigured,
    NotFound,
    RateLimited,
    Refused,
    Rescinded,
    RetirementError,
    RowAfter,
    SamePerson,
    SchedulePaused,
    ServiceError,
    StateConflict,
    Transient,
    Unproved,
    names_where,
)
from retirement.privacy import REDACTED
from retirement.privacy.redaction import redacted

from .doubles import EMAIL, names_nobody

GET = "GET /people/{email}/"
EXAMPLES = [
    RetirementError("a sentence"),
    ConfigError("one problem", "another"),
    Interrupted("told to stop"),
    GuardStopped("a guard"),
    SchedulePaused("the schedule queue is paused"),
    SamePerson("question 4 has the yes of this person already"),
    Defect("a defect in the program: KeyError at x.py:1"),
    StateConflict("learner 17 is in COMPLETE"),
    Rescinded("learner 17 has no request"),
    BusyElsewhere("another run has the queue"),
    Unproved("every step ended, and the row is in PENDING"),
    Kept("kept until 2027-01-01 by hold 4", "SVC"),
    LeaseLost("the lease of learner 17 is lost"),
    LedgerError("the ledger is full"),
    EngineLost("Prefect's server has not answered for 60 s"),
    ServiceError("SVC", GET, 418, "a reason"),
    ServiceError("SVC", GET),
    Transient("SVC", GET, 503, "a reason", True),
    Transient("SVC", GET),
    RateLimited("SVC", GET, 429, "a reason", False, 2.5),
    Busy("SVC", GET, 500, "another learner is in the way"),
    BreakerOpen("SVC", GET, None, "down since 04:00"),
    Misconfigured("SVC", GET, 401, "a reason"),
    NotFound("SVC", GET, 404),
    Refused("SVC", GET, None, "a reason"),
]


def _tree(root: type[Exception], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, root.__name__
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child, depth + 1)


def _drawn() -> list[tuple[int, str]]:
    drawing = (errors.__doc__ or "").split("```")[1].strip().splitlines()
    found = [re.match(r"([│ ├└─]*)(\w+)", each) for each in drawing]
    return [(len(each[1]) // 4, each[2]) for each in found if each]


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    """Names, order and nesting of the drawing are those of the code."""
    assert list(_tree(RetirementError)) == _drawn()


def test_there_is_an_example_of_every_error() -> None:
    """The tests below see every class."""
    assert {name for _, name in _tree(RetirementError)} == {type(each).__name__ for each in EXAMPLES}


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_an_error_survives_pickling_unchanged(error: RetirementError) -> None:
    """Prefect pickles exceptions: type, arguments, attributes and text have to come back."""
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(error), error.args, vars(error), str(error)) == (type(back), back.args, vars(back), str(back))


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_the_arguments_of_an_error_are_those_of_its_constructor(error: RetirementError) -> None:
    """An error built from the `args` of another is the same error."""
    again = type(error)(*error.args)

    assert (error.args, vars(error)) == (again.args, vars(again))


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_an_error_without_its_learner_says_all_the_rest(error: RetirementError) -> None:
    """Whatever a connector of a third party wrote into it; numbers, marks and the service's name stay."""
    named = type(error)(*(f"{each} of {EMAIL}" if _may_name(error, each) else each for each in error.args))
    rest = type(error)(*(f"{each} of {REDACTED}" if _may_name(error, each) else each for each in error.args))

    safe = redacted(named)

    assert (type(safe), str(safe), safe.service) == (type(error), str(rest), error.service)
    assert names_nobody(repr(safe))
    assert isinstance(error, ConfigError) or (safe.args, vars(safe)) == (rest.args, vars(rest))


def _may_name(error: RetirementError, value: object) -> bool:
    return isinstance(value, str) and value != error.service


def test_a_service_error_names_service_template_status_and_reason() -> None:
    """The sentence that operators read."""
    assert str(Refused("SVC", GET, 409, "taken")) == "SVC: GET /people/{email}/ answered 409: taken"
    assert str(NotFound("SVC", GET, 404)) == "SVC: GET /people/{email}/ answered 404"
    assert str(Transient("SVC", GET, None, "no connection")) == "SVC: GET /people/{email}/: no connection"


def test_problems_of_a_configuration_are_shown_one_a_line() -> None:
    """Each argument is one whole problem."""
    assert str(ConfigError("one", "two")) == "one\ntwo"


def test_a_defect_says_where_and_not_what() -> None:
    """The text of somebody else's exception may name the learner; its type and place do not."""
    try:
        {}[EMAIL]
    except KeyError as error:
        defect = Defect.at(error)

    assert re.fullmatch(r"a defect in the program: KeyError at test_errors\.py:\d+", str(defect))
    assert names_nobody(repr(defect))


def test_a_defect_of_an_exception_that_was_never_raised_has_no_place() -> None:
    """No traceback, no frame to name."""
    assert str(Defect.at(ValueError(EMAIL))) == "a defect in the program: ValueError"


def test_a_class_that_was_made_of_an_answer_is_not_named() -> None:
    """Libraries make classes of the codes in answers; the nearest one that stands in a module is named."""
    made = type(EMAIL, (LookupError,), {})

    assert str(Defect.at(made())) == "a defect in the program: LookupError"


def test_an_ending_of_an_older_ledger_is_read_under_its_present_name() -> None:
    """Entries of a ledger are never rewritten, so their words have to be understood for ever."""
    assert Ending("held-elsewhere") is Ending.BUSY_ELSEWHERE
    with pytest.raises(ValueError, match="nowhere"):
        Ending("nowhere")


@pytest.mark.parametrize("error", EXAMPLES, ids=repr)
def test_what_an_error_does_to_a_learner_agrees_with_itself(error: RetirementError) -> None:
    """An ending that says ERRORED moves the row there; one that was given back or left alone does not."""
    after = error.consequence

    assert (after.row is RowAfter.ERRORED) == (after.ending is Ending.ERRORED)
    assert (after.row is RowAfter.STAYS) == (after.ending is Ending.STRANDED)
    assert after.passes >= after.is_repeated >= after.trips_breaker


def test_what_is_no_failure_of_a_service_is_entered_as_none() -> None:
    """The run was stopped, a hold was placed, evidence or lease are gone, or nothing was sent."""
    spared = {type(error) for error in EXAMPLES if not error.consequence.fails_step}

    assert spared == {Interrupted, Kept, LeaseLost, LedgerError, BreakerOpen}


def test_an_error_that_forbids_to_move_the_row_weighs_most() -> None:
    """Then one that does not pass by itself, then one that does."""
    weights = [kind.consequence.weight for kind in (LeaseLost, LedgerError, Refused, Transient)]

    assert weights == [2, 2, 1, 0]


def test_a_step_is_in_doubt_after_what_a_lost_answer_or_a_defect_leaves() -> None:
    """A service that says that it is busy has done nothing, and one behind an open breaker was not asked."""
    ours = {type(each).__name__ for each in EXAMPLES}

    assert ours & names_where(lambda kind: kind.consequence.leaves_doubt) == {"Transient", "RateLimited", "Defect"}
    assert ours & names_where(lambda kind: kind.consequence.trips_breaker) == {"Transient", "RateLimited"}
