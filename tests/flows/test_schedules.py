"""Schedules on the real engine, in real time: runs that no person asked for begin and end by themselves."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import patient

from .conftest import sandbox, until

#: Each flow that is served with a schedule, and the setting that holds it.
SCHEDULED = {"retire-queue": "schedule", "reconcile": "reconcile_schedule", "verify-erasure": "verify_schedule"}
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def scheduled_runs(api: str, flow: str) -> list[dict[str, Any]]:
    """The runs of one flow that Prefect's scheduler has made, whatever became of them."""
    body = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_ASC"}
    found = patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json()
    return [each for each in found if each["auto_scheduled"]]


def planned(api: str) -> dict[str, list[dict[str, Any]]]:
    """The scheduled runs of each flow, in the order in which they are due."""
    return {flow: scheduled_runs(api, flow) for flow in SCHEDULED}


def ended(api: str, others: set[str]) -> dict[str, str]:
    """The state in which the first scheduled run of each flow has ended; `others` are runs of other tests.

    On a busy machine one that is due a minute later ends before it, since the first has the queue.
    """
    ours = {flow: [each for each in runs if each["id"] not in others] for flow, runs in planned(api).items()}
    states = {flow: str(runs[0]["state"]["type"]) for flow, runs in ours.items() if runs}
    return {flow: state for flow, state in states.items() if state in FINAL}


def all_ended(api: str, others: set[str]) -> dict[str, str] | None:
    """The same, once it has ended for every flow; None before."""
    found = ended(api, others)
    return found if len(found) == len(SCHEDULED) else None


def test_each_schedule_fires_and_its_run_completes(tmp_path: Path, environment: dict[str, str], engine: str) -> None:
    """The scheduler inserts runs by itself: where it cannot, only its own log says so, and everything else works."""
    others = {str(each["id"]) for runs in planned(engine).values() for each in runs}
    with sandbox(tmp_path, "--learners", "2") as platform:
        platform.configure(**dict.fromkeys(SCHEDULED.values(), "* * * * *"))
        serve = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
        variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        with subprocess.Popen(serve, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                # Read before `serve` is told to end, which cancels the runs that are due next.
                found = until(lambda: all_ended(engine, others))
            finally:
                process.terminate()

        assert found == dict.fromkeys(SCHEDULED, "COMPLETED")
        assert "PENDING" not in platform.states().values()
