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


def ended(api: str, others: set[str]) -> dict[str, set[str]]:
    """How the scheduled runs of each flow have ended so far, without runs of other tests."""
    ours = {flow: [each for each in runs if each["id"] not in others] for flow, runs in planned(api).items()}
    return {flow: {str(each["state"]["type"]) for each in runs} & FINAL for flow, runs in ours.items()}


def all_done(api: str, others: set[str]) -> dict[str, set[str]] | None:
    """The same, once a run of each flow has done its work or broken off; None before.

    On a busy machine runs of two minutes begin at the same moment: one of them has the queue, the other is cancelled.
    """
    found = ended(api, others)
    return found if all(each - {"CANCELLED"} for each in found.values()) else None


def test_each_schedule_fires_and_its_run_completes(tmp_path: Path, environment: dict[str, str], engine: str) -> None:
    """The scheduler inserts runs by itself: where it cannot, only its own log says so, and everything else works."""
    others = {str(each["id"]) for runs in planned(engine).values() for each in runs}
    with sandbox(tmp_path, "--learners", "2") as platform:
        platform.configure(**dict.fromkeys(SCHEDULED.values(), "* * * * *"))
        serve = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
        variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        with subprocess.Popen(serve, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                found = until(lambda: all_done(engine, others))
            finally:
                process.terminate()

        assert all(states <= {"COMPLETED", "CANCELLED"} for states in found.values()), found
        assert "PENDING" not in platform.states().values()
