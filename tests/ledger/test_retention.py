"""Old texts leave the ledger by its settings: what is in force keeps them, the chain stays whole, the proofs stay."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from retirement import certificate as certificates
from retirement.certificate.checking import compare
from retirement.certificate.sealing import without_seal
from retirement.ledger import Ledger, Signing, TakenOut, chain, retention, take_out_older, verify
from retirement.ledger.receipts import Given

from .desk import START, Desk, begin
from .test_redaction import bodies, entries, store

YEAR = timedelta(days=365)


def signed(desk: Desk) -> Desk:
    """With signed heads and an anchor."""
    signing = Signing(desk.folder / "signing")
    return replace(desk, place=replace(desk.place, signing=signing, anchor=desk.folder / "anchor"))


async def lived(ledger: Ledger) -> None:
    """Texts of each kind: a learner whose run failed and went well, and what is and is not in force."""
    lease = await begin(ledger, 17)
    await lease.intend("MAIL", "BRAZE", "delete")
    await lease.prove("MAIL", "manual", Given("ticket-1", timedelta(days=1)))
    await lease.end("retired", "Canary reason", "COMPLETE")
    (receipt,) = await ledger.receipts.find(open_only=True)
    await ledger.receipts.checked(receipt.id, result="confirmed", confirmed=True, evidence=("Canary letter", "dpo"))
    day = START.date()
    over = await ledger.holds.add(user_id=17, org=None, service=None, basis="Canary over", until=day, by="legal")
    await ledger.holds.release(over, by="legal", reason="Canary release")
    await ledger.holds.add(user_id=18, org=None, service=None, basis="Canary held", until=day + 9 * YEAR, by="legal")
    await ledger.pauses.pause("queue", reason="Canary pause", by="ops")
    await ledger.breakers.open("BRAZE", reason="Canary breaker", by="ops")
    other = await begin(ledger, 19)
    await other.end("parked", "everything is kept until 2027-01-01 by hold 3", "PENDING")


async def last_year(desk: Desk) -> dict[str, Any]:
    """What was lived, a year before now, with the certificate of then; a day ago there was another text."""
    async with desk.open() as ledger:
        await lived(ledger)
    document: dict[str, Any] = json.loads(certificates.as_json(certificates.issue(desk.place, 17)))
    desk.clock.forward(YEAR.total_seconds())
    async with desk.open() as ledger:
        young = await ledger.holds.add(
            user_id=20, org=None, service=None, basis="Canary young", until=desk.clock().date(), by="legal"
        )
        await ledger.holds.release(young, by="legal", reason="over")
    desk.clock.forward(86_400)
    return document


def taken(desk: Desk, **options: Any) -> list[TakenOut]:
    """All steps of one run."""
    return list(take_out_older(desk.place, timedelta(days=90), clock=desk.clock, **options))


def texts(desk: Desk) -> set[str]:
    """Every text of a canary that an entry has."""
    found = json.dumps([[each.facts, each.rows] for each in entries(desk)])
    return {
        each
        for each in ("reason", "letter", "over", "release", "held", "pause", "breaker", "young")
        if f"Canary {each}" in found
    }


def test_old_texts_are_taken_out_and_what_is_in_force_keeps_its_own(desk: Desk) -> None:
    """Rows and entries agree; signatures, anchor and every hash hold; a second run finds nothing to do."""
    desk = signed(desk)
    asyncio.run(last_year(desk))
    before = entries(desk)
    planned = taken(desk, dry_run=True)
    unchanged = entries(desk)
    done = taken(desk)
    after = entries(desk)
    verdict = verify(desk.place)

    assert [each.facts for each in unchanged] == [each.facts for each in before]
    assert planned == done
    assert texts(desk) == {"held", "pause", "breaker", "young"}
    assert verdict.problem is None
    assert verdict.redacted == sum(each.texts for each in done) > 3
    assert [each.hash for each in after[: len(before)]] == [each.hash for each in before]
    assert (after[-1].kind, after[-1].facts["rule"]) == ("text.redacted", "ledger.text_days")
    assert any("by hold 3" in json.dumps(each.rows) for each in after)
    again = taken(desk)
    assert sum(each.texts for each in again) == 0
    assert len(entries(desk)) == len(after)
    if desk.place.file:
        content = b"".join(file.read_bytes() for file in desk.folder.glob("ledger.db*"))
        assert b"Canary letter" not in content


def test_an_old_certificate_still_checks_when_its_texts_are_gone(sqlite_desk: Desk) -> None:
    """By the key alone and by the ledger, as of then and as of today; another text or outcome is found as before."""
    desk = signed(sqlite_desk)
    document = asyncio.run(last_year(desk))
    taken(desk)
    compared = compare(document, desk.place)
    changed = {**document, "ending": "parked"}
    unsigned = without_seal(document)

    assert document["receipts"][0]["evidence"] == "Canary letter"
    assert certificates.check_seal(document, verify(desk.place).keys) == []
    assert (compared.wrong, compared.is_outdated) == ([], False)
    assert compared.today
    assert compared.today["receipts"][0]["evidence"] == chain.REDACTED
    assert "ending: this is not what the ledger says" in compare(changed, desk.place).wrong
    assert "receipts: this is not what the ledger says" in compare(unsigned, desk.place).wrong


def test_a_run_that_dies_between_transactions_is_gone_on_with(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each transaction is bounded and has its entry; the chain is whole after each."""
    desk = signed(sqlite_desk)
    asyncio.run(last_year(desk))
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    steps: Iterator[TakenOut] = take_out_older(desk.place, timedelta(days=90), clock=desk.clock)
    first = next(steps)
    half = verify(desk.place)
    rest = taken(desk)

    assert (first.entries + first.in_use, half.problem) == (2, None)
    assert 0 < half.redacted < (whole := verify(desk.place)).redacted
    assert whole.problem is None
    assert all(each.entries <= 2 for each in rest)
    assert texts(desk) == {"held", "pause", "breaker", "young"}


def test_an_entry_about_no_learner_is_read_once_in_a_run(sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many transactions it takes: holds of organisations, breakers and pauses may be of any year."""
    asyncio.run(last_year(sqlite_desk))
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    common = {each.seq for each in entries(sqlite_desk) if each.user_id is None and each.rows}
    read: list[int] = []
    look = retention._writings

    def noted(connection: Any, whose: Any, after: int) -> Iterator[Any]:
        for key, written in look(connection, whose, after):
            read.append(written.seq)
            yield key, written

    monkeypatch.setattr(retention, "_writings", noted)
    steps = len(taken(sqlite_desk))

    assert sorted(each for each in read if each in common) == sorted(common)
    assert steps > len(common)


def test_a_text_that_is_gone_by_another_hand_is_still_found(sqlite_desk: Desk) -> None:
    """An entry of the rule excuses the entries that it names and no other."""
    desk = signed(sqlite_desk)
    asyncio.run(last_year(desk))
    taken(desk)
    place = replace(desk.place, anchor=None)
    (young,) = [
        each.seq for each in entries(desk) if "Canary young" in json.dumps(each.rows) and each.kind == "hold.added"
    ]
    store(place, young, chain.as_hashed(bodies(place)[young]))
    problem = verify(place).problem

    assert problem
    assert "no entry says that it was taken out" in problem.sentence


def test_an_old_entry_keeps_its_text_while_its_row_was_written_lately(sqlite_desk: Desk) -> None:
    """A hold that was placed long ago and ended today: both entries say the same of why it was."""
    desk = signed(sqlite_desk)
    asyncio.run(last_year(desk))

    async def release() -> None:
        async with desk.open() as ledger:
            (held,) = [each for each in await ledger.holds.find() if each.user_id == 18]
            await ledger.holds.release(held.id, by="legal", reason="the case is closed")

    asyncio.run(release())
    taken(desk)

    with_it = ["Canary held" in json.dumps([each.facts, each.rows]) for each in entries(desk)]
    assert sum(with_it) == 2
    assert verify(desk.place).problem is None
    desk.clock.forward(YEAR.total_seconds())
    taken(desk)
    assert "held" not in texts(desk)
    assert verify(desk.place).problem is None
