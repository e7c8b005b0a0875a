"""The page of a month reaches each channel once, wherever the run that sends it ends, or says that it may be twice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retirement.config import Configuration
from retirement.errors import BusyElsewhere, ConfigError
from retirement.flows.kit.posting import MAYBE_SENT, is_month_due, send_month
from retirement.ledger import Ledger
from retirement.reports.month import Month, read_month
from tests.flows.post import SECRET, Box, hook, mail
from tests.ledger.desk import Desk

from .answering import answering
from .doubles import Died
from .test_intake import configuration
from .test_month import desk, spring

pytestmark = pytest.mark.anyio

__all__ = ["desk"]


async def march(desk: Desk) -> Month:
    """A month that is over."""
    await spring(desk)
    return read_month(desk.place, "2026-03", datetime(2026, 6, 1, tzinfo=UTC))


def asking(tmp_path: Path, **boxes: Box) -> Configuration:
    """Channels that ask for pages."""
    channels = [{"name": name, "url": box.url, "on": ["digest"]} for name, box in boxes.items()]
    return configuration(tmp_path, notifications=channels)


async def test_a_channel_that_has_taken_it_gets_no_second_one(desk: Desk, tmp_path: Path) -> None:
    """One that refused it gets it with the next run, as does one whose address is another by now."""
    month = await march(desk)
    with mail() as letters, hook(status=503) as down, hook() as moved:
        before, after = asking(tmp_path, dpo=letters, hook=down), asking(tmp_path, dpo=letters, hook=moved)
        async with desk.open() as ledger:
            assert await is_month_due(month.name, before, ledger)
            first = await send_month(month, before, ledger, anew=False)
            second = await send_month(month, before, ledger, anew=False)
            third = await send_month(month, after, ledger, anew=False)
            assert not await is_month_due(month.name, after, ledger)
            assert await send_month(month, after, ledger, anew=False) == []
            assert [each.channel for each in await send_month(month, after, ledger, anew=True)] == ["dpo", "hook"]
            assert (await ledger.verify()).problem is None

    assert [[(each.channel, each.problem is None) for each in sent] for sent in (first, second, third)] == [
        [("dpo", True), ("hook", False)],
        [("hook", False)],
        [("hook", True)],
    ]
    assert [len(each.messages) for each in (letters, down, moved)] == [2, 2, 2]
    assert not [text for box in (letters, down, moved) for _, text in box.messages if MAYBE_SENT in text]
    assert SECRET.encode() not in b"".join(each.read_bytes() for each in tmp_path.glob("ledger.db*"))


async def test_a_letter_whose_run_died_is_sent_again_and_says_so(desk: Desk, tmp_path: Path) -> None:
    """Before it was sent or after, which mail cannot tell; the file is the same, and no third one comes."""
    month = await march(desk)
    with mail() as letters:
        chosen = asking(tmp_path, dpo=letters)
        async with desk.open() as ledger:
            dying(ledger)
            with pytest.raises(Died):
                await send_month(month, chosen, ledger, anew=False)
        first = dict(letters.files)
        async with desk.open() as ledger:
            assert await is_month_due(month.name, chosen, ledger)
            (arrival,) = await send_month(month, chosen, ledger, anew=False)
            assert await send_month(month, chosen, ledger, anew=False) == []

    (_, once), (_, again) = letters.messages
    assert (arrival.problem, letters.files) == (None, first)
    assert (MAYBE_SENT in once, again.startswith(MAYBE_SENT)) == (False, True)


def dying(ledger: Ledger) -> None:
    """The process ends when a letter was sent and before that is entered."""

    async def died(*_given: Any, **_options: Any) -> None:
        raise Died

    vars(ledger.letters)["ended"] = died


async def test_a_month_that_goes_on_is_another_page(desk: Desk, tmp_path: Path) -> None:
    """A person may send it before its end; the page for the record comes all the same."""
    month = await march(desk)
    with mail() as letters:
        chosen = asking(tmp_path, dpo=letters)
        async with desk.open() as ledger:
            month.is_over = False
            await send_month(month, chosen, ledger, anew=True)
            month.is_over = True
            assert await is_month_due(month.name, chosen, ledger)
            lease = await ledger.leases.take("letters", what="the letters of a month")
            with pytest.raises(BusyElsewhere):
                await send_month(month, chosen, ledger, anew=False)
            await ledger.leases.release(lease)
            await send_month(month, chosen, ledger, anew=False)

    assert len(letters.messages) == 2


@pytest.mark.parametrize("status", [404, 500], ids=["no such block", "a server that fails"])
async def test_a_channel_that_cannot_be_used_keeps_no_other_one_from_the_page(
    desk: Desk, tmp_path: Path, status: int
) -> None:
    """Its letter was not sent, so no later one says that it may have come."""
    month = await march(desk)
    with mail() as letters, answering(lambda *_: status):
        oncall = {"name": "oncall", "block": "slack-webhook/nowhere", "on": ["digest"]}
        channels = [oncall, {"name": "dpo", "url": letters.url, "on": ["digest"]}]
        chosen = configuration(tmp_path, notifications=channels)
        async with desk.open() as ledger:
            sent = [await send_month(month, chosen, ledger, anew=False) for _ in range(2)]
            posted = await ledger.letters.posted(month.name, "oncall", "")

    assert [[(each.channel, each.problem is None) for each in some] for some in sent] == [
        [("oncall", False), ("dpo", True)],
        [("oncall", False)],
    ]
    assert (len(letters.messages), posted.taken_at, posted.is_in_doubt) == (1, None, False)


async def test_an_address_that_is_none_is_said_before_a_letter_is_begun(desk: Desk, tmp_path: Path) -> None:
    """Nothing is sent, and nothing entered."""
    month = await march(desk)
    with mail() as letters:
        channels = [{"name": name, "url": url, "on": ["digest"]} for name, url in (("a", letters.url), ("b", "no://x"))]
        chosen = configuration(tmp_path, notifications=channels)
        async with desk.open() as ledger:
            before = await ledger.events.head()
            with pytest.raises(ConfigError, match="url of b"):
                await send_month(month, chosen, ledger, anew=False)
            assert (await ledger.events.head(), letters.messages) == (before, [])
