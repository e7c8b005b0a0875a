"""How many requests a person may send, and what is said to the one too many."""

from __future__ import annotations

import pytest

from retirement.api import pace
from retirement.api.refusals import TooMany
from retirement.ledger import Holder

from .desk import STRANGER, Clock, Desk, bearer, token

pytestmark = pytest.mark.anyio

BROWSER = {"Accept": "text/html"}


async def test_a_person_who_asks_too_often_is_told_when_to_ask_again(desk: Desk) -> None:
    """By any token of theirs; others are answered, and waiting helps. A page is refused as a page."""
    desk.settings["requests_per_minute"] = 10
    async with desk.open() as client:
        found = [(await client.get("/api/me", headers=bearer(token(nonsense=each)))).status_code for each in range(11)]
        late = await client.get("/api/me", headers=bearer(token()))
        page = await client.get("/api", headers=bearer(token()) | BROWSER)
        other = await client.get("/api/me", headers=bearer(token(STRANGER)))
        desk.clock.seconds += float(late.headers["retry-after"])
        again = [(await client.get("/api/me", headers=bearer(token()))).status_code for _ in range(2)]

    assert (found, late.status_code, late.headers["retry-after"]) == ([200] * 10 + [429], 429, "6")
    assert (page.status_code, page.headers["retry-after"], other.status_code, again) == (429, "6", 200, [200, 429])


async def test_strangers_without_a_token_use_up_no_place_of_a_person(desk: Desk) -> None:
    """A request counts once it is known whose it is."""
    desk.settings["requests_per_minute"] = 10
    async with desk.open() as client:
        statuses = [(await client.get("/api/me")).status_code for _ in range(20)]
        known = await client.get("/api/me", headers=bearer(token()))

    assert (set(statuses), known.status_code) == ({401}, 200)


def test_the_people_who_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who has not asked for the longest time makes room."""
    monkeypatch.setattr(pace, "MOST_PEOPLE", 2)
    people = pace.People(1, Clock())
    for each in ("ana", "ben", "eva"):
        people.count(Holder("issuer", each))
    people.count(Holder("issuer", "ana"))
    with pytest.raises(TooMany):
        people.count(Holder("issuer", "eva"))
