"""The page of a month: from the ledger alone, the same each time once it is over, with the head that proves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retirement.certificate import markup, paper
from retirement.errors import ConfigError, LedgerError
from retirement.ledger import Given, LedgerLocation, verify
from retirement.reports.month import Month, read_month
from retirement.reports.month_page import document, page_of
from tests.ledger.desk import KEY, START, Clock, Desk, begin

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = 86_400.0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A ledger in a file, whose clock stands at the first of March 2026."""
    place = LedgerLocation(f"sqlite:///{tmp_path}/ledger.db", key=KEY, site="https://courses.example")
    return Desk(place, Clock(), tmp_path)


async def spring(desk: Desk) -> None:
    """One is retired in March and one, late, in April; a hold, a service that is stopped, a receipt that stays open."""
    async with desk.open() as ledger:
        for user_id, days in ((17, 4), (18, 35)):
            lease = await begin(ledger, user_id)
            await lease.intend("FORUMS", "LMS", "retirement_retire_forum")
            await lease.prove("FORUMS", "accepted", Given("job-1", timedelta(days=1)))
            await lease.end("parked", "", "PENDING")
            desk.clock.forward(days * DAY)
            await (await begin(ledger, user_id)).end("retired", "", "COMPLETE")
            if user_id == 17:
                until = START.date() + timedelta(days=60)
                await ledger.holds.add(user_id=19, org=None, service=None, basis="CanaryBasis", until=until, by="dpo")
                await ledger.breakers.open("ECOMMERCE", reason="CanaryReason", by="ops")


def of(desk: Desk, text: str) -> Month:
    return read_month(desk.place, text, NOW)


async def test_a_month_has_its_own_numbers_and_how_it_stood_at_its_end(desk: Desk) -> None:
    """The second learner began in March and was retired, too late, in April."""
    await spring(desk)
    march, april = document(of(desk, "2026-03")), document(of(desk, "2026-04"))

    assert [march[name] for name in ("over", "first_seen", "retired", "late", "open")] == [True, 2, 1, 0, 1]
    assert [april[name] for name in ("over", "first_seen", "retired", "late", "open")] == [False, 0, 1, 1, 0]
    assert march["services"] == {"LMS": {"accepted": 2}}
    assert (april["services"], april["acts"]) == ({}, [])
    page = markup.html(page_of(of(desk, "2026-03")))
    assert "dpo" in page
    assert "open at the end: 1, of these overdue: 1" in page
    assert "Retirements in 2026-04, so far" in markup.html(page_of(of(desk, "2026-04")))
    assert not [word for word in ("Canary", "canary") if word in page]


async def test_a_month_that_is_over_is_the_same_file_each_time(desk: Desk) -> None:
    """Whatever comes later; it names the entry that was the last one of the month."""
    await spring(desk)
    before = page_of(of(desk, "2026-03"))
    async with desk.open() as ledger:
        await begin(ledger, 20)
        (first, *_) = await ledger.receipts.find()
        await ledger.receipts.checked(first.id, result="confirmed", confirmed=True)
    after = page_of(of(desk, "2026-03"))

    assert paper.pdf(before) == paper.pdf(after)
    assert markup.html(before) == markup.html(after)
    head = document(of(desk, "2026-03"))["head"]
    assert head["at"].startswith("2026-03-")
    assert head["hash"] in markup.plain(after)
    assert head["seq"] < verify(desk.place).entries
    assert "the ledger of https://courses.example" in markup.plain(after)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-07", "--month: 2026-07 has not begun; give this month or an earlier one"),
        ("2026-13", "--month: give a month as YYYY-MM, such as 2026-02"),
        ("march", "--month: give a month as YYYY-MM, such as 2026-02"),
        ("2026-3", "--month: give a month as YYYY-MM, such as 2026-02"),
    ],
)
async def test_a_month_that_is_none_is_one_line(desk: Desk, text: str, told: str) -> None:
    """Before the ledger is looked at."""
    with pytest.raises(ConfigError) as refused:
        of(desk, text)

    assert str(refused.value) == told


async def test_a_month_before_the_first_entry_another_site_and_no_ledger_are_refused(desk: Desk) -> None:
    """Each in one line."""
    with pytest.raises(LedgerError):
        of(desk, "2026-03")
    await spring(desk)
    with pytest.raises(ConfigError, match="has no entry of 2026-02 or before; give a later month"):
        of(desk, "2026-02")
    other = LedgerLocation(desk.place.url, key=KEY, site="https://elsewhere.example")
    with pytest.raises(ConfigError, match="is the ledger of the site"):
        read_month(other, "2026-03", NOW)


async def test_a_month_in_which_nothing_was_entered_says_how_it_stood(desk: Desk) -> None:
    """May is after the last entry: nothing is open, nothing was done."""
    await spring(desk)
    found = document(of(desk, "2026-05"))

    assert (found["retired"], found["open"], found["acts"]) == (0, 0, [])
    assert "no entry is of this month" in markup.plain(page_of(of(desk, "2026-05")))
