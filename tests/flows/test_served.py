"""A live `serve`, attacked by who may start runs: no run brings a path, a variable or another configuration."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copy, rmtree
from typing import Any

import httpx
import pytest
import yaml

from retirement.flows.deployments import HERE, OFFERS
from tests import patient
from tests.flows.conftest import Command, Platform, sandbox
from tests.flows.test_watchdog import serving
from tests.patient import until
from tests.ports import free_port

pytestmark = pytest.mark.dear(seconds=60)

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Target:
    """A site below `serve`, and what the attacker has prepared: a configuration, and a listener that it names."""

    api: str
    platform: Platform
    foreign: Path
    listener: socket.socket
    reports: Path

    def deployment(self, name: str) -> str:
        offer = next(each for each in OFFERS if each.name == name)
        found = patient.get(f"{self.api}/deployments/name/{offer.flow.name}/{name}{HERE}").raise_for_status()
        return str(found.json()["id"])

    def create(self, name: str, **body: Any) -> httpx.Response:
        """What the API answers to a new run."""
        body = {"state": {"type": "SCHEDULED"}, **body}
        return patient.post(f"{self.api}/deployments/{self.deployment(name)}/create_flow_run", json=body)

    def ended(self, name: str, **body: Any) -> tuple[str, str, str]:
        """Name and message of the final state of a new run, and its log."""
        run = self.create(name, **body).raise_for_status().json()["id"]

        def final() -> Any:
            state = patient.get(f"{self.api}/flow_runs/{run}").raise_for_status().json()["state"]
            return state if state["type"] in FINAL else None

        def log() -> str:
            """What the run said, once its last line is there: a busy server takes them up after the run has ended."""
            wanted = {"logs": {"flow_run_id": {"any_": [run]}}}
            found = patient.post(f"{self.api}/logs/filter", json=wanted).raise_for_status().json()
            said = [each["message"] for each in found]
            return "\n".join(said) if any(each.startswith("Finished in state") for each in said) else ""

        state = until(final)
        return state["name"], state["message"], until(log)

    def heard(self) -> bool:
        """Whether a run has called the attacker's listener."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()
        except BlockingIOError:
            return False
        return True


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    # The account of PostgreSQL has to reach the folder.
    home = Path(tempfile.mkdtemp(prefix="retirement-served-"))
    home.chmod(0o755)
    try:
        with sandbox(home, "--learners", "1") as platform, socket.create_server(("127.0.0.1", 0)) as listener:
            foreign, reports = home / "foreign.yaml", home / "foreign"
            reports.mkdir(mode=0o700)
            copy(platform.config, foreign)
            document = yaml.safe_load(foreign.read_text(encoding="utf-8"))
            document["lms"]["url"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            foreign.write_text(yaml.safe_dump(document), encoding="utf-8")
            platform.configure(reconcile_schedule=None, verify_schedule=None)
            port = free_port()
            with serving(home, platform, port, PREFECT_RUNNER_POLL_FREQUENCY="1"):
                yield Target(f"http://127.0.0.1:{port}/api", platform, foreign, listener, reports)
    finally:
        rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("name", [offer.name for offer in OFFERS])
@pytest.mark.parametrize("parameter", ["config", "output", "secret_block", "configuration"])
def test_a_parameter_that_no_form_has_is_refused_by_the_server(target: Target, name: str, parameter: str) -> None:
    """Before there is a run; Prefect's own schema would take it."""
    needed = {"breaker": {"service": "LMS"}}.get(name, {})
    refused = target.create(name, parameters={parameter: str(target.foreign), **needed})

    assert refused.status_code == 409, refused.text
    assert parameter in refused.text


@pytest.mark.parametrize(("name", "parameter"), [("digest", "config"), ("partner-report", "output")])
def test_a_parameter_of_an_earlier_release_ends_in_one_line(target: Target, name: str, parameter: str) -> None:
    """As a retry has it, or a schedule, or a caller who has the server not look at parameters."""
    given = {"parameters": {parameter: str(target.foreign)}, "enforce_parameter_schema": False}
    state, message, log = target.ended(name, **given)

    assert (state, message.count("\n")) == ("ConfigError", 0)
    assert message.startswith(f"{parameter}: is no parameter any more; ")
    assert "Traceback" not in log
    assert (target.heard(), list(target.reports.iterdir())) == (False, [])


def test_one_of_an_earlier_release_that_was_left_empty_is_no_obstacle(target: Target) -> None:
    """Forms of those releases sent null."""
    assert target.ended("digest", parameters={"config": None}, enforce_parameter_schema=False)[0] == "Written"


def test_a_run_brings_no_variables(target: Target, tmp_path: Path) -> None:
    """Those of ours are refused; others, which could bring other code, have no effect below `serve`."""
    ours = target.ended("digest", job_variables={"env": {"RETIREMENT_CONFIG": str(target.foreign)}})
    code, trace = tmp_path / "code.py", tmp_path / "trace"
    code.write_text(f"open({str(trace)!r}, 'w').close()\n", encoding="utf-8")
    entrypoint = {"env": {"PREFECT__FLOW_ENTRYPOINT": f"{code}:digest"}, "command": f"python {code}"}
    theirs = target.ended("digest", job_variables=entrypoint)

    assert ours[:2] == (
        "ConfigError",
        "job_variables: a run sets no RETIREMENT_CONFIG; the process that serves it does",
    )
    assert (theirs[0], trace.exists(), target.heard()) == ("Written", False, False)


def test_a_run_says_which_configuration_it_has_and_that_it_was_changed(target: Target) -> None:
    """An operator may change it while `serve` is up: runs take it as it is, and schedules follow at a restart."""
    before = target.ended("digest")
    target.platform.configure(cool_off_days=8)
    after = target.ended("digest")

    assert "sha256 " in before[2]
    assert "has changed since serve was started" not in before[2]
    assert after[0] == "Written"
    assert "has changed since serve was started" in after[2]


def test_a_configuration_that_others_can_write_is_refused(target: Target, retirement: Command) -> None:
    """By a run, and by `serve` before there is a server."""
    config = target.platform.config
    mode = config.stat().st_mode
    config.chmod(0o666)
    try:
        state, message, _ = target.ended("digest")
        started = retirement("serve", "--config", config)
    finally:
        config.chmod(mode)

    assert (state, "can be written by every account" in message) == ("ConfigError", True)
    assert (started.code, len(started.err.splitlines())) == (2, 1)
    assert "can be written by every account" in started.err
