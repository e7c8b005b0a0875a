"""`serve` on real engines: a scheduler that is dead is said, and what an operator pauses or changes stays so."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

import httpx
import pytest

from retirement.flows.kit import lock
from tests import locks, patient
from tests.flows.conftest import Platform, sandbox, without_ours
from tests.patient import until
from tests.ports import free_port

pytestmark = pytest.mark.dear(seconds=170)


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A home that the account of PostgreSQL reaches."""
    home = Path(tempfile.mkdtemp(prefix="retirement-serve-"))
    home.chmod(0o755)
    yield home
    rmtree(home, ignore_errors=True)


class Served:
    """`retirement serve` and what it has said so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.lines = process, list[str]()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(ValueError):  # the pipe is closed under the reader when the process has ended
            for line in self.process.stdout or ():
                self.lines.append(line)

    def says(self, words: str) -> bool:
        assert self.process.poll() is None, self.lines
        return any(words in line for line in self.lines)


@contextmanager
def serving(home: Path, platform: Platform, port: int, **variables: str) -> Iterator[Served]:
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(home), **variables}
    command = [sys.executable, "-m", "retirement", "serve", "--port", str(port), "--config", str(platform.config)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            served = Served(process)
            until(lambda: served.says("ready: "))
            if "PREFECT_API_URL" not in variables:
                locks.learn(f"http://127.0.0.1:{port}/api", home)
            yield served
        finally:
            process.terminate()


def test_a_server_that_plans_no_runs_is_said(tmp_path: Path, own_home: Path) -> None:
    """Its scheduler is switched off here; nothing but the runs that never come would tell."""
    port = free_port()
    settings = {"PREFECT_HOME": str(own_home / "prefect"), "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    api = f"http://127.0.0.1:{port}/api"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**without_ours(os.environ), **settings}, **quiet) as server:
        try:
            until(lambda: answers(api))
            with sandbox(tmp_path, "--learners", "1") as platform:
                platform.configure(schedule="0 4 * * *")
                with serving(own_home, platform, port, PREFECT_API_URL=api) as served:
                    until(lambda: served.says("SCHEDULES DO NOT RUN: retire-queue/queue-here: no next run is planned"))
                    assert not (own_home / "healthy").exists()
        finally:
            server.terminate()


def answers(api: str) -> bool:
    try:
        return patient.get(f"{api}/health").status_code == 200
    except OSError:
        return False
    except httpx.HTTPError:
        return False


def test_what_was_paused_or_changed_by_hand_stays_so_after_a_restart(tmp_path: Path, own_home: Path) -> None:
    """A reboot in the night does not begin to erase again; what nobody touched follows the configuration."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    with sandbox(tmp_path, "--learners", "1") as platform:
        platform.configure(schedule="0 4 * * *", reconcile_schedule="7 * * * *", verify_schedule="37 * * * *")
        with serving(own_home, platform, port):
            change(api, "retire-queue/queue-here", active=False)
            change(api, "reconcile/reconcile-here", schedule={"cron": "9 * * * *", "timezone": "UTC"})
        platform.configure(verify_schedule="38 * * * *")
        with serving(own_home, platform, port) as served:
            now = {name: schedules(api, name) for name in NAMES}
            paused = [deployment(api, name)["paused"] for name in NAMES]
            assert served.says("queue: paused by hand in Prefect, and stays so")
            assert served.says(f"the UI's log-in asks for the line in {own_home / 'engine' / lock.FILE}")
            assert not served.says(lock.found(own_home / "engine"))
            command = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
            environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(own_home)}
            joined = (own_home / "engine" / "engine.json").stat().st_mtime_ns
            second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert (own_home / "engine" / "engine.json").stat().st_mtime_ns == joined
            assert (second.returncode, "another `retirement serve` is at work" in second.stderr) == (4, True)
            said, checked = asked(own_home, platform, "status"), asked(own_home, platform, "doctor")

    assert now == {
        "retire-queue/queue-here": [("0 4 * * *", False)],
        "reconcile/reconcile-here": [("9 * * * *", True)],
        "verify-erasure/verify-here": [("38 * * * *", True)],
    }
    assert paused == [False] * 3
    rows = {each["name"]: each for each in said["schedules"]}
    assert rows.keys() == set(NAMES)
    assert rows[NAMES[0]]["schedule"] == "0 4 * * * UTC (paused)"
    assert len([each for each in checked["checks"] if each["name"] == "schedule"]) == 3


def asked(home: Path, platform: Platform, command: str) -> Any:
    """What a command says beside `serve`."""
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(home)}
    given = [sys.executable, "-m", "retirement", command, "--json", "--config", str(platform.config)]
    return json.loads(subprocess.run(given, env=environment, capture_output=True, text=True, check=False).stdout)


NAMES = ("retire-queue/queue-here", "reconcile/reconcile-here", "verify-erasure/verify-here")


def deployment(api: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = patient.get(f"{api}/deployments/name/{name}").raise_for_status().json()
    return found


def schedules(api: str, name: str) -> list[tuple[str, bool]]:
    return [(each["schedule"]["cron"], each["active"]) for each in deployment(api, name)["schedules"]]


def change(api: str, name: str, **values: Any) -> None:
    """What the buttons of the page of a deployment do."""
    there = deployment(api, name)
    address = f"{api}/deployments/{there['id']}/schedules/{there['schedules'][0]['id']}"
    patient.patch(address, json=values).raise_for_status()
