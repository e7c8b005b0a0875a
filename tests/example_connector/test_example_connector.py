"""The example's own test: a made-up library in memory, and no sandbox."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from retirement_example_connector import LibraryCards, LibraryCardsSettings

from retirement.connectors import Erasure, Outcome, Verdict
from retirement.errors import Misconfigured, Refused, RetirementError
from retirement.learner import Learner
from retirement.wire.api import Api, Retry
from retirement.wire.pool import Pool

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANA = Learner(17, 7, "ana", "ana@mail.example", "Ana", "retired_a", "retired_a@x", "ana", "PENDING", "", NOW, NOW)


class Library:
    """Cards by LMS user id."""

    def __init__(self, *, says: Any = None) -> None:
        self.cards = {17: 4711}
        self.says = says

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != "Bearer key":
            return httpx.Response(401, json={"error": "who are you?"})
        if self.says is not None:
            return httpx.Response(200, json=self.says)
        last = request.url.path.rpartition("/")[2]
        if request.method == "DELETE":
            number = self.cards.pop(int(last), None)
            return httpx.Response(200, json={"card": number}) if number else httpx.Response(404, json={"error": "?"})
        there = last == "opening-hours" or int(last) in self.cards.values()
        return httpx.Response(200, json={}) if there else httpx.Response(404, json={"error": "no such card"})


def connector(library: Library, key: str = "key") -> LibraryCards:
    """The connector as a run makes it, with a connection that leads to the library in memory."""
    settings = LibraryCardsSettings(url="https://library.example", api_key=key)
    client = Pool(settings.url, httpx.MockTransport(library))
    auth = LibraryCards.sign_in("LIBRARY_CARDS", settings, None)  # type: ignore[arg-type]  # it needs no wiring
    return LibraryCards(settings, Api("LIBRARY_CARDS", client, auth=auth, retry=Retry(attempts=1)))


def test_a_card_is_returned_once() -> None:
    """And the library confirms it under its number."""

    async def story() -> None:
        cards = connector(Library())
        await cards.probe("return_card")
        assert Verdict.PRESENT is await cards.ask("return_card", "4711", None)
        assert Erasure(Outcome.ERASED, "4711") == await cards.perform("return_card", ANA)
        assert Verdict.GONE is await cards.ask("return_card", "4711", None)
        assert Erasure(Outcome.ABSENT) == await cards.perform("return_card", ANA)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("library", "key", "kind"),
    [
        (Library(), "wrong", Misconfigured),
        (Library(says={"error": "later"}), "key", Refused),
        (Library(says={"card": True}), "key", Refused),
    ],
)
def test_what_proves_nothing_is_no_erasure(library: Library, key: str, kind: type[RetirementError]) -> None:
    """A wrong key is nobody's fault; a 200 without a number is refused."""
    with pytest.raises(kind):
        asyncio.run(connector(library, key).perform("return_card", ANA))
