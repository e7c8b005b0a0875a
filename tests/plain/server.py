"""A plain Prefect server with a work pool and a process worker, set up with the words of `prefect.yaml`.

Nothing here is our engine: the server has Prefect's own defaults, and the worker knows the site by its environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from retirement.flows.kit import postgres
from retirement.flows.kit.environment import PRIVACY_SETTINGS
from tests import patient
from tests.flows.conftest import without_ours
from tests.night.service import Timeline
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
POOL = "retirement"
#: Seconds until a process that was told to stop is killed.
STOP_SECONDS = 60
#: Of each process, when something is wrong.
LOG_LINES = 60
DATABASES = ("sqlite", "postgresql")


@dataclass
class Plain:
    """A server of one's own, and the commands that an operator types for it."""

    home: Path
    api: str
    timeline: Timeline
    environment: dict[str, str]  #: of everybody who uses the server

    @property
    def checkout(self) -> Path:
        """The copy of the repository that is deployed."""
        return self.home / "checkout"

    def log(self, name: str) -> Path:
        """What a process says."""
        return self.home / f"{name}.log"

    def tell_logs(self) -> None:
        """The last words of server and worker."""
        for name in ("server", "worker"):
            for line in self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]:
                self.timeline.say(f"{name}: {line}")

    def prefect(self, *words: str) -> None:
        """What an operator types in the checkout."""
        self.timeline.say(f"$ prefect {' '.join(words)}")
        command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
        # `prefect.yaml` asks the shell where it is.
        variables = {**self.environment, "PWD": str(self.checkout)}
        done = subprocess.run(command, env=variables, cwd=self.checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    @contextmanager
    def keeps(self, name: str, *words: str, **variables: str) -> Iterator[None]:
        """A command of Prefect that stays up for the block."""
        self.timeline.say(f"$ prefect {' '.join(words)}")
        command = [sys.executable, "-m", "prefect", *words]
        with (
            self.log(name).open("wb") as log,
            subprocess.Popen(
                command, env={**self.environment, **variables}, cwd=self.home, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                yield
            finally:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()

    def is_up(self) -> bool:
        """Whether the server answers."""
        try:
            return httpx.get(f"{self.api}/ready", timeout=patient.PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    def deployment(self, name: str) -> dict[str, Any]:
        """What the server has of a deployment, by its full name."""
        found: dict[str, Any] = patient.get(f"{self.api}/deployments/name/{name}").raise_for_status().json()
        return found

    def schedule(self, name: str, cron: str, parameters: Mapping[str, Any]) -> None:
        """Adds a schedule; Prefect's command line has no words for parameters, the UI and the API do."""
        if not parameters:
            self.prefect("deployment", "schedule", "create", name, "--cron", cron, "--timezone", "UTC", "--accept-yes")
            return
        schedule = {"schedule": {"cron": cron, "timezone": "UTC"}, "active": True, "parameters": dict(parameters)}
        url = f"{self.api}/deployments/{self.deployment(name)['id']}/schedules"
        patient.post(url, json=[schedule]).raise_for_status()
        self.timeline.say(f"schedule of {name} by the API: {cron} with {', '.join(parameters)}")


@contextmanager
def plain_server(home: Path, config: Path, database: str, timeline: Timeline) -> Iterator[Plain]:
    """A server on a database of its own, with everything deployed and a worker; gone afterwards."""
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    ours = {"PREFECT_HOME": str(home / "prefect"), "PREFECT_API_URL": api, "NO_COLOR": "1", **PRIVACY_SETTINGS}
    plain = Plain(home, api, timeline, {**without_ours(os.environ), **ours})
    with ExitStack() as stack:
        address = {}
        if database == "postgresql":
            stack.callback(postgres.stop, home)
            url = postgres.start(home)
            assert url, "there is no PostgreSQL for this account and machine"
            address = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}
        words = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
        stack.enter_context(plain.keeps("server", *words, **address))
        patient.until(plain.is_up)
        copy_of_the_repository(plain.checkout)
        template = ("--base-job-template", "deployments/work-pool.json")
        plain.prefect("work-pool", "create", POOL, "--type", "process", *template)
        plain.prefect("deploy", "--all")
        site = {"RETIREMENT_CONFIG": str(config), "RETIREMENT_HOME": str(home)}
        stack.enter_context(plain.keeps("worker", "worker", "start", "--pool", POOL, **site))
        yield plain


def copy_of_the_repository(folder: Path) -> None:
    """What a checkout of this working tree would have."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
