"""Real processes: the console commands, a sandbox on sockets, and one engine for the whole session."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from retirement.ledger import LedgerLocation
from tests import locks, patient
from tests.flows.runs import Runs, queue_runs
from tests.forks import COMMANDS, FLOWS, ForkServer, Run
from tests.patient import PATIENCE, until

HOLD_AN_ENGINE = """
import asyncio, signal, sys
from retirement.flows.kit.server import running

async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    async with running() as engine:
        print(engine.api_url, flush=True)
        await done.wait()

asyncio.run(main())
"""

#: A shell starts commands in the background with Ctrl-C ignored, and so would be what these tests start.
WITH_SIGNALS = """
import os, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "retirement", *sys.argv[1:]])
"""

#: Runs a flow in a process of its own, as a worker does, and prints its state; `config` is of the worker, not the run.
RUN_A_FLOW = """
import asyncio, importlib, json, os, sys
from retirement.flows.kit.server import running

async def main(module, name, parameters):
    async with running():
        flow, given = getattr(importlib.import_module(module), name), json.loads(parameters)
        os.environ["RETIREMENT_CONFIG"] = given.pop("config", "")
        state = await flow(**given, return_state=True)
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
    def ledger(self) -> LedgerLocation:
        """Where the commands that are given this configuration keep their evidence."""
        return LedgerLocation(yaml.safe_load(self.config.read_text(encoding="utf-8"))["ledger"]["url"])

    def look(self, what: str) -> Any:
        """What a control endpoint of the sandbox answers."""
        return patient.get(f"{self.urls['control']}/_sandbox/{what}").raise_for_status().json()


@contextmanager
def sandbox(folder: Path, *arguments: str, seed: dict[str, Any] | None = None) -> Iterator[Platform]:
    """Runs `retirement sandbox` until the block ends."""
    config = folder / "retirement.yaml"
    command: list[str | Path] = ["-m", "retirement", "sandbox", "--json", "--write-config", config, *arguments]
    if seed is not None:
        (folder / "seed.json").write_text(json.dumps(seed), encoding="utf-8")
        command += ["--seed-file", folder / "seed.json"]
    run = forks().start(*command)
    try:
        where = json.loads(until(lambda: _first_line(run)))
        platform = Platform({**where["services"], "control": where["control"]}, where["clients"], config)
        # One of its own: every sandbox gives its learners the same ids.
        platform.configure(ledger={"url": f"sqlite:///{folder / 'ledger.sqlite'}"})
        yield platform
    finally:
        with suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGTERM)
        forks().wait(run)


def _first_line(run: Run) -> str | None:
    """The first line of what a process says, None as long as it is not complete."""
    assert psutil.pid_exists(run.pid), f"the sandbox has ended: {run.said()[1]}"
    line, end, _ = run.said()[0].partition("\n")
    return line if end else None


@cache
def forks() -> ForkServer:
    """What sandboxes and commands are forked from, without Prefect; one for this process of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="retirement-forks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = ForkServer(without_ours(os.environ), folder, [*COMMANDS, "retirement.sandbox", "uvicorn"])
    atexit.register(server.close)
    return server


def without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without anything of the developer's own Prefect, and without our own variables."""
    return {key: value for key, value in environment.items() if not key.startswith(("PREFECT_", "RETIREMENT_"))}


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
    return {**without_ours(os.environ), "RETIREMENT_HOME": str(home)}


@pytest.fixture
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose engine may be killed; the account of PostgreSQL has to reach it."""
    home = tmp_path_factory.mktemp("home")
    for each in (home, *home.parents[:3]):
        each.chmod(0o755)
    yield home
    for process in psutil.process_iter(["cmdline"]):
        if str(home) in " ".join(process.info["cmdline"] or ()):
            process.kill()


def the_server(home: Path) -> int:
    """The process of Prefect's server in a home."""
    return int(json.loads((home / "engine" / "engine.json").read_text())["pid"])


@pytest.fixture(scope="session")
def engine(environment: dict[str, str]) -> Iterator[str]:
    """The API's URL of an engine that stays up, so that not every command has to start one."""
    command = [sys.executable, "-c", HOLD_AN_ENGINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield locks.learn(process.stdout.readline().strip(), environment["RETIREMENT_HOME"])
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

    server: ForkServer
    run: Run

    def kill(self) -> None:
        """Ends it without a chance to say anything, and waits until it is gone."""
        self.run.signal(signal.SIGKILL)
        self.server.wait(self.run)

    def ended(self) -> Answer:
        """Waits for its end."""
        code = self.server.wait(self.run)
        return Answer(code, *self.run.said())


Start = Callable[..., Started]


@dataclass(frozen=True)
class Apart:
    """A command that is under way in an interpreter of its own."""

    process: "subprocess.Popen[str]"

    def ended(self) -> Answer:
        """Waits for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return Answer(self.process.returncode, out, err)


StartApart = Callable[..., Apart]


@pytest.fixture(scope="session")
def forks_with_prefect(engine: str, environment: dict[str, str], home: Path) -> Iterator[ForkServer]:
    """What commands and flows are forked from that find the session's server; Prefect is imported already."""
    with forked(engine, environment, home, PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL") as server:
        yield server


@contextmanager
def forked(
    engine: str, environment: dict[str, str], home: Path, modules: Iterable[str] = FLOWS, **settings: str
) -> Iterator[ForkServer]:
    """What is forked with Prefect and these modules; what the settings say of Prefect's logs holds in all runs."""
    # What `retirement.flows.kit.server` sets in a command, and Prefect reads when it is imported.
    settings |= {
        **locks.variables(engine),
        "PREFECT_HOME": str(home / "engine" / "prefect"),
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    with (
        tempfile.TemporaryDirectory(prefix="retirement-forks-") as folder,
        ForkServer(environment | settings, Path(folder), [*COMMANDS, *modules]) as server,
    ):
        yield server


@pytest.fixture
def server_of_forks(request: pytest.FixtureRequest) -> ForkServer:
    """The fork server of a test: with Prefect where the test has the session's engine."""
    if "engine" not in request.fixturenames:
        return forks()
    server: ForkServer = request.getfixturevalue("forks_with_prefect")
    return server


@pytest.fixture
def retirement(environment: dict[str, str], server_of_forks: ForkServer) -> Command:
    """Runs a console command to its end; `typed` is what it finds in its standard input.

    With variables of its own it is a new interpreter, since Prefect reads them when it is imported.
    """

    def call(*arguments: str | Path, typed: str = "", **variables: str) -> Answer:
        command = ["-m", "retirement", *map(str, arguments)]
        if not variables:
            run = server_of_forks.start(*command, typed=typed, environment=environment)
            code = server_of_forks.wait(run)
            return Answer(code, *run.said())
        done = subprocess.run(
            [sys.executable, *command],
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
def start(environment: dict[str, str], server_of_forks: ForkServer) -> Iterator[Start]:
    """Starts a console command and goes on; what is still there at the end is killed."""
    with ExitStack() as stack:

        def begin(*arguments: str | Path) -> Started:
            command = ["-m", "retirement", *map(str, arguments)]
            run = server_of_forks.start(*command, environment=environment)
            stack.callback(run.signal, signal.SIGKILL)
            return Started(server_of_forks, run)

        yield begin


@pytest.fixture
def start_apart(environment: dict[str, str]) -> Iterator[StartApart]:
    """Like `start`, for what looks at the process itself or has an environment of its own."""
    with ExitStack() as stack:

        def begin(*arguments: str | Path, **variables: str) -> Apart:
            command = [sys.executable, "-m", "retirement", *map(str, arguments)]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, env={**environment, **variables}, **pipes))
            stack.callback(process.kill)
            return Apart(process)

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
        tables = [each["data"] for each in self.artifacts if each["type"] == "table"]
        return [row for table in tables for row in json.loads(table)]

    def __str__(self) -> str:
        return f"{self.message}{self.said}{self.artifacts}"


Flow = Callable[..., Ended]


@pytest.fixture
def flow(engine: str, environment: dict[str, str], forks_with_prefect: ForkServer) -> Flow:
    """Runs the flow of that name, which its module has too."""

    def play(name: str, **parameters: Any) -> Ended:
        given = json.dumps(parameters, default=str)
        run = forks_with_prefect.start(
            "-c", RUN_A_FLOW, f"retirement.flows.{name}", name, given, environment=environment
        )
        code = forks_with_prefect.wait(run)
        out, err = run.said()
        assert code == 0, err
        state, message, run_id = json.loads(out.splitlines()[-1])
        body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        artifacts = patient.post(f"{engine}/artifacts/filter", json=body).raise_for_status().json()
        return Ended(state, message, f"{out}{err}", artifacts)

    return play


@pytest.fixture
def runs(engine: str) -> Runs:
    """What this test begins on the session's server."""
    return Runs(engine, frozenset(each["id"] for each in queue_runs(engine)))
