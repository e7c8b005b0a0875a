"""The page of the day arrives by mail and by HTTP, as text and as a file, without a name and without a typed reason."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from retirement.certificate import paper
from retirement.flows.kit.posting import send_month, send_today
from retirement.reports.month import read_month
from retirement.reports.month_page import page_of
from tests.flows.post import SECRET, hook, mail
from tests.ledger.desk import Desk
from tests.ports import free_port

from .doubles import World, names_nobody
from .test_intake import configuration
from .test_month import desk, spring
from .test_today import busy

pytestmark = pytest.mark.anyio

__all__ = ["desk"]


async def test_each_channel_that_asks_for_it_gets_text_and_file(world: World, tmp_path: Path) -> None:
    """A channel that does not ask gets nothing; the reasons stay here, the roles do not."""
    found = await busy(world)
    with mail() as letters, hook() as posted, hook() as others:
        channels = [
            {"name": "mail", "url": letters.url, "on": ["digest"]},
            {"name": "hook", "url": posted.url, "on": ["digest", "failed"]},
            {"name": "others", "url": others.url},
        ]
        arrivals = await send_today(found, configuration(tmp_path, notifications=channels))

    assert [each.sentence for each in arrivals] == [
        "notifications: mail: the page of the day was taken",
        "notifications: hook: the page of the day was taken",
    ]
    for box in (letters, posted):
        ((subject, text),) = box.messages
        ((name, file),) = box.files.items()
        page = file.decode()
        assert (subject, name) == (
            f"Retirement: the day of {found.now:%Y-%m-%d}",
            f"retirements-{found.now:%Y-%m-%d}.html",
        )
        assert all("CREDENTIALS is not called since" in each and "dpo" in each for each in (text, page))
        assert not [word for word in ("a court", "an upgrade", "sign, and", SECRET) if word in text + page]
        assert page.startswith("<!DOCTYPE html>")
        assert names_nobody(subject + text + page)
    assert others.messages == []


async def test_a_month_is_sent_with_its_pdf(desk: Desk, tmp_path: Path) -> None:
    """The same file as `--pdf` writes, and no typed reason in the text."""
    await spring(desk)
    found = read_month(desk.place, "2026-03", datetime(2026, 6, 1, tzinfo=UTC))
    async with desk.open() as ledger:
        with mail() as letters:
            channels = [{"name": "mail", "url": letters.url, "on": ["digest"]}]
            (arrival,) = await send_month(found, configuration(tmp_path, notifications=channels), ledger, anew=False)

    ((subject, text),) = letters.messages
    assert arrival.sentence == "notifications: mail: the page of 2026-03 was taken"
    assert (subject, "retired: 1" in text, "Canary" in text) == ("Retirement: the month 2026-03", True, False)
    assert letters.files == {"retirements-2026-03.pdf": paper.pdf(page_of(found))}


async def test_a_channel_that_does_not_take_it_is_said_without_its_address(world: World, tmp_path: Path) -> None:
    """One that refuses and one that is not there; the next one is told all the same."""
    found = await busy(world)
    with hook(status=403) as refuses, hook() as takes:
        urls = {"refuses": refuses.url, "gone": f"json://oncall:{SECRET}@127.0.0.1:{free_port()}/", "takes": takes.url}
        channels = [{"name": name, "url": url, "on": ["digest"]} for name, url in urls.items()]
        arrivals = await send_today(found, configuration(tmp_path, notifications=channels))

    assert [each.row["arrived"] for each in arrivals] == [False, False, True]
    assert all("it was not taken" in each.sentence for each in arrivals[:2])
    assert SECRET not in str(arrivals)
