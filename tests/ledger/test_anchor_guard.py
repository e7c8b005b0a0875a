"""A ledger that was written anew is refused at the door, before its anchor moves on to the new chain."""

import asyncio
from dataclasses import replace

import pytest

from retirement.errors import LedgerError
from retirement.ledger.anchor import read_anchor

from .desk import Desk, live_through


async def _lived(desk: Desk, times: int) -> None:
    async with desk.open() as ledger:
        for number in range(times):
            await ledger.events.note(f"{desk.folder.name}.{number}", {})


def test_another_chain_than_the_anchored_one_is_not_opened(sqlite_desk: Desk) -> None:
    """As long as the old one or longer; the anchor goes on to hold what it held."""
    anchor = sqlite_desk.folder / "anchor"
    old = replace(sqlite_desk, place=replace(sqlite_desk.place, anchor=anchor))
    asyncio.run(_lived(old, 3))
    held = read_anchor(anchor)
    for length in (3, 5):
        folder = sqlite_desk.folder / f"anew{length}"
        folder.mkdir()
        anew = replace(old, place=replace(old.place, url=f"sqlite:///{folder}/ledger.db"), folder=folder)
        asyncio.run(_lived(replace(anew, place=replace(anew.place, anchor=None)), length))
        with pytest.raises(LedgerError, match="it was written anew"):
            asyncio.run(_lived(anew, 1))

    assert held
    assert held == read_anchor(anchor)


def test_the_anchored_chain_is_opened_again_and_again(desk: Desk) -> None:
    """Also where it has grown since the anchor was written."""
    anchored = replace(desk, place=replace(desk.place, anchor=desk.folder / "anchor"))

    async def live(where: Desk) -> None:
        async with where.open() as ledger:
            await live_through(ledger)

    asyncio.run(live(anchored))
    asyncio.run(_lived(desk, 2))
    asyncio.run(_lived(anchored, 1))
    found = read_anchor(desk.folder / "anchor")

    assert found
    assert found.seq > 3
