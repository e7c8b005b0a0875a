"""One `serve` at a time has a home, and says so before it touches anything there."""

import fcntl
from pathlib import Path

import pytest

from retirement.cli.serve import _alone
from retirement.errors import BusyElsewhere, ConfigError

pytestmark = pytest.mark.anyio


async def test_a_second_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has the file as long as it lives; the folder is for this account alone."""
    home = tmp_path / "home"
    monkeypatch.setenv("RETIREMENT_HOME", str(home))
    async with _alone():
        with pytest.raises(BusyElsewhere, match="another `retirement serve` is at work"):
            async with _alone():
                pass
    with (home / "serve.lock").open() as held, pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert home.stat().st_mode & 0o777 == 0o700


async def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Prefect server of the operator's no other part of `serve` would say so."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("RETIREMENT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match=r"RETIREMENT_HOME: .* cannot be written"):
        async with _alone():
            pass
