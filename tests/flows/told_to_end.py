"""Runs that are told to end with what serves them: one just completes, one just fails, and one goes on.

Prefect reads its settings when it is imported: import this once the server is known.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

from prefect import State, flow, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from retirement.flows.kit.runner import ServingRunner
from tests.patient import PATIENCE

#: How each run has ended by itself when its process goes.
ENDS = {"completes": StateType.COMPLETED, "fails": StateType.FAILED, "goes on": None}


@flow(name="told-to-end")
def told_to_end(ends: str, folder: str) -> None:
    """Waits to be told; the run's last state is what the run itself says before its process is gone."""

    def end(*_: Any) -> None:
        if state := ENDS[ends]:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(runtime.flow_run.get_id(), State(type=state), force=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    (Path(folder) / ends).touch()
    threading.Event().wait()


async def served(folder: Path) -> dict[str, str]:
    """Serves a run of each kind and ends when all of them wait; what each one is then."""
    async with get_client() as client:
        runner = ServingRunner(pause_on_shutdown=False)
        deployment = await runner.aadd_deployment(await told_to_end.ato_deployment("here"))
        runs = {}
        for ends in ENDS:
            given = {"ends": ends, "folder": str(folder)}
            runs[ends] = await client.create_flow_run_from_deployment(deployment, parameters=given)
        serving = asyncio.ensure_future(runner.start())
        async with asyncio.timeout(PATIENCE):
            while len(list(folder.iterdir())) < len(ENDS):  # noqa: ASYNC110 -- other processes write the files
                await asyncio.sleep(0.1)  # between two looks
        await runner.astop()
        await serving
        states = {ends: (await client.read_flow_run(run.id)).state for ends, run in runs.items()}
        return {ends: state.type.value for ends, state in states.items() if state}
