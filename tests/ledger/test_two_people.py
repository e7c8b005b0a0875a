"""Two different people for an approval and for the end of a hold: what was observed decides, never what was typed."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import pytest

from retirement import process
from retirement.errors import SamePerson, StateConflict
from retirement.ledger import Ledger, Said, chain, verify
from retirement.ledger.people import Yes, of_another, same_person
from retirement.process import Channel, acting

from .desk import START, Desk

#: Makes the account that is observed from here on, and sudo's variable.
Become = Callable[..., None]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    def become(account: str, sudo: str = "") -> None:
        monkeypatch.setattr(process, "_account", lambda _: account)
        monkeypatch.setenv("SUDO_USER", sudo)

    return become


def signed_in(subject: str, issuer: str = "https://id.example") -> dict[str, str]:
    return {"account": "retirement", "channel": "door", "person": f"{issuer} {subject}"}


ANA, BEN = {"account": "ana", "channel": "console"}, {"account": "ben", "channel": "console"}
SERVICE = {"account": "retirement", "channel": "form", "run": "r-1"}


@pytest.mark.parametrize(
    ("first", "second", "two", "one"),
    [
        (ANA, BEN, True, False),
        (ANA, ANA, False, True),
        (ANA, ANA | {"host": "another", "channel": "form"}, False, True),
        (ANA, BEN | {"sudo": "ana"}, False, True),
        (BEN | {"sudo": "ana"}, BEN | {"sudo": "cyd"}, False, True),
        (SERVICE, SERVICE | {"run": "r-2"}, False, True),
        (SERVICE, {"account": "retirement", "channel": "console", "sudo": "ana"}, False, True),
        (SERVICE, ANA, True, False),
        (signed_in("a"), signed_in("b"), True, False),
        (signed_in("a"), signed_in("a"), False, True),
        (signed_in("a"), signed_in("a") | {"channel": "form", "account": "other"}, False, True),
        (signed_in("a"), signed_in("a", "https://other.example"), False, True),
        (signed_in("a"), signed_in("b", "https://other.example"), False, True),
        (signed_in("a"), ANA, False, False),
        (ANA, signed_in("b"), False, False),
        ({}, ANA, False, True),
        ({}, {}, False, True),
    ],
)
def test_only_what_tells_people_apart_makes_two(
    first: Mapping[str, str], second: Mapping[str, str], two: bool, one: bool
) -> None:
    """What may be one person does not count as two; an account and a sign-in are neither one nor two."""
    given = [Yes(1, START, "Ada", {chain.OBSERVED: first})]

    assert (of_another(given, second) is not None, same_person(given, second, "it") is not None) == (two, one)


def said(by: str = "Ada", at_most: int = 50) -> Said:
    return Said("approved", by, "known", at_most, "command")


def on(desk: Desk, life: Callable[[Ledger], Coroutine[Any, Any, None]]) -> list[str]:
    """Lives with a ledger that has a question; the kinds of the entries after it, once the chain was verified."""

    async def lived() -> list[str]:
        async with desk.open() as ledger:
            await life(ledger)
            return [each.kind for each in await ledger.events.find()]

    kinds = asyncio.run(lived())
    assert verify(desk.place).ok
    return [each for each in kinds if each.startswith(("decision.", "hold."))]


async def asked(ledger: Ledger) -> int:
    expires = ledger.now() + timedelta(hours=12)
    return await ledger.decisions.ask("run-1", trips=["60"], depth=60, expires_at=expires, about=range(60), wanted=60)


async def answer(ledger: Ledger, number: int, what: Said, channel: Channel = "console") -> str | None:
    with acting(channel):
        made = await ledger.decisions.answer(number, what, counts_for=timedelta(hours=1), two_people=True)
    return made.answer


def test_the_first_yes_leaves_the_question_open_and_another_person_makes_it_count(desk: Desk, become: Become) -> None:
    """With the lesser number of the two; the same person, under another name, is refused, and that is entered."""

    async def life(ledger: Ledger) -> None:
        number = await asked(ledger)
        become("ana")
        assert await answer(ledger, number, said("Ada", 40)) is None
        (yes,) = (await ledger.decisions.one(number)).yeses
        assert (yes.by, yes.observed["account"]) == ("Ada", "ana")
        assert (await ledger.decisions.one(number)).is_open(ledger.now())
        for again in (said("Bob", 40), said("Bob", 40)):
            with pytest.raises(SamePerson, match=f"question {number} has the yes of this person already, 1 of 2"):
                await answer(ledger, number, again)
        with pytest.raises(SamePerson):  # a form that is read again is no second try
            await answer(ledger, number, said("Ada", 40))
        become("ben")
        assert await answer(ledger, number, said("Ben", 60)) == "approved"
        after = await ledger.decisions.one(number)
        assert (after.decision.at_most, after.decision.approver, after.yeses) == (40, "Ben", ())
        assert after.counts(ledger.now())

    kinds = on(desk, life)
    assert kinds == ["decision.asked", "decision.first", "decision.same", "decision.same", "decision.made"]


def test_two_forms_never_count_as_two(desk: Desk, become: Become) -> None:
    """Prefect does not say who has clicked; nor do a form and a command of the account that reads it."""

    async def life(ledger: Ledger) -> None:
        number = await asked(ledger)
        become("retirement", sudo="ana")
        assert await answer(ledger, number, said("Ada"), "form") is None
        for channel in ("form", "console"):
            with pytest.raises(SamePerson):
                await answer(ledger, number, said("Ben"), channel)

    assert on(desk, life).count("decision.made") == 0


def test_a_no_ends_it_at_once_whoever_says_it(desk: Desk, become: Become) -> None:
    """The person of the first yes too; a yes after it comes too late."""

    async def life(ledger: Ledger) -> None:
        number = await asked(ledger)
        become("ana")
        await answer(ledger, number, said())
        assert await answer(ledger, number, Said("rejected", "Ada", "no", None, "command")) == "rejected"
        become("ben")
        with pytest.raises(StateConflict, match="was rejected already"):
            await answer(ledger, number, said("Ben"))

    assert on(desk, life) == ["decision.asked", "decision.first", "decision.made", "decision.late"]


def test_a_first_yes_outlives_its_run_and_a_setting_that_was_switched_off(desk: Desk, become: Become) -> None:
    """The run that asks on finds it; no later yes of the same person counts for two, however few learners it names."""

    async def life(ledger: Ledger) -> None:
        number = await asked(ledger)
        become("ana")
        await answer(ledger, number, said())
        assert len((await ledger.decisions.take_up(number, "run-2")).yeses) == 1
        assert [len(each.yeses) for each in await ledger.decisions.current()] == [1]
        with pytest.raises(SamePerson):
            await ledger.decisions.answer(number, said(at_most=1))
        desk.clock.forward(12 * 3600 + 1)
        become("ben")
        with pytest.raises(StateConflict, match="was to be answered until"):
            await answer(ledger, number, said("Ben"))

    assert "decision.made" not in on(desk, life)


def test_people_who_answer_at_once_are_two_and_one_person_is_not(desk: Desk, become: Become) -> None:
    """What comes together is one transaction, and each yes is seen by the next."""

    async def at_once(ledger: Ledger, number: int, *accounts: str) -> list[object]:
        async def one(account: str) -> str | None:
            become(account)
            return await answer(ledger, number, said(account))

        return list(await asyncio.gather(*map(one, accounts), return_exceptions=True))

    async def life(ledger: Ledger) -> None:
        first, second = await asked(ledger), await asked(ledger)
        alone = await at_once(ledger, first, "ana", "ana")
        assert (alone[0], type(alone[1])) == (None, SamePerson)
        assert await at_once(ledger, second, "ana", "ben") == [None, "approved"]

    on(desk, life)


async def held(ledger: Ledger) -> int:
    return await ledger.holds.add(
        user_id=17, org=None, service=None, basis="a court", until=START.date() + timedelta(days=90), by="legal"
    )


DAY = timedelta(hours=24)


def test_a_hold_ends_by_the_yes_of_two_people_within_the_time(desk: Desk, become: Become) -> None:
    """The first yes leaves it in force; a no takes it back, and after the time it counts no more."""

    async def life(ledger: Ledger) -> None:
        number = await held(ledger)

        async def release(by: str) -> bool:
            return await ledger.holds.release(number, by=by, reason="settled", two_people=DAY)

        become("ana")
        assert not await ledger.holds.keep(number, by="Ada", reason="not yet")
        assert not await release("Ada")
        with pytest.raises(SamePerson, match=f"the release of hold {number} has the yes of this person"):
            await release("Ben")
        assert [each.id for each in await ledger.holds.find()] == [number]
        assert await ledger.holds.keep(number, by="Ada", reason="not yet")
        become("ben")
        assert not await release("Ben")
        desk.clock.forward(DAY.total_seconds() + 1)
        become("ana")
        assert not await release("Ada")
        become("ben")
        assert await release("Ben")
        assert [] == await ledger.holds.find()
        with pytest.raises(StateConflict):
            await ledger.holds.keep(number, by="Ada", reason="late")

    kinds = on(desk, life)
    assert kinds == ["hold.added", "hold.first", "hold.same", "hold.kept", "hold.first", "hold.first", "hold.released"]


def test_one_person_is_enough_where_nothing_is_configured(desk: Desk, become: Become) -> None:
    """As before, and no entry says otherwise."""

    async def life(ledger: Ledger) -> None:
        become("ana")
        number, hold = await asked(ledger), await held(ledger)
        assert (await ledger.decisions.answer(number, said())).answer == "approved"
        assert await ledger.holds.release(hold, by="Ada", reason="settled")

    assert on(desk, life) == ["decision.asked", "hold.added", "decision.made", "hold.released"]
