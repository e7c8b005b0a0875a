"""How many requests a person may send, and what is said to the one too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from retirement.api import app, pace
from retirement.api.alone import Alone
from retirement.api.people import Person
from retirement.api.refusals import TooMany
from retirement.config import Configuration
from retirement.ledger import Holder
from retirement.site import Site, tokens_of
from retirement.site import opened as really_opened
from retirement.wire.auth import TokenSource

from .desk import ISSUER, STRANGER, URL, Clock, Desk, bearer, learner_token, token

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


async def test_learners_do_not_use_up_what_the_lms_answers_to_the_runs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One asks so often about themself, all together so often; operators and what asks no LMS go on."""
    monkeypatch.setattr(pace, "OF_ONE_LEARNER", 3)
    monkeypatch.setattr(pace, "OF_ALL_LEARNERS", 5)
    ids = (await desk.with_learners().seed("ana", "ben", "eva")).values()
    tokens = [bearer(learner_token(each, sub=f"{each:032x}")) for each in ids]
    async with desk.open() as client:
        found = [
            [(await client.get(f"/api/learners/{user_id}", headers=own)).status_code for _ in range(4)]
            for user_id, own in zip(ids, tokens, strict=True)
        ]
        me = await client.get("/api/me", headers=tokens[0])
        operator = await client.get(f"/api/learners/{next(iter(ids))}", headers=bearer(token()))
        desk.clock.seconds += 60
        later = await client.get(f"/api/learners/{next(iter(ids))}", headers=tokens[0])

    assert found == [[200, 200, 200, 429], [200, 200, 429, 429], [429] * 4]
    assert (me.status_code, operator.status_code, later.status_code) == (200, 200, 200)


async def test_all_requests_share_the_tokens_of_the_lms(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts the requests for them, those of the runs too: a learner who asks every second would end a night."""
    given: list[Any] = []

    @asynccontextmanager
    async def site(configuration: Configuration, *, tokens: Any) -> AsyncIterator[Site]:
        given.append(tokens)
        async with desk.site(configuration) as found:
            yield found

    monkeypatch.setattr(app, "opened_site", site)
    configuration = desk.configuration
    async with app.door(configuration, pools=desk.provider.pool, schedules=desk.planned) as opened:
        transport = httpx.ASGITransport(opened)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
            statuses = [(await client.get("/api/queue", headers=bearer(token()))).status_code for _ in range(3)]
    async with tokens_of(configuration) as tokens, really_opened(configuration, tokens=tokens) as real:
        assert real.tokens is tokens

    assert (statuses, len(given), len(set(map(id, given)))) == ([200] * 3, 3, 1)
    assert isinstance(given[0], TokenSource)


async def test_no_number_of_learners_stands_before_an_operator() -> None:
    """What is proved by the whole ledger is made for one at a time: a learner comes again, an operator waits."""
    alone, learner = Alone(), Person("ana", ISSUER, frozenset(), "bearer", 17)
    operator = Person("operator", ISSUER, frozenset(), "bearer")
    async with alone.turn(learner, waits=False):
        waiting = asyncio.ensure_future(alone.turn(operator).__aenter__())
        for each in ("ben", "eva"):
            with pytest.raises(TooMany):
                async with alone.turn(Person(each, ISSUER, frozenset(), "bearer", 18), waits=False):
                    pass
        assert not waiting.done()
    await waiting
