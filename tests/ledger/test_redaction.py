"""Free texts stand beside the chain: one can be taken out for good, and the chain stays whole."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text, update

from retirement.errors import BusyElsewhere, ConfigError
from retirement.ledger import Event, LedgerLocation, Redaction, Signing, chain, redact, tables, verify
from retirement.ledger.learner_lease import LearnerLease

from .desk import KEY, START, Desk, begin, live_through
from .test_recorded import restored

LEAK = "Zoë Canary v. university"


def lived(desk: Desk) -> int:
    """A hold whose basis names a learner, which its release repeats, and others; the number of its entry."""

    async def live() -> int:
        async with desk.open() as ledger:
            await live_through(ledger)
            day = START.date()
            leak = await ledger.holds.add(user_id=17, org=None, service=None, basis=LEAK, until=day, by="legal")
            await ledger.holds.add(user_id=18, org=None, service=None, basis="another", until=day, by="legal")
            await ledger.holds.release(leak, by="legal", reason="over")
            return leak

    return asyncio.run(live())


def entries(desk: Desk) -> list[Event]:
    """Every entry, as it is read."""

    async def read() -> list[Event]:
        async with desk.open() as ledger:
            return await ledger.events.find()

    return asyncio.run(read())


def bases(desk: Desk) -> list[str]:
    """What the holds say."""

    async def read() -> list[str]:
        async with desk.open() as ledger:
            return [each.basis for each in await ledger.holds.find(active_only=False)]

    return asyncio.run(read())


def bodies(place: LedgerLocation) -> dict[int, str]:
    """The bodies as they are stored."""
    engine = create_engine(place.address)
    with engine.connect() as connection:
        found = connection.execute(select(tables.event.c.seq, tables.event.c.body)).all()
    engine.dispose()
    return {row.seq: row.body for row in found}


def store(place: LedgerLocation, seq: int, body: str) -> None:
    """Changes a body by another hand."""
    engine = create_engine(place.address)
    with engine.begin() as connection:
        connection.execute(update(tables.event).where(tables.event.c.seq == seq).values(body=body))
    engine.dispose()


def test_a_text_is_taken_out_and_the_chain_stays_whole(desk: Desk) -> None:
    """Of every entry and row that repeats it; signatures and anchor hold; nothing of it is left in the file."""
    signing = Signing(desk.folder / "signing")
    desk = replace(desk, place=replace(desk.place, signing=signing, anchor=desk.folder / "anchor"))
    leak = lived(desk)
    before = entries(desk)
    planned = redact(desk.place, leak, by="dpo", reason="names a person", dry_run=True)
    assert bases(desk)[-2:] == [LEAK, "another"]
    done = redact(desk.place, leak, by="dpo", reason="names a person")
    verdict, after = verify(desk.place), entries(desk)

    assert planned == done == Redaction(1, (leak, leak + 2))
    assert (verdict.problem, verdict.redacted) == (None, 2)
    assert bases(desk)[-2:] == [chain.REDACTED, "another"]
    assert [each.hash for each in before] == [each.hash for each in after[: len(before)]]
    last = after[-1]
    assert (last.kind, last.facts["entries"], last.facts["by"]) == ("text.redacted", [leak, leak + 2], "dpo")
    if desk.place.file:
        content = b"".join(file.read_bytes() for file in desk.folder.glob("ledger.db*"))
        assert b"Canary v. university" not in content


def test_every_text_has_a_salt_of_its_own_and_is_read_in_clear(desk: Desk) -> None:
    """So no hash of one can be guessed, and no reader sees the form."""
    leak = lived(desk)
    stored = bodies(desk.place)
    salted = [json.loads(stored[seq])["rows"][0][2]["basis"] for seq in (leak, leak + 2)]

    assert [each["text"] for each in salted] == [LEAK, LEAK]
    assert len({each["salt"] for each in salted}) == 2
    assert "Canary" not in chain.as_hashed(stored[leak])
    assert [each.rows[0][2]["basis"] for each in entries(desk) if each.seq == leak] == [LEAK]


def test_a_text_that_is_gone_otherwise_is_found(desk: Desk) -> None:
    """The hash of its entry is the same, and no entry says that it was taken out."""
    leak = lived(desk)
    store(desk.place, leak, chain.as_hashed(bodies(desk.place)[leak]))
    problem = verify(desk.place).problem

    assert problem
    assert problem.sentence == f"a text of entry {leak} is gone, and no entry says that it was taken out"


def test_a_text_that_is_gone_in_another_spelling_is_found(sqlite_desk: Desk) -> None:
    """A name twice in one object, and a blank: JSON drops both, and neither may hide that a text is gone."""
    leak = lived(sqlite_desk)
    hidden = chain.as_hashed(bodies(sqlite_desk.place)[leak]).replace('"sha256":', '"sha256" :')
    store(sqlite_desk.place, leak, '{"rows":[{"salt":"","text":""}],' + hidden[1:])
    engine = create_engine(sqlite_desk.place.address)
    with engine.begin() as connection:
        connection.execute(update(tables.EVIDENCE["hold"]).where(text(f"id = {leak}")).values(basis=chain.REDACTED))
    engine.dispose()
    problem = verify(sqlite_desk.place).problem

    assert problem
    assert problem.sentence == f"entry {leak} is not what was written"


def test_a_second_text_of_an_entry_is_not_excused_by_the_first(sqlite_desk: Desk) -> None:
    """The entry says how many were taken out; one of an earlier release does not, and excuses its entries whole."""
    leak = lived(sqlite_desk)
    redact(sqlite_desk.place, leak, by="dpo", reason="names a person")
    release = leak + 2
    last = entries(sqlite_desk)[-1]
    assert (last.facts["entries"], last.facts["texts"]) == ([leak, release], [1, 1])
    store(sqlite_desk.place, release, chain.as_hashed(bodies(sqlite_desk.place)[release]))
    problem = verify(sqlite_desk.place).problem

    assert problem
    assert problem.sentence == f"a text of entry {release} is gone, and no entry says that it was taken out"


def test_a_text_that_was_changed_is_found(desk: Desk) -> None:
    """It is hashed, if by way of its own hash."""
    leak = lived(desk)
    body = bodies(desk.place)[leak]
    for changed in (body.replace("university", "University"), body[:-1], body.replace('"salt":"', '"salt":"z')):
        store(desk.place, leak, changed)
        problem = verify(desk.place).problem

        assert problem
        assert problem.sentence == f"entry {leak} is not what was written"


def test_what_cannot_be_taken_out_is_said(desk: Desk, tmp_path: Path) -> None:
    """No such entry, no text in it, a text of an earlier release, a run under way."""
    leak = lived(desk)
    redact(desk.place, leak, by="dpo", reason="once")
    for seq, sentence in ((999, "has no entry 999"), (leak, "has no text that can be taken out"), (1, "has no text")):
        with pytest.raises(ConfigError, match=sentence):
            redact(desk.place, seq, by="dpo", reason="x")

    async def run() -> LearnerLease:
        async with desk.open() as ledger:
            lease = await begin(ledger, 44)
            with pytest.raises(BusyElsewhere, match="a run is under way"):
                redact(desk.place, leak + 1, by="dpo", reason="x", clock=desk.clock)
            return lease

    asyncio.run(run())
    (tmp_path / "old").mkdir()
    old = LedgerLocation(f"sqlite:///{restored(tmp_path / 'old')}", key=KEY)
    with pytest.raises(ConfigError, match="older release"):
        redact(old, 1, by="dpo", reason="x")
