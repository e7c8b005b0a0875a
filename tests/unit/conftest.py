"""Fixtures for the tests of the core."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from retirement.learner import Learner
from retirement.ledger import LedgerLocation, opened
from tests.ledgers import place_file

from .doubles import Calendar, World, row


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def ana() -> Learner:
    """A learner in PENDING."""
    return Learner.from_row(row())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A simulated platform without learners, and an empty ledger."""
    calendar = Calendar()
    place = LedgerLocation(f"sqlite:///{place_file(tmp_path / 'ledger.sqlite')}")
    async with opened(place, clock=calendar) as ledger:
        world = World(ledger, calendar)
        yield world
        for client in world.clients.values():
            await client.aclose()
