"""What connectors read answers with: a member of a type, a list whose items fit, a look-up, a row of a contract."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from retirement.connectors import Verdict
from retirement.errors import Misconfigured, Refused, Transient
from retirement.wire.meanings import Meaning, meanings
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply

from .doubles import Script


def reply(data: Any, status: int = 200, kind: str = "json") -> Reply:
    return Reply("SVC", "GET /things", status, kind, data)


@pytest.mark.parametrize("data", [{"count": True}, {"count": 1.0}, {"count": "1"}, {"count": None}, {}, [], None])
def test_a_member_of_another_type_is_missing(data: Any) -> None:
    """Also true, which is an int to Python."""
    with pytest.raises(Refused, match="GET /things answered 200: the count is missing"):
        reply(data).member("count", int, "the count")


def test_a_member_of_its_type_is_given() -> None:
    """An empty list and 0 are values."""
    assert (reply({"count": 0}).member("count", int, "the count"), reply({"n": []}).member("n", list, "it")) == (0, [])


@pytest.mark.parametrize("found", [None, {}, "ab", [1, "2"]])
def test_a_list_with_an_item_that_does_not_fit_is_refused(found: Any) -> None:
    """And so is what is no list."""
    with pytest.raises(Refused, match="a list of numbers is due"):
        reply({}).items(found, lambda each: isinstance(each, int), "a list of numbers is due")


def test_what_stands_deeper_is_found_through_objects_only() -> None:
    """Everything else has nothing below."""
    assert reply({"a": {"b": 1}}).at("a", "b") == 1
    assert [reply(data).at("a", "b") for data in ({"a": [1]}, {"a": None}, {}, [], "a", None)] == [None] * 6


@pytest.mark.anyio
async def test_a_look_up_finds_nothing_where_the_service_says_so() -> None:
    """A page with 404 is no word of the service; the time limit is that of look-ups."""
    script = Script(httpx.Response(404, json={}), httpx.Response(404, html="<h1>No</h1>"), httpx.Response(200, json={}))
    api = script.api()

    assert await api.find("/things") is None
    with pytest.raises(Misconfigured):
        await api.find("/things")
    assert await api.find("/things") is not None
    limits = {each.extensions["timeout"]["read"] for each in script.requests}
    assert limits == {Patience.LOOKUP.value.timeout["read"]}


ROWS = (
    Meaning(400, Reply.transient, "busy", says="upstream"),
    Meaning(400, Reply.misconfigured, "bad body"),
    Meaning(500, Reply.refused, "broken", kind="json"),
)


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (reply({"error": "upstream failed"}, 400), Transient, "busy"),
        (reply({"error": "upstream failed"}, 400, "text"), Misconfigured, "bad body"),
        (reply({}, 400), Misconfigured, "bad body"),
        (reply({}, 500), Refused, "broken"),
    ],
)
def test_the_first_row_that_is_about_an_answer_is_its_error(answer: Reply, kind: type[Exception], reason: str) -> None:
    """In the order in which they are written."""
    with pytest.raises(kind, match=reason):
        meanings(*ROWS)(answer)


@pytest.mark.parametrize("answer", [reply({}, 500, "html"), reply({}, 404), reply({})])
def test_an_answer_that_no_row_is_about_is_left_to_the_general_table(answer: Reply) -> None:
    """The judge says nothing."""
    assert meanings(*ROWS)(answer) is None  # type: ignore[func-returns-value]  # that it gives nothing is the point


def test_the_worst_verdict_of_the_parts_counts() -> None:
    """None of several is GONE, since nothing is left."""
    assert Verdict.worst([Verdict.GONE, Verdict.PRESENT, Verdict.WORKING]) is Verdict.PRESENT
    assert Verdict.worst([*Verdict]) is Verdict.FAILED
    assert Verdict.worst([]) is Verdict.GONE
