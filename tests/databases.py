"""The embedded PostgreSQL for tests, by the door of the product: under root no mode above its folder changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retirement.flows.kit import postgres


def address(folder: Path, database: str = "postgres") -> str:
    """The database of a folder, which is started where it does not run."""
    found = postgres.start(folder)
    assert found, "there is no PostgreSQL for this account and machine"
    return found.replace("+asyncpg", "", 1).replace("/postgres?", f"/{database}?", 1)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a database that runs as long as the block."""
    try:
        yield address(folder)
    finally:
        postgres.stop(folder)


@contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """A folder that the account of root's PostgreSQL passes through; pytest's are closed to it."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)
