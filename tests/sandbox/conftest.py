"""Fixtures for the tests of the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace

import httpx
import pytest

from retirement.sandbox import Sandbox, platform

from .world import World


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    sandbox = Sandbox()
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{name}.sandbox")
            )
            for name, app in sandbox.apps.items()
        }
        yield World(sandbox, clients)


@dataclass
class Delay:
    """The delays of armed faults: none passes before the test says so, so that no test depends on a fast machine."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_begin: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, seconds: float) -> None:
        if seconds:
            self.begun.set()
            await self.may_begin.wait()
        await asyncio.sleep(seconds)


@pytest.fixture
async def delay(monkeypatch: pytest.MonkeyPatch) -> Delay:
    """Holds up each delay of the platform until `may_begin` is set."""
    delay = Delay()
    monkeypatch.setattr(platform, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": delay}))
    return delay
