"""Told to stop in the middle: what has begun is ended, everybody is given back, the next run finishes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.conftest import Command, Platform, sandbox

WAITING = "_COMPLETE"


def until(process: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    """Asks the sandbox again and again; it is what takes its time."""
    while process.poll() is None and not reached():
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_leaves_nobody_in_a_working_state(
    tmp_path: Path, environment: dict[str, str], engine: str, retirement: Command, number: int
) -> None:
    """Exit code 1, every learner waits in a state that the queue lists, and the next run retires all."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        command = [sys.executable, "-m", "retirement", "retire-queue", "--config", str(platform.config)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            until(run, lambda: moved(platform) > 12)
            os.kill(run.pid, number)
            _, errors = run.communicate(timeout=120)

        assert (run.returncode, errors) == (1, "the run was told to stop\n")
        assert all(state == "PENDING" or state.endswith(WAITING) for state in platform.states().values())
        assert "COMPLETE" not in platform.states().values()
        assert retirement("retire-queue", "--config", platform.config).code == 0
        assert set(platform.states().values()) == {"COMPLETE"}
        assert platform.residue() == []


def moved(platform: Platform) -> int:
    return sum(each["method"] == "PATCH" for each in platform.requests())
