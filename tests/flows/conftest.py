"""Real processes: the console commands, a sandbox on sockets, and one engine for the whole session."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from retirement.ledger import LedgerPlace
from tests import patient
from tests.patient import PATIENCE

HOLD_AN_ENGINE = """
import asyncio, signal, sys
from flows.server import running

async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    async with running() as engine:
        print(engine.api_url, flush=True)
        await done.wait()

asyncio.run(main())
"""

#: Runs a flow in a process of its own, as a worker does, and prints its state.
RUN_A_FLOW = """
import asyncio, importlib, json, sys
from flows.server import running

async def main(module, name, parameters):
    async with running():
        flow = getattr(importlib.import_module(module), name)
        state = await flow(**json.loads(parameters), return_state=True)
        print(json.dumps([state.name, state.message, str(state.state_details.flow_run_id)]))

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Platform:
    """A running sandbox and the configuration that points at it."""

    urls: dict[str, str]
    clients: dict[str, dict[str, str]]
    config: Path

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.look("state")["learners"]
        return found

    def states(self) -> dict[str, str]:
        """The LMS state of everybody who has a retirement."""
        learners = self.state().items()
        return {name: each["retirement"]["current_state"] for name, each in learners if each["retirement"]}

    def residue(self) -> Any:
        return self.look("residue")

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.look("requests")["requests"]
        return found

    def arm(self, *faults: dict[str, Any]) -> None:
        patient.post(f"{self.urls['control']}/_sandbox/faults", json=list(faults)).raise_for_status()

    def user_id(self, name: str) -> int:
        return int(self.state()[name]["user_id"])

    def of_learners(self) -> list[dict[str, Any]]:
        """The requests that were about somebody, which the listings of a queue and the probes are not."""
        return [each for each in self.requests() if each["user_id"] is not None]

    def moves(self) -> int:
        """How many times a row was moved."""
        return sum(each["method"] == "PATCH" for each in self.requests())

    def configure(self, **sections: Any) -> None:
        """Changes the configuration file: a mapping is merged into its section, anything else replaces it."""
        document = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        for name, value in sections.items():
            document[name] = {**document.get(name, {}), **value} if isinstance(value, dict) else value
        self.config.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def hold_up(self, path: str) -> None:
        """Whoever calls this path tries again every few seconds, until `arm` is called without faults."""
        self.configure(retry={"attempts": 1, "task_retries": 20, "task_delay_seconds": 3}, breaker={"learners": 1_000})
        self.arm({"path": path, "method": "POST", "status": 503, "times": 100_000})

    @property
    def ledger(self) -> LedgerPlace:
        """Where the commands that are given this configuration keep their evidence."""
        return LedgerPlace(yaml.safe_load(self.config.read_text(encoding="utf-8"))["ledger"]["url"])

    def look(self, what: str) -> Any:
        """What a control endpoint of the sandbox answers."""
        return patient.get(f"{self.urls['control']}/_sandbox/{what}").raise_for_status().json()


@contextmanager
def sandbox(folder: Path, *arguments: str, seed: dict[str, Any] | None = None) -> Iterator[Platform]:
    """Runs `retirement sandbox` until the block ends."""
    config = folder / "retirement.yaml"
    command = [sys.executable, "-m", "retirement", "sandbox", "--json", "--write-config", str(config), *arguments]
    if seed is not None:
        (folder / "seed.json").write_text(json.dumps(seed), encoding="utf-8")
        command += ["--seed-file", str(folder / "seed.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        platform = Platform({**where["services"], "control": where["control"]}, where["clients"], config)
        # One of its own: every sandbox gives its learners the same ids.
        platform.configure(ledger={"url": f"sqlite:///{folder / 'ledger.sqlite'}"})
        try:
            yield platform
        finally:
            process.terminate()


def until(reached: Callable[[], Any]) -> Any:
    """Asks again and again until the answer is yes, and gives it back; whoever is asked takes their time."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := reached()):
        assert time.monotonic() < deadline, "what was waited for has not come"
    return answer


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    # The account of PostgreSQL has to reach the folder, and another session of pytest closes pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="retirement-flows-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def environment(home: Path) -> dict[str, str]:
    """What the commands see: a home of this session's, and nothing of the developer's own Prefect."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "RETIREMENT_"))}
    return {**kept, "RETIREMENT_HOME": str(home)}


@pytest.fixture(scope="session")
def engine(environment: dict[str, str]) -> Iterator[str]:
    """The API's URL of an engine that stays up, so that not every command has to start one."""
    command = [sys.executable, "-c", HOLD_AN_ENGINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Answer]


@dataclass(frozen=True)
class Started:
    """A command that is under way."""

    process: "subprocess.Popen[str]"

    def ended(self) -> Answer:
        """Waits for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return Answer(self.process.returncode, out, err)


Start = Callable[..., Started]


@pytest.fixture
def retirement(environment: dict[str, str]) -> Command:
    """Runs a console command to its end; `typed` is what it finds in its standard input."""

    def call(*arguments: str | Path, typed: str = "", **variables: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "retirement", *map(str, arguments)],
            env={**environment, **variables},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts a console command and goes on; what is still there at the end is killed."""
    with ExitStack() as stack:

        def begin(*arguments: str | Path) -> Started:
            command = [sys.executable, "-m", "retirement", *map(str, arguments)]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, env=environment, **pipes))
            stack.callback(process.kill)
            return Started(process)

        yield begin


@dataclass(frozen=True)
class Ended:
    """How a flow ended, and what it left."""

    state: str
    message: str
    said: str
    artifacts: list[dict[str, Any]]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Those of its tables."""
        return [row for each in self.artifacts for row in json.loads(each["data"])]

    def __str__(self) -> str:
        return f"{self.message}{self.said}{self.artifacts}"


Flow = Callable[..., Ended]


@pytest.fixture
def flow(engine: str, environment: dict[str, str]) -> Flow:
    """Runs the flow of that name, which its module has too."""

    def run(name: str, **parameters: Any) -> Ended:
        command = [sys.executable, "-c", RUN_A_FLOW, f"flows.{name}", name, json.dumps(parameters, default=str)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        state, message, run_id = json.loads(done.stdout.splitlines()[-1])
        body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        artifacts = patient.post(f"{engine}/artifacts/filter", json=body).raise_for_status().json()
        return Ended(state, message, f"{done.stdout}{done.stderr}", artifacts)

    return run


@dataclass(frozen=True)
class Runs:
    """The queue runs of one test, as the session's server knows them."""

    api: str
    earlier: frozenset[str]

    def every(self) -> list[dict[str, Any]]:
        """Those that this test has begun, the newest first."""
        return [each for each in queue_runs(self.api) if each["id"] not in self.earlier]

    def asking(self) -> str:
        """Waits for the run that asks for an approval, and gives its id."""
        found = until(lambda: [each["id"] for each in self.every() if each["state"]["type"] == "PAUSED"])
        return str(found[0])

    def state(self, run: str) -> str:
        """The name of a run's state."""
        return str(patient.get(f"{self.api}/flow_runs/{run}").raise_for_status().json()["state"]["name"])


def learners_runs(api: str, queue: str) -> list[dict[str, Any]]:
    """The runs of learners below one queue run; the server has those of other tests as well, killed ones too."""
    body = {"flow_runs": {"tags": {"all_": [f"queue:{queue}"]}}}
    found: list[dict[str, Any]] = patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json()
    return found


def queue_runs(api: str) -> list[dict[str, Any]]:
    body = {"flows": {"name": {"any_": ["retire-queue"]}}, "sort": "START_TIME_DESC"}
    found: list[dict[str, Any]] = patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json()
    return found


@pytest.fixture
def runs(engine: str) -> Runs:
    """What this test begins on the session's server."""
    return Runs(engine, frozenset(each["id"] for each in queue_runs(engine)))
