"""Holds, decisions, queue runs, claims, receipts, digests: what else the ledger is asked, and what it keeps."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from retirement.errors import ConfigError, LedgerError, StateConflict
from retirement.ledger import LedgerPlace

from .desk import KEY, START, Desk, begin, live_through


def test_holds_last_until_their_day_or_their_release(desk: Desk) -> None:
    """Those on a learner are known to whoever takes them; those on organisations are listed."""

    async def hold() -> None:
        async with desk.open() as ledger:
            day = START.date()
            first = await ledger.add_hold(user_id=17, org=None, service=None, basis="court", until=day, by="legal")
            await ledger.add_hold(user_id=None, org="MITx", service="LMS", basis="audit", until=day, by="legal")
            tenure = await begin(ledger)
            assert [first] == [each.id for each in tenure.holds]
            assert ["MITx"] == [each.org for each in await ledger.holds() if each.org is not None]
            await ledger.release_hold(first, by="legal", reason="settled")
            with pytest.raises(StateConflict):
                await ledger.release_hold(first, by="legal", reason="again")
            with pytest.raises(ConfigError):
                await ledger.release_hold(999, by="legal", reason="again")
            desk.clock.forward(86400)
            assert [] == await ledger.holds()
            assert 2 == len(await ledger.holds(active_only=False))
            for wrong in ({"user_id": 1, "org": "x"}, {"user_id": None, "org": None}):
                with pytest.raises(ConfigError):
                    await ledger.add_hold(**wrong, service=None, basis="b", until=day, by="me")

    asyncio.run(hold())


def test_a_decision_is_made_once(desk: Desk) -> None:
    """Asked, found by its run, answered by one."""

    async def decide() -> None:
        async with desk.open() as ledger:
            asked = await ledger.ask("run-1", trips=["600 wait"], depth=600, expires_at=START + timedelta(hours=12))
            (found,) = await ledger.decisions(run_id="run-1", open_only=True)
            assert (asked, ("600 wait",), None) == (found.id, found.trips, found.answer)
            made = await ledger.decide(asked, "approved", approver="boss", reason="known", at_most=50)
            assert [made] == await ledger.decisions()
            assert [] == await ledger.decisions(open_only=True)
            with pytest.raises(StateConflict, match="approved already"):
                await ledger.decide(asked, "rejected", approver="other", reason="late")

    asyncio.run(decide())


def test_what_is_usual_is_counted(desk: Desk) -> None:
    """Per day, and per domain without naming it."""

    async def look() -> None:
        async with desk.open() as ledger:
            for user_id in (1, 2):
                await (await begin(ledger, user_id)).end("retired", "", "COMPLETE")
            desk.clock.forward(86400)
            await (await begin(ledger, 3, domain="other.example")).end("parked", "", "PENDING")
            history = await ledger.history(START - timedelta(days=1))
            today = START.date()
            assert {today: 2, today + timedelta(days=1): 1} == history.first_seen
            assert ({today: 2}, START) == (history.retired, history.began_at)
            assert 2 == history.domains[ledger.domain_digest("any@CANARY.example") or ""]
            await ledger.queue_began("run-1", 5, 5)
            await ledger.queue_ended("run-1", {"retired": 5}, 2)
            (run,) = await ledger.queue_runs(START)
            assert ({"retired": 5}, 2.0) == (run.counts, run.seconds)

    asyncio.run(look())


def test_a_claim_is_kept_until_it_is_delivered(desk: Desk) -> None:
    """Sealed meanwhile; a lost answer says so."""

    async def claim() -> None:
        async with desk.open() as ledger:
            first, second = await ledger.claim_began(), await ledger.claim_began()
            await ledger.claim_sealed(first, b"CanaryClaim", [2, 1])
            await ledger.claim_lost(second, "the reply was lost")
            assert ["sealed", "lost"] == [each.state for each in await ledger.claims()]
            assert b"CanaryClaim" == await ledger.open_claim(first)
            await ledger.claim_delivered(first)
            with pytest.raises(StateConflict):
                await ledger.open_claim(first)
            with pytest.raises(StateConflict):
                await ledger.claim_delivered(second)
            assert (1, 2) == (await ledger.claims(state="delivered"))[0].user_ids
            assert (await ledger.verify()).ok

    asyncio.run(claim())


def test_receipts_are_settled(desk: Desk) -> None:
    """Asked about until there is a result."""

    async def ask() -> None:
        async with desk.open() as ledger:
            await live_through(ledger)
            (receipt,) = await ledger.receipts(open_only=True)
            await ledger.receipt_checked(receipt.id, result="done")
            assert [] == await ledger.receipts(open_only=True)
            assert "done" == (await ledger.receipts(user_id=17))[0].result
            for wrong in (
                ledger.receipt_checked(999, result="x"),
                ledger.add_receipt(user_id=1, retirement_id=1, step="S", service="X", reference="r"),
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
                assert [17] == [each.user_id for each in await ledger.by_email(email)]
            assert [17] == [each.user_id for each in await ledger.by_username("canaryUSER17")]
            assert ([], []) == (await ledger.by_email("other@canary.example"), await ledger.by_email(" "))
            assert ledger.digests.username("Ana\u0301") == ledger.digests.username("an\u00c1")
            assert (None, None) == (ledger.domain_digest("nobody"), ledger.domain_digest("x@"))

    asyncio.run(ask())


def test_destroying_the_key_makes_digests_unlinkable(desk: Desk) -> None:
    """The rest of the evidence stays good; what was sealed is lost, and says so."""
    path = desk.folder / "keys" / "ledger.key"
    keyed = replace(desk, place=LedgerPlace(desk.place.url, key=path))

    async def ask() -> tuple[int, str]:
        async with keyed.open() as ledger:
            if not (await ledger.head()).seq:
                await live_through(ledger)
            return len(await ledger.by_email("canarymail17@canary.example")), ledger.digests.key_id

    found, before = asyncio.run(ask())
    assert (1, 0o600) == (found, path.stat().st_mode & 0o777)
    path.unlink()
    found, after = asyncio.run(ask())
    assert 0 == found
    assert before != after

    async def unseal() -> None:
        async with keyed.open() as ledger:
            assert (await ledger.verify()).ok
            await ledger.open_claim((await ledger.claims())[0].id)

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
            await ledger.open_breaker("X", reason="half \ud800 and \0", by="ops")
            for file in sqlite_desk.folder.iterdir():
                raw = file.read_bytes().lower()
                assert [] == [word for word in (b"canary", b"retired__user", b"retired.invalid") if word in raw], file
            assert (await ledger.verify()).ok

    asyncio.run(live())
