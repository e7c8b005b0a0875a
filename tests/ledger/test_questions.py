"""Holds, decisions, queue runs, claims, receipts, digests: what else the ledger is asked, and what it keeps."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from retirement.errors import ConfigError, LedgerError, StateConflict
from retirement.ledger import Ledger, LedgerLocation, Said, rotate_key

from .desk import KEY, START, Desk, begin, claims_of, live_through


def test_holds_last_until_their_day_or_their_release(desk: Desk) -> None:
    """Those on a learner are known to whoever takes them; those on organisations are listed."""

    async def hold() -> None:
        async with desk.open() as ledger:
            day = START.date()
            first = await ledger.holds.add(user_id=17, org=None, service=None, basis="court", until=day, by="legal")
            await ledger.holds.add(user_id=None, org="MITx", service="LMS", basis="audit", until=day, by="legal")
            lease = await begin(ledger)
            assert [first] == [each.id for each in lease.holds]
            assert ["MITx"] == [each.org for each in await ledger.holds.find() if each.org is not None]
            await ledger.holds.release(first, by="legal", reason="settled")
            with pytest.raises(StateConflict):
                await ledger.holds.release(first, by="legal", reason="again")
            with pytest.raises(ConfigError):
                await ledger.holds.release(999, by="legal", reason="again")
            desk.clock.forward(86400)
            assert [] == await ledger.holds.find()
            assert 2 == len(await ledger.holds.find(active_only=False))
            for wrong in ({"user_id": 1, "org": "x"}, {"user_id": None, "org": None}):
                with pytest.raises(ConfigError):
                    await ledger.holds.add(**wrong, service=None, basis="b", until=day, by="me")

    asyncio.run(hold())


YES = Said("approved", "boss", "known", 50, "command")
NO = Said("rejected", "other", "late", None, "form")


async def ask(ledger: Ledger, run_id: str = "run-1") -> int:
    """A question about two learners that can be answered for twelve hours."""
    until = ledger.now() + timedelta(hours=12)
    return await ledger.decisions.ask(run_id, trips=["2 wait"], depth=2, expires_at=until, about=[9, 3], wanted=1)


def test_a_decision_is_made_once(desk: Desk) -> None:
    """Asked, found by its run, answered by one; a later answer says who was first, and is entered too."""

    async def decide() -> None:
        async with desk.open() as ledger:
            asked = await ask(ledger)
            (found,) = await ledger.decisions.find(run_id="run-1", open_only=True)
            assert (asked, ("2 wait",), None) == (found.id, found.trips, found.answer)
            made = await ledger.decisions.answer(asked, YES, counts_for=timedelta(hours=1))
            assert [made] == await ledger.decisions.find()
            assert [] == await ledger.decisions.find(open_only=True)
            assert made == await ledger.decisions.answer(asked, YES)
            first = r"was approved already, by boss at 2026-03-01 12:00 UTC by command"
            with pytest.raises(StateConflict, match=first):
                await ledger.decisions.answer(asked, NO)
            (late,) = await ledger.events.find(kind="decision.late")
            assert ("rejected", "other", "form") == (late.facts["answer"], late.facts["approver"], late.facts["way"])
            with pytest.raises(ConfigError):
                await ledger.decisions.answer(999, YES)
            assert (await ledger.verify()).ok

    asyncio.run(decide())


def test_a_question_is_asked_by_one_run_after_another(desk: Desk) -> None:
    """Under its number, which both runs name; an answer counts for its hours and for no longer."""

    async def go_on() -> None:
        async with desk.open() as ledger:
            asked = await ask(ledger)
            (current,) = await ledger.decisions.current()
            assert ((3, 9), 1, "run-1") == (current.question.user_ids, current.question.wanted, current.question.run_id)
            assert "run-2" == (await ledger.decisions.take_up(asked, "run-2")).question.run_id
            assert [asked, asked] == [(await ledger.decisions.of_run(run)).id for run in ("run-1", "run-2")]
            assert await ledger.decisions.of_run("run-3") is None
            with pytest.raises(StateConflict):
                await ledger.decisions.use(asked, "run-2")
            await ledger.decisions.answer(asked, YES, counts_for=timedelta(hours=1))
            with pytest.raises(StateConflict):
                await ledger.decisions.take_up(asked, "run-3")
            assert "run-3" == (await ledger.decisions.use(asked, "run-3")).question.used_by
            desk.clock.forward(3600)
            assert [] == await ledger.decisions.current()
            with pytest.raises(StateConflict, match="counts no more"):
                await ledger.decisions.use(asked, "run-4")
            assert (await ledger.verify()).ok

    asyncio.run(go_on())


def test_an_answer_after_the_time_is_entered_and_does_not_count(desk: Desk) -> None:
    """Whether the question was closed by then or not; and one that no person was asked has no answer to use."""

    async def late() -> None:
        async with desk.open() as ledger:
            asked = await ask(ledger)
            desk.clock.forward(12 * 3600 + 1)
            with pytest.raises(StateConflict, match="was to be answered until 2026-03-02 00:00 UTC"):
                await ledger.decisions.answer(asked, YES)
            await ledger.decisions.answer(asked, Said("expired", None, "no answer came in time"))
            with pytest.raises(StateConflict, match="has expired already"):
                await ledger.decisions.answer(asked, NO)
            assert ["approved", "rejected"] == [
                each.facts["answer"] for each in await ledger.events.find(kind="decision.late")
            ]
            assert [] == await ledger.decisions.current()
            stop = await ledger.decisions.ask("run-2", trips=["600 wait"], depth=600, expires_at=ledger.now())
            with pytest.raises(ConfigError, match="no question"):
                await ledger.decisions.one(stop)

    asyncio.run(late())


def test_what_is_usual_is_counted(desk: Desk) -> None:
    """Per day, and per domain without naming it."""

    async def look() -> None:
        async with desk.open() as ledger:
            for user_id in (1, 2):
                await (await begin(ledger, user_id)).end("retired", "", "COMPLETE")
            desk.clock.forward(86400)
            await (await begin(ledger, 3, domain="other.example")).end("parked", "", "PENDING")
            history = await ledger.learners.history(START - timedelta(days=1))
            today = START.date()
            assert {today: 2, today + timedelta(days=1): 1} == history.first_seen
            assert ({today: 2}, START) == (history.retired, history.began_at)
            assert 2 == history.domains[ledger.learners.domain_digest("any@CANARY.example") or ""]
            await ledger.queue_runs.begin("run-1", 5, 5)
            await ledger.queue_runs.end("run-1", {"retired": 5}, 2)
            (run,) = await ledger.queue_runs.since(START)
            assert ({"retired": 5}, 2.0) == (run.counts, run.seconds)

    asyncio.run(look())


def test_a_claim_is_kept_until_it_is_delivered(desk: Desk) -> None:
    """Sealed meanwhile; a lost answer says so."""

    async def claim() -> None:
        async with desk.open() as ledger:
            first, second = await ledger.claims.begin(), await ledger.claims.begin()
            await ledger.claims.seal(first, b"CanaryClaim", [2, 1])
            await ledger.claims.lost(second, "the reply was lost")
            assert ["sealed", "lost"] == [each.state for each in await claims_of(ledger)]
            assert b"CanaryClaim" == await ledger.claims.unseal(first)
            await ledger.claims.delivered(first)
            with pytest.raises(StateConflict):
                await ledger.claims.unseal(first)
            with pytest.raises(StateConflict):
                await ledger.claims.delivered(second)
            assert (1, 2) == (await claims_of(ledger, "delivered"))[0].user_ids
            assert (await ledger.verify()).ok

    asyncio.run(claim())


def test_receipts_are_settled(desk: Desk) -> None:
    """Asked about until there is a result."""

    async def ask() -> None:
        async with desk.open() as ledger:
            await live_through(ledger)
            (receipt,) = await ledger.receipts.find(open_only=True)
            await ledger.receipts.checked(receipt.id, result="done")
            assert [] == await ledger.receipts.find(open_only=True)
            assert "done" == (await ledger.receipts.find(user_id=17))[0].result
            for _ in range(2):  # the same evidence again is a run that died, and the first answer counts
                assert not await ledger.receipts.checked(receipt.id, result="confirmed", evidence=("ticket 1", "ops"))
            assert "done" == (await ledger.receipts.find(user_id=17))[0].result
            late = await ledger.events.find(kind="receipt.late")
            assert {("ticket 1", "ops")} == {(each.facts["evidence"], each.facts["by"]) for each in late}
            for wrong in (
                ledger.receipts.checked(999, result="x"),
                ledger.receipts.add(user_id=1, retirement_id=1, step="S", service="X", reference="r"),
            ):
                with pytest.raises(ConfigError):
                    await wrong

    asyncio.run(ask())


def test_digests_answer_as_the_lms_would(desk: Desk) -> None:
    """Case, blanks and the form of accents do not count."""

    async def ask() -> None:
        async with desk.open() as ledger:
            await (await begin(ledger)).end("retired", "", "COMPLETE")
            for email in ("CanaryMail17@canary.example", " CANARYMAIL17@CANARY.EXAMPLE\n"):
                assert [17] == [each.user_id for each in await ledger.learners.by_email(email)]
            assert [17] == [each.user_id for each in await ledger.learners.by_username("canaryUSER17")]
            assert ([], []) == (
                await ledger.learners.by_email("other@canary.example"),
                await ledger.learners.by_email(" "),
            )
            assert ledger.access.digests.username("Ana\u0301") == ledger.access.digests.username("an\u00c1")
            assert (None, None) == (ledger.learners.domain_digest("nobody"), ledger.learners.domain_digest("x@"))

    asyncio.run(ask())


def test_destroying_the_key_makes_digests_unlinkable(desk: Desk) -> None:
    """The rest of the evidence stays good; what was sealed is lost, and says so."""
    path = desk.folder / "keys" / "ledger.key"
    keyed = replace(desk, place=LedgerLocation(desk.place.url, key=path))

    async def ask() -> tuple[int, str]:
        async with keyed.open() as ledger:
            if not (await ledger.events.head()).seq:
                await live_through(ledger)
            return len(await ledger.learners.by_email("canarymail17@canary.example")), ledger.access.digests.key_id

    found, before = asyncio.run(ask())
    assert (1, 0o600) == (found, path.stat().st_mode & 0o777)
    path.unlink()
    rotate_key(keyed.place, by="ops", lost=True, clock=desk.clock)
    found, after = asyncio.run(ask())
    assert 0 == found
    assert before != after

    async def unseal() -> None:
        async with keyed.open() as ledger:
            assert (await ledger.verify()).ok
            await ledger.claims.unseal((await claims_of(ledger))[0].id)

    with pytest.raises(LedgerError, match="key"):
        asyncio.run(unseal())
    path.write_text("no key")
    with pytest.raises(ConfigError, match="not a key"):
        asyncio.run(unseal())


def test_nothing_personal_is_stored(sqlite_desk: Desk) -> None:
    """In no byte of any file, and texts that no database can hold do not stop the work."""
    place = replace(sqlite_desk.place, key=KEY, anchor=sqlite_desk.folder / "anchor")

    async def live() -> None:
        async with replace(sqlite_desk, place=place).open() as ledger:
            await live_through(ledger)
            await ledger.breakers.open("X", reason="half \ud800 and \0", by="ops")
            for file in sqlite_desk.folder.iterdir():
                raw = file.read_bytes().lower()
                assert [] == [word for word in (b"canary", b"retired__user", b"retired.invalid") if word in raw], file
            assert (await ledger.verify()).ok

    asyncio.run(live())
