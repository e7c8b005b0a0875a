"""Real processes: the console commands, a sandbox on sockets, and one engine for the whole session."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@dataclass(frozen=True)
class Platform:
    """A running sandbox and the configuration that points at it."""

    urls: dict[str, str]
    clients: dict[str, dict[str, str]]
    config: Path

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self._get("state")["learners"]
        return found

    def states(self) -> dict[str, str]:
        """The LMS state of everybody who has a retirement."""
        learners = self.state().items()
        return {name: each["retirement"]["current_state"] for name, each in learners if each["retirement"]}

    def residue(self) -> Any:
        return self._get("residue")

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("requests")["requests"]
        return found

    def arm(self, *faults: dict[str, Any]) -> None:
        httpx.post(f"{self.urls['control']}/_sandbox/faults", json=list(faults)).raise_for_status()

    def user_id(self, name: str) -> int:
        return int(self.state()[name]["user_id"])

    def _get(self, what: str) -> Any:
        return httpx.get(f"{self.urls['control']}/_sandbox/{what}", timeout=60).raise_for_status().json()


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
        try:
            yield Platform({**where["services"], "control": where["control"]}, where["clients"], config)
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


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


@pytest.fixture
def retirement(environment: dict[str, str]) -> Command:
    """Runs a console command to its end."""

    def call(*arguments: str | Path, **variables: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "retirement", *map(str, arguments)],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return call
