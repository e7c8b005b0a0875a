"""The door of each test."""

from pathlib import Path

import pytest

from .desk import Desk


@pytest.fixture
def anyio_backend() -> str:
    """The product works with asyncio."""
    return "asyncio"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A configuration with a door, a provider, and nothing open yet."""
    return Desk(tmp_path)
