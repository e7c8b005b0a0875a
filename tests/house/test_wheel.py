"""What an installation puts beside a user's own packages."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .source import ROOT


@pytest.mark.processes
def test_the_wheel_has_one_package_at_the_top_level(tmp_path: Path) -> None:
    """A top-level package `flows` would hide the folder that a user of Prefect has (decision 0016)."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"retirement"}
    assert "retirement/flows/retire_queue.py" in names
