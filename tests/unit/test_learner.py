"""The learner as the LMS describes them."""

from __future__ import annotations

import copy
import pickle
import traceback
from datetime import UTC, datetime
from typing import Any

import pytest

from retirement.learner import Learner, UnreadableRow

from .doubles import EMAIL, NAME, USERNAME, names_nobody, row

TEXTS = ["original_username", "original_email", "original_name", "retired_username", "retired_email", "user.username"]
IDS = ["id", "user.id", "current_state.state_execution_order"]
TIMES = ["created", "modified"]
NAMES = ["current_state.state_name", "last_state.state_name"]
OBJECTS = ["user", "current_state", "last_state"]


def _changed(place: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(row())
    *path, key = place.split(".")
    target = changed
    for part in path:
        target = target[part]
    if value is KeyError:
        del target[key]
    else:
        target[key] = value
    return changed


def _unreadable(value: object) -> UnreadableRow:
    with pytest.raises(UnreadableRow) as caught:
        Learner.from_row(value)
    return caught.value


def test_a_time_is_in_utc_whatever_its_offset() -> None:
    """And one that is no time there cannot be read."""
    assert Learner.from_row(_changed("created", "2026-01-31T14:00:00+02:00")).requested_at.isoformat() == (
        "2026-01-31T12:00:00+00:00"
    )
    assert "created" in str(_unreadable(_changed("created", "0001-01-01T00:00:00+14:00")))


def test_the_contracts_example_is_read() -> None:
    """Every attribute comes from the place that the contract gives it."""
    expected = Learner(
        user_id=17,
        retirement_id=7001,
        username=USERNAME,
        email=EMAIL,
        name=NAME,
        retired_username="retired__user_1",
        retired_email="retired__user_1@retired.invalid",
        current_username=USERNAME,
        state="PENDING",
        last_state="PENDING",
        requested_at=datetime(2026, 1, 31, 12, 0, 0, 123456, UTC),
        changed_at=datetime(2026, 2, 1, 12, 0, tzinfo=UTC),
    )

    assert expected == Learner.from_row(row())


def test_keys_that_newer_releases_add_are_ignored() -> None:
    """A new field of the LMS is no reason to stop."""
    assert Learner.from_row(row()) == Learner.from_row(row(responses="text", user={**row()["user"], "x": 1}))


@pytest.mark.parametrize("place", [*TEXTS, *IDS, *TIMES, *NAMES, *OBJECTS])
def test_a_missing_key_is_named(place: str) -> None:
    """The error says where the row differs from the contract."""
    error = _unreadable(_changed(place, KeyError))

    assert f"the status object is not as the contract says at: {place}" == str(error)


@pytest.mark.parametrize("value", [None, 17, 1.5, True, [USERNAME], {"username": USERNAME}, b"ana"], ids=repr)
@pytest.mark.parametrize("place", [*TEXTS, *NAMES])
def test_what_is_no_text_is_refused(place: str, value: Any) -> None:
    """A number or a list where a text is due is not guessed at."""
    error = _unreadable(_changed(place, value))

    assert place in str(error)
    assert names_nobody(str(error))


@pytest.mark.parametrize("value", [None, 1.5, EMAIL, "", [17], {"id": 17}], ids=repr)
@pytest.mark.parametrize("place", IDS)
def test_what_is_no_number_is_refused(place: str, value: Any) -> None:
    """An id is a whole number."""
    error = _unreadable(_changed(place, value))

    assert place in str(error)
    assert names_nobody(str(error))


@pytest.mark.parametrize("value", [True, "17", 17.0], ids=repr)
@pytest.mark.parametrize("place", IDS)
def test_what_only_looks_like_a_number_is_refused(place: str, value: Any) -> None:
    """`true` is not learner 1: an id that selects whose data goes is not coerced."""
    assert place in str(_unreadable(_changed(place, value)))


@pytest.mark.parametrize("value", [None, EMAIL, "", [1], {}], ids=repr)
@pytest.mark.parametrize("place", TIMES)
def test_what_is_no_time_is_refused(place: str, value: Any) -> None:
    """Times are ISO-8601 texts."""
    error = _unreadable(_changed(place, value))

    assert place in str(error)
    assert names_nobody(str(error))


@pytest.mark.parametrize("value", [0, 17.5, "17", "2026-01-31T12:00:00.123456"], ids=repr)
@pytest.mark.parametrize("place", TIMES)
def test_a_time_without_a_zone_is_refused(place: str, value: Any) -> None:
    """A number is no time, and a naive time cannot be compared with any other that we have."""
    assert place in str(_unreadable(_changed(place, value)))


@pytest.mark.parametrize("place", ["original_username", "retired_username", *NAMES])
def test_an_empty_key_is_refused(place: str) -> None:
    """These texts select rows; an empty one would select none, or all."""
    assert place in str(_unreadable(_changed(place, "")))


def test_an_empty_profile_name_is_fine() -> None:
    """Old accounts have none."""
    assert Learner.from_row(row(original_name="")).name == ""


def test_a_lone_surrogate_is_refused() -> None:
    """JSON can carry half a character, which no request could ever send back."""
    error = _unreadable(row(original_username=f"{USERNAME}\ud800"))

    assert names_nobody(str(error))


@pytest.mark.parametrize("value", [None, [], "text", 17, [row()]], ids=lambda value: type(value).__name__)
def test_what_is_no_object_is_refused_as_a_whole(value: object) -> None:
    """There is no place to name."""
    assert str(_unreadable(value)) == "the status object is not as the contract says at: the whole"


def test_a_traceback_of_an_unreadable_row_shows_nobody() -> None:
    """Neither the message nor what is chained to it quotes the row."""
    error = _unreadable(row(created=EMAIL, original_username=None))

    assert names_nobody("".join(traceback.format_exception(error)))


def test_an_unreadable_row_can_be_pickled_and_shows_nobody() -> None:
    """It may cross a process like every other exception."""
    back = pickle.loads(pickle.dumps(_unreadable(row(created=EMAIL))))  # noqa: S301 - our own bytes

    assert names_nobody(repr(back) + str(back))


def test_no_text_form_of_a_learner_shows_them(ana: Learner) -> None:
    """Whatever formats a learner gets the id and nothing else."""
    forms = {repr(ana), str(ana), f"{ana}", f"{ana!r}", f"{ana!s}", "{}".format(ana), "%s" % ana, format(ana)}  # noqa: UP031, UP032 - each way to write one

    assert {"<Learner 17>"} == forms
    assert names_nobody(f"{[ana]} { ({'learner': ana}) }")


def test_an_exception_that_holds_a_learner_shows_only_the_id(ana: Learner) -> None:
    """A careless `raise ValueError(learner)` leaks nothing."""
    assert repr(ValueError(ana)) == "ValueError(<Learner 17>)"


@pytest.mark.parametrize("username", [USERNAME, "bo jensen", "a@b", "zoë", "学习者", "a_b-c", "..a", "a.", "+"])
def test_names_that_the_route_takes_are_routable(username: str) -> None:
    """Word characters of any script, space, dot, at, plus, minus, underscore (contract, section 1.5)."""
    assert Learner.from_row(row(original_username=username)).routable


@pytest.mark.parametrize(
    "username", ["a/b", "100%", "o'neil", "a!", "a?b", "a#b", ".", "..", "...", "a\nb", "a\n", "✂"]
)
def test_names_that_no_path_can_carry_are_not_routable(username: str) -> None:
    """The route does not match them, or a path would lead elsewhere."""
    assert not Learner.from_row(row(original_username=username)).routable
