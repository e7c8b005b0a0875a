"""*Retry* on a failed queue run: the learners who failed are taken up, and the first try stays readable."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retirement.ledger import opened
from tests import patient
from tests.flows.conftest import Command, Platform, sandbox

pytestmark = pytest.mark.dear(seconds=60)

#: What a worker does with a run that waits for its retry.
TRY_AGAIN = """
import asyncio, json, sys
from retirement.flows.kit.server import running

async def main(run_id):
    async with running():
        from prefect.client.orchestration import get_client
        from prefect.flow_engine import run_flow
        from retirement.flows.retire_queue import retire_queue

        async with get_client() as client:
            run = await client.read_flow_run(run_id)
        await run_flow(retire_queue, flow_run=run, parameters=run.parameters, return_type="state")

asyncio.run(main(sys.argv[1]))
"""

#: A queue run as a worker makes it; prints its id.
FIRST = """
import asyncio
from retirement.flows.kit.server import running

async def main():
    async with running():
        from retirement.flows.retire_queue import retire_queue

        state = await retire_queue(return_state=True)
        print(state.state_details.flow_run_id)

asyncio.run(main())
"""


def test_a_failed_queue_run_that_is_tried_again_takes_up_who_failed(
    tmp_path: Path, environment: dict[str, str], engine: str, retirement: Command
) -> None:
    """It keeps its name and the result of its first try, and the ledger has both tries."""

    def python(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        variables = environment | {"RETIREMENT_CONFIG": str(platform.config)}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout

    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.arm({"path": "/retire_misc/", "method": "POST", "status": 400, "times": 1})
        run_id = python(FIRST).split()[-1]
        first = run_of(engine, run_id)
        retry = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}}
        patient.post(f"{engine}/flow_runs/{run_id}/set_state", json=retry).raise_for_status()
        python(TRY_AGAIN, run_id)
        again = run_of(engine, run_id)

        assert set(platform.states().values()) == {"COMPLETE"}
        tries = asyncio.run(tries_of(platform, run_id))
    names = [each["name"] for each in patient.get(f"{engine}/flow_run_states/?flow_run_id={run_id}").json()]

    assert (first["state"]["name"], first["state"]["message"]) == ("SomeFailed", "2 retired, 1 errored")
    assert again["state"]["name"] == "Retired"
    assert again["state"]["message"] == "1 retired; before it was tried again: 2 retired, 1 errored"
    assert again["name"] == first["name"]
    assert {"SomeFailed", "Retired"} <= set(names)
    assert tries == [{"errored": 1, "retired": 2}, {"retired": 1}]


def run_of(api: str, run_id: str) -> Any:
    return patient.get(f"{api}/flow_runs/{run_id}").raise_for_status().json()


async def tries_of(platform: Platform, run_id: str) -> list[dict[str, int]]:
    """What the ledger says of each try, in their order."""
    async with opened(platform.ledger) as ledger:
        found = await ledger.queue_runs.since(ledger.now().replace(year=2000))
    return [dict(each.counts) for each in found if each.run_id.startswith(run_id)]
