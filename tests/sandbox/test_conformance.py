"""The recorded answers of the real platform, replayed over real sockets."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from retirement.sandbox import Sandbox, serving

pytestmark = pytest.mark.anyio

REPOSITORY = Path(__file__).parents[2]


def _folder() -> Path:
    return Path(os.environ.get("CONFORMANCE_DIR") or REPOSITORY.parent / "shared" / "conformance")


@pytest.mark.processes
async def test_every_recorded_case_is_answered_as_the_real_platform_did() -> None:
    """The replayer finds no difference in any case, and skips none."""
    folder = _folder()
    assert (folder / "replay.py").is_file(), f"no conformance cases in {folder}: set CONFORMANCE_DIR"

    async with serving(Sandbox()) as urls:
        bases = [word for name, url in urls.items() for word in ("--base", f"{name}={url}")]
        replay = await asyncio.create_subprocess_exec(
            *(sys.executable, str(folder / "replay.py"), *bases, str(folder / "cases")),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await replay.communicate()

    report = output.decode()
    assert replay.returncode == 0, report
    assert "0 failed, 0 skipped" in report
