"""Whether Prefect has written down everything about a queue run.

Task runs reach the server as events, in batches, after the work. A server that is stopped too early forgets
the last of them, so what started it waits here first.
"""

import asyncio
import inspect
import time
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from retirement.flows.kit.outbox import outbox
from retirement.process import waiting

#: Seconds without any change after which a record that is missing counts as lost.
PATIENCE_SECONDS = 20.0


async def wait_for_records(flow_runs: Mapping[str, Any], expected_task_runs: int) -> dict[str, int]:
    """Waits until the records of these flow runs, given as Prefect's filter, are complete, and counts them."""
    with waiting("Prefect's server to write what was done"):
        return await _complete(flow_runs, expected_task_runs)


async def _complete(flow_runs: Mapping[str, Any], expected_task_runs: int) -> dict[str, int]:
    await asyncio.to_thread(outbox.drain, PATIENCE_SECONDS)
    for worker in (EventsWorker, APILogWorker):
        draining = worker.drain_all(timeout=PATIENCE_SECONDS)
        if inspect.isawaitable(draining):
            await draining
    async with get_client() as client:
        found = await _count(client, flow_runs)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while found["task_runs"] < expected_task_runs and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
            before, found = found, await _count(client, flow_runs)
            if found != before:
                deadline = time.monotonic() + PATIENCE_SECONDS
    return {**found, "task_runs_lost": max(0, expected_task_runs - found["task_runs"])}


def of_queue_run(queue_run_id: str) -> dict[str, Any]:
    """The filter for the learners' runs of one queue run."""
    return {"parent_flow_run_id": {"any_": [queue_run_id]}}


async def _count(client: PrefectClient, flow_runs: Mapping[str, Any]) -> dict[str, int]:
    """Runs of learners and of their steps that have ended, as Prefect's database has them."""
    ended = {"state": {"type": {"any_": [state.value for state in TERMINAL_STATES]}}}
    learners = await client.request("POST", "/flow_runs/count", json={"flow_runs": {**flow_runs, **ended}})
    steps = await client.request("POST", "/task_runs/count", json={"flow_runs": dict(flow_runs), "task_runs": ended})
    return {"flow_runs": int(learners.json()), "task_runs": int(steps.json())}
