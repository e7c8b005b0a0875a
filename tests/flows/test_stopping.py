"""Told to stop in the middle: what has begun is ended, everybody is given back, the next run finishes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import patient
from tests.flows.conftest import RUN_A_FLOW, WITH_SIGNALS, Command, Platform, sandbox
from tests.flows.runs import Runs
from tests.patient import PATIENCE

pytestmark = pytest.mark.dear(seconds=210)

WAITING = "_COMPLETE"


def until(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    """Asks the sandbox again and again, until the process has ended."""
    patient.until(lambda: process.poll() is not None or reached())


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)])
def test_a_run_that_is_told_to_stop_leaves_nobody_in_a_working_state(
    tmp_path: Path, environment: dict[str, str], engine: str, retirement: Command, number: int
) -> None:
    """Exit code 1, every learner waits in a state that the queue lists, and the next run retires all."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        command = [sys.executable, "-c", WITH_SIGNALS, "retire-queue", "--config", str(platform.config)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            until(run, lambda: moved(platform) > 12)
            os.kill(run.pid, number)
            _, errors = run.communicate(timeout=PATIENCE)

        assert (run.returncode, errors) == (1, "the run was told to stop\n")
        assert all(state == "PENDING" or state.endswith(WAITING) for state in platform.states().values())
        assert "COMPLETE" not in platform.states().values()
        assert retirement("retire-queue", "--config", platform.config).code == 0
        assert set(platform.states().values()) == {"COMPLETE"}
        assert platform.residue() == []


def moved(platform: Platform) -> int:
    return sum(each["method"] == "PATCH" for each in platform.requests())


@dataclass(frozen=True)
class Served:
    """`retirement serve` with a run of `queue-here` that has begun."""

    process: "subprocess.Popen[str]"
    api: str
    flow_run: str

    def state(self) -> tuple[str, str]:
        """Type and name of the run's state in Prefect."""
        state = patient.get(f"{self.api}/flow_runs/{self.flow_run}").json()["state"]
        return state["type"], state["name"]

    def ended(self) -> bool:
        return self.state()[0] in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")

    def cancel(self) -> None:
        """What the button of the UI does."""
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        patient.post(f"{self.api}/flow_runs/{self.flow_run}/set_state", json=body).raise_for_status()

    def delete(self) -> None:
        """The same of the menu's item."""
        patient.delete(f"{self.api}/flow_runs/{self.flow_run}").raise_for_status()

    def suspend(self) -> None:
        """The same of the other button. Only a run that was paused by itself can be resumed where it was."""
        details = {"pause_reschedule": True, "pause_timeout": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
        body = {"state": {"type": "PAUSED", "name": "Suspended", "state_details": details}, "force": False}
        patient.post(f"{self.api}/flow_runs/{self.flow_run}/set_state", json=body).raise_for_status()

    def tell_the_server(self) -> None:
        self.process.terminate()

    def tell_the_run(self) -> None:
        """The process of the run itself, as an eviction does."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        run = [each for each in found if each.environ().get("PREFECT__FLOW_RUN_ID") == self.flow_run]
        os.kill(run[-1].pid, signal.SIGTERM)


@contextmanager
def serving(environment: dict[str, str], api: str, platform: Platform) -> Iterator[Served]:
    """Runs `retirement serve` and starts a queue run through the API; ends when a dozen moves were made."""
    command = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
    variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, text=True) as process:
        name = f"{api}/deployments/name/retire-queue/queue-here"
        until(process, lambda: patient.get(name).status_code == 200)
        body = {"state": {"type": "SCHEDULED"}}
        deployment = patient.get(name).json()["id"]
        made = patient.post(f"{api}/deployments/{deployment}/create_flow_run", json=body).raise_for_status().json()
        until(process, lambda: moved(platform) > 12)
        try:
            yield Served(process, api, made["id"])
        finally:
            process.terminate()


@pytest.mark.parametrize(
    "told",
    [
        Served.cancel,
        Served.suspend,
        Served.tell_the_server,
        pytest.param(Served.tell_the_run, marks=pytest.mark.nightly),
    ],
)
def test_a_served_run_that_is_told_to_stop_gives_everybody_back(
    tmp_path: Path, environment: dict[str, str], engine: str, retirement: Command, told: Callable[[Served], None]
) -> None:
    """By a button of the UI, with its server or by an eviction: nobody is stranded, and the next run retires all."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        with serving(environment, engine, platform) as served:
            told(served)
            until(served.process, served.ended)
            if told is Served.tell_the_server:
                assert served.process.wait(PATIENCE) == 0

            assert all(state == "PENDING" or state.endswith(WAITING) for state in platform.states().values())
            assert "COMPLETE" not in platform.states().values()
        # Also once the runner, which calls a run Cancelled that it has told to end, has said all that it says.
        assert served.state() == ("CANCELLED", "Stopped")
        assert retirement("retire-queue", "--config", platform.config).code == 0
        assert set(platform.states().values()) == {"COMPLETE"}
        assert platform.residue() == []


@pytest.mark.parametrize("told", [Served.cancel, Served.delete])
def test_a_run_that_no_runner_tells_looks_for_itself(
    tmp_path: Path, environment: dict[str, str], engine: str, runs: Runs, told: Callable[[Served], None]
) -> None:
    """After half a minute without the server Prefect's runner has given up; of a deleted run it never tells."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.hold_up("/unenroll/")
        given = json.dumps({"config": str(platform.config)})
        command = [sys.executable, "-c", RUN_A_FLOW, "retirement.flows.retire_queue", "retire_queue", given]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as process:
            until(process, lambda: moved(platform) > 2)
            told(Served(process, engine, runs.every()[0]["id"]))
            said, errors = process.communicate(timeout=PATIENCE)

        if told is Served.cancel:
            assert json.loads(said.splitlines()[-1])[0] == "Stopped"
        else:
            assert "was deleted in Prefect: it stops as if it were cancelled" in errors
        assert all(state == "PENDING" or state.endswith(WAITING) for state in platform.states().values())
        assert "COMPLETE" not in platform.states().values()
