"""Pauses of schedules: who has stopped what and why, until it is started again."""

import asyncio
from datetime import timedelta

import pytest

from retirement.errors import StateConflict
from retirement.ledger import verify

from .desk import START, Desk


def test_a_pause_lasts_until_it_is_ended_and_the_chain_has_both(desk: Desk) -> None:
    """A second pause gives a new reason for the same pause; what is not paused cannot be started again."""

    async def life() -> None:
        async with desk.open() as ledger:
            await ledger.pauses.pause("queue", reason="an upgrade", by="ops")
            desk.clock.forward(60)
            await ledger.pauses.pause("queue", reason="a longer upgrade", by="night")
            await ledger.pauses.pause("verify", reason="an upgrade", by="ops")
        async with desk.open() as ledger:
            assert ["queue", "verify"] == [each.schedule for each in await ledger.pauses.all()]
            pause = await ledger.pauses.of("queue")
            assert pause
            assert "paused since 2026-03-01 12:00 UTC by night: a longer upgrade" == pause.sentence
            await ledger.pauses.resume("queue", reason="it is done", by="ops")
            (ended,) = await ledger.events.find(kind="schedule.resumed")
            assert (START + timedelta(seconds=60), "it is done") == (ended.at, ended.facts["reason"])
            assert await ledger.pauses.of("queue") is None
            with pytest.raises(StateConflict, match="the schedule queue is not paused"):
                await ledger.pauses.resume("queue", reason="again", by="ops")

    asyncio.run(life())
    assert verify(desk.place).problem is None
