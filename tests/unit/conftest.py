"""Fixtures for the tests of the core."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from retirement.learner import Learner

from .doubles import World, row


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def ana() -> Learner:
    """A learner in PENDING."""
    return Learner.from_row(row())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A simulated platform without learners."""
    world = World()
    yield world
    for client in world.clients.values():
        await client.aclose()
