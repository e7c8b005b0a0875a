"""One stage with everything around it: fork server, ledgers, files, and the runs that play on it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

from tests import locks
from tests.chaos.doors import Blow
from tests.chaos.evidence import Evidence, Ledgers
from tests.chaos.stage import CANARIES, Stage, steps
from tests.flows.conftest import HOLD_AN_ENGINE
from tests.forks import COMMANDS, FLOWS, ForkServer, Run

#: Ours alone: waits that are bounded by hand elsewhere would only make rounds slow.
SECTIONS: dict[str, Any] = {
    "retry": {"attempts": 3, "seconds": 10, "task_retries": 0},
    "queue": {"at_once": 4},
    "lease_seconds": 60,
}

#: In what the first learners of a seed differ from the others.
Changes = Sequence[Mapping[str, Any]]

#: What platformdirs warns of in containers, when the embedded PostgreSQL asks it for a folder.
NO_RUNTIME_FOLDER = "XDG_RUNTIME_DIR is not set"

#: Where runs write what they say.
RUNS = "runs"


@dataclass(frozen=True)
class Ended:
    """A run that is over: how, and what it said."""

    code: int
    killed: bool
    requests: tuple[str, ...]
    out: str
    err: str

    @property
    def words(self) -> list[dict[str, Any]]:
        """What a worker said, line by line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> Any:
        """What a command with `--json` said."""
        return json.loads(self.out)


class Theatre:
    """A platform, a ledger and configuration files that bring the two together, one for each door."""

    def __init__(self, stage: Stage, forks: ForkServer, ledgers: Ledgers, folder: Path) -> None:
        self.stage = stage
        self.folder = folder
        self._forks = forks
        self._ledgers = ledgers
        self.shape = "line"
        self.evidence: Evidence
        self.configs: list[Path] = []

    def open(self, shape: str, database: str, learners: int = 1, changes: Changes = (), **sections: Any) -> None:
        """Everything anew: the platform seeded, an empty ledger, a watch before the doors."""
        self.shape = shape
        self._clear()
        self.stage.seed(shape, learners, changes)
        self.evidence = self._ledgers.fresh(database)
        settings = {**SECTIONS, "ledger": self.evidence.settings, **sections}
        self.configs = [
            self.stage.config(self.folder / f"retirement-{door.number}.yaml", shape, door.number, **settings)
            for door in self.stage.doors
        ]
        self.watch = self.stage.watched(self.evidence.proved)

    def separate(self, door: int) -> None:
        """Gives one door a ledger of its own, which no operator would do."""
        url = self.evidence.settings["url"].replace(".sqlite", "-apart.sqlite")
        settings = {**SECTIONS, "ledger": {"url": url, "key": self.evidence.settings["key"]}}
        self.configs[door] = self.stage.config(self.configs[door], self.shape, door, **settings)

    def start(self, program: str, *arguments: str, door: int = 0, blow: Blow | None = None) -> Run:
        """Starts a worker or a command behind a door; it dies as `blow` says."""
        self.stage.doors[door].expect(blow)
        if program == "worker":
            run = self._forks.start("-m", "tests.chaos.worker", self.configs[door], *arguments)
        else:
            run = self._forks.start("-m", "retirement", *arguments, "--config", self.configs[door])
        self.stage.doors[door].comes(run.pid)
        return run

    def end(self, run: Run, door: int = 0) -> Ended:
        """Waits until a run is over."""
        code = self._forks.wait(run)
        here = self.stage.doors[door].visit
        return Ended(code, code == -signal.SIGKILL, tuple(here.requests), *run.said())

    def first(self, runs: Iterable[Run]) -> Run:
        """Waits until one of these runs is over, and says which."""
        return self._forks.first(runs)

    def play(self, program: str, *arguments: str, door: int = 0, blow: Blow | None = None) -> Ended:
        """Starts a run and waits until it is over."""
        return self.end(self.start(program, *arguments, door=door, blow=blow), door)

    def told(self) -> list[str]:
        """Canaries and tracebacks in what this performance has written: files, output, the ledger's rows."""
        written = {path.name: path.read_bytes() for path in self.folder.rglob("*") if _is_ours(path, self.folder)}
        found = [f"{name} holds a traceback" for name, content in written.items() if b"Traceback" in content]
        written["the ledger"] = self.evidence.content()
        return found + [f"{name} names a learner" for name, content in written.items() if names_somebody(content)]

    def _clear(self) -> None:
        for path in (self.folder / RUNS).iterdir():
            path.unlink()


def left_behind(folder: Path) -> list[str]:
    """Every file below a folder that names a learner, the databases' own files included; for when all is over."""
    return [
        f"{path.relative_to(folder)} names a learner"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and names_somebody(path.read_bytes())
    ]


def names_somebody(content: bytes) -> bool:
    """Whether a canary is in there, in any case."""
    lower = content.lower()
    return any(word.encode() in lower for word in CANARIES)


def _is_ours(path: Path, folder: Path) -> bool:
    # The data folder of PostgreSQL is looked through once, at the end.
    return path.is_file() and "postgres" not in path.relative_to(folder).parts


@contextmanager
def theatre(folder: Path, environment: dict[str, str], databases: Sequence[str], doors: int = 2) -> Iterator[Theatre]:
    """Builds a theatre below `folder`; `environment` has PREFECT_API_URL where commands are to be played."""
    with ExitStack() as stack:
        words = folder / RUNS
        words.mkdir(parents=True)
        ledgers = stack.enter_context(Ledgers(folder / "ledgers", databases, secrets.token_hex(32)))
        modules = [*COMMANDS, "tests.chaos.worker", *(FLOWS if "PREFECT_API_URL" in environment else ())]
        forks = stack.enter_context(ForkServer(environment, words, modules))
        stage = stack.enter_context(Stage(doors))
        yield Theatre(stage, forks, ledgers, folder)


@contextmanager
def engine(home: Path) -> Iterator[dict[str, str]]:
    """A Prefect server that all commands share, and the environment in which a fork server finds it."""
    environment = bare_environment(home)
    command = [sys.executable, "-W", f"ignore:{NO_RUNTIME_FOLDER}", "-c", HOLD_AN_ENGINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        if process.stdout is None:
            raise RuntimeError("the engine has no voice")
        # What `retirement.flows.kit.server` sets in a command, and Prefect reads when it is imported.
        settings = {
            **locks.variables(locks.learn(process.stdout.readline().strip(), home)),
            "PREFECT_HOME": str(home / "engine" / "prefect"),
            "PREFECT_LOGGING_LEVEL": "CRITICAL",
        }
        yield environment | settings
        process.terminate()


def bare_environment(home: Path) -> dict[str, str]:
    """What runs see: a home of their own, and nothing of the developer's own Prefect."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "RETIREMENT_"))}
    home.mkdir(parents=True, exist_ok=True)
    # Reading all the authorities of the world, for addresses without TLS, would be half of a run's time.
    first, mark, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----")
    authority = home / "authority.pem"
    authority.write_text(f"{first}{mark}\n", encoding="utf-8")
    return {**kept, "RETIREMENT_HOME": str(home), "SSL_CERT_FILE": str(authority)}


def step_names(shape: str) -> list[str]:
    """The steps of a shape, in written order."""
    return [step["start"] for step in steps(shape)]
