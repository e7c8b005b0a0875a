"""What the runner of `serve` says of runs whose processes it tells to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVE = """
import asyncio, json, sys
from pathlib import Path
from retirement.flows.kit.server import running

async def main(folder):
    async with running():
        from tests.flows.told_to_end import served
        print(json.dumps(await served(folder)))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.usefixtures("engine")
def test_a_run_that_is_over_keeps_its_state_where_serve_ends(tmp_path: Path, environment: dict[str, str]) -> None:
    """Prefect's own runner calls each run Cancelled that it has told to end; one that goes on is."""
    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    states = json.loads(ended.stdout.splitlines()[-1])
    assert states == {"completes": "COMPLETED", "fails": "FAILED", "goes on": "CANCELLED"}
