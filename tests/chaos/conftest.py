"""Theatres for the session: starting a platform, a PostgreSQL, a fork server and an engine costs seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.evidence import DATABASES
from tests.chaos.theatre import Theatre, bare_environment, engine, left_behind, theatre


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is searched for learners when all is over.

    Not pytest's: each session closes the folder of all sessions to other accounts, and under root PostgreSQL is one.
    """
    with tempfile.TemporaryDirectory(prefix="retirement-chaos-") as folder:
        Path(folder).chmod(0o711)  # for the account of PostgreSQL
        yield Path(folder)
        assert left_behind(Path(folder)) == []


@pytest.fixture(scope="session")
def engine_alone() -> Iterator[Theatre]:
    """A theatre whose workers run the engine without Prefect."""
    with _folder() as folder, theatre(folder / "theatre", bare_environment(folder / "home"), DATABASES) as found:
        yield found


@pytest.fixture(scope="session")
def whole() -> Iterator[Theatre]:
    """A theatre in which the real commands are played, with a Prefect server behind them."""
    with (
        _folder() as folder,
        engine(folder / "home") as environment,
        theatre(folder / "theatre", environment, ["sqlite"]) as found,
    ):
        yield found
