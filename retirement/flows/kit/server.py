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
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import psutil
from fasteners import InterProcessLock

from retirement.errors import ConfigError
from retirement.flows.kit import held_port, lock, postgres, users
from retirement.flows.kit.environment import (
    PRIVACY_SETTINGS,
    SERVER_SETTINGS,
    changed,
    foreign,
    of_a_child,
    operators_server,
    without_proxy,
)
from retirement.flows.kit.health import is_up, require_server
from retirement.process import home, last_acts, waiting

#: Seconds until a server that does not answer is given up; the first start creates the database.
START_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class PrefectServer:
    """A running Prefect server."""

    api_url: str
    database: str  #: "postgresql", "sqlite", or "external" where the server is not ours
    pid: int = 0
    born: float = 0.0  #: when that process began: pids are used again
    keep_days: int | None = None  #: after which a server of ours deletes runs that have ended; None: never
    every_event: bool = False  #: whether a server of ours keeps steps and artifacts in its feed too

    @property
    def is_ours(self) -> bool:
        """Whether we have started it, and may start it again."""
        return self.database != "external"

    @property
    def ui_url(self) -> str:
        return self.api_url.removesuffix("/api")

    @property
    def port(self) -> int:
        """Of a server of ours."""
        return int(self.ui_url.rpartition(":")[2])


@asynccontextmanager
async def running(
    port: int | None = None,
    keep_days: int | None = None,
    keep_minutes: float | None = None,
    every_event: bool = False,
) -> AsyncIterator[PrefectServer]:
    """A Prefect server to work with: the operator's, one that is up already, or one for this while.

    Points this process' Prefect at it, so enter it before anything of Prefect is imported. Several processes
    may share one server of ours; the last one out stops it, or lets a process of its own keep it up for
    `keep_minutes` more; None leaves one that is kept up as it is. Where this one starts it, it deletes runs that ended
    more than `keep_days` ago, and its feed of events has steps and artifacts with `every_event` only.
    Raises `ConfigError` when none can be had.
    """
    if external := operators_server():
        engine = PrefectServer(external, "external")
        with changed(PRIVACY_SETTINGS | without_proxy()):
            await require_server(engine.api_url)
            yield engine
        return
    folder = _folder()
    async with _alone(folder):
        engine = await _up(folder, port) or await _start(folder, port, keep_days, every_event)
        _sign_in(folder, engine)
    abandon = partial(_abandon, folder, engine)
    last_acts.append(abandon)
    try:
        with _pointed_at(engine, folder):
            yield engine
    finally:
        try:
            await leave(folder, engine, keep_minutes)
        finally:
            last_acts.remove(abandon)
            held_port.let_go(engine.port)


async def leave(folder: Path, engine: PrefectServer | None = None, keep_minutes: float | None = None) -> None:
    """This process is no user of the server any more; the last one stops it, or lets it be kept up as `running` says.

    `engine` is the server, where it has left no record of itself.
    """
    async with _alone(folder):
        latest = _recorded(folder) or engine
        if keep_minutes and not users.others(folder):
            users.set_keeper(folder, _keeper(folder, keep_minutes))
        elif keep_minutes == 0 and not _others(folder):
            users.dismiss(folder)
        if not _sign_out(folder) and latest:
            with waiting("Prefect's server to stop"):
                await asyncio.to_thread(_stop, latest)
                await asyncio.to_thread(postgres.stop, folder)


@asynccontextmanager
async def at_hand() -> AsyncIterator[PrefectServer | None]:
    """The Prefect server that is up, as `running` gives it; None where none answers, and none is started."""
    async with AsyncExitStack() as stack:
        engine = None
        with suppress(ConfigError):  # it does not answer, or its credential is gone
            with in_use() as found:
                is_up = found is not None
            if is_up:
                engine = await stack.enter_async_context(running())
        yield engine


def _abandon(folder: Path, engine: PrefectServer) -> None:
    """Tells server and database to stop where no other process uses them, and waits for neither."""
    engine = _recorded(folder) or engine
    if _sign_out(folder):
        return
    with suppress(psutil.NoSuchProcess):
        if users.born(engine.pid) == engine.born:
            psutil.Process(engine.pid).terminate()
    postgres.tell_to_stop(folder)


def engine_folder() -> Path:
    """Where our server has its data, its credential and what says that it is up."""
    return home() / "engine"


def _folder() -> Path:
    """The folder of our server, made where there is none. Raises `ConfigError` where it cannot be written."""
    folder = engine_folder()
    try:
        for each in (home(), folder, home() / "logs"):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
            with TemporaryFile(dir=each):
                pass
    except OSError as error:
        raise ConfigError(
            f"RETIREMENT_HOME: {home()} cannot be written ({error.strerror}), and Prefect's server needs it;"
            " set the variable to a folder of this account, or PREFECT_API_URL to a server"
        ) from None
    return folder


@asynccontextmanager
async def _alone(folder: Path) -> AsyncIterator[None]:
    """Keeps other processes from starting or stopping the server meanwhile."""
    lock = InterProcessLock(folder / "lock")
    with waiting("another process that starts or stops Prefect's server"):
        await asyncio.to_thread(lock.acquire)
    try:
        yield
    finally:
        lock.release()


async def restart(engine: PrefectServer) -> None:
    """Stops our server and starts it again at its address. Raises `ConfigError` where it does not start."""
    folder = _folder()
    async with _alone(folder):
        await asyncio.to_thread(_stop, _recorded(folder) or engine)
        _sign_in(folder, await _start(folder, engine.port, engine.keep_days, engine.every_event))
        held_port.let_go(engine.port)  # which this process held before, as the user that it still is


@contextmanager
def in_use() -> Iterator[PrefectServer | None]:
    """The server that is up now, to be asked for the length of the block: the operator's, or ours; None without one.

    Raises `ConfigError` where ours is up and its credential is gone, or the operator's is reached in clear.
    """
    if external := operators_server():
        yield PrefectServer(external, "external")
        return
    folder = engine_folder()
    engine = _recorded(folder)
    if engine is None or users.born(engine.pid) != engine.born:
        yield None
        return
    with ExitStack() as held:
        try:
            held.enter_context(held_port.holding(engine.port))
        except OSError:
            yield None  # `running` says why
            return
        held.enter_context(changed(lock.of_client(lock.found(folder))))
        yield engine


def _recorded(folder: Path) -> PrefectServer | None:
    try:
        return PrefectServer(**json.loads((folder / "engine.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


async def _up(folder: Path, port: int | None) -> PrefectServer | None:
    """The server that is up; one that is only kept up is stopped where it has another port than it has to."""
    engine = _recorded(folder)
    if engine is None or users.born(engine.pid) != engine.born:
        return None
    is_elsewhere = port and engine.port != port and users.keeper(folder) and not _others(folder)
    if not is_elsewhere and await _answers(engine):
        return engine
    # It was left behind and answers no more: a second one on its database would harm both.
    users.dismiss(folder)
    await asyncio.to_thread(_stop, engine)
    return None


async def _answers(engine: PrefectServer) -> bool:
    """Whether a server of ours answers; its port is held then. Raises `ConfigError` where that is not to be had."""
    try:
        held_port.hold(engine.port)
    except OSError:
        raise ConfigError(
            f"{engine.ui_url}: Prefect's server (process {engine.pid}) was started by an earlier release, or another"
            " account has its port; stop that server's commands, and start `retirement serve` again"
        ) from None
    if await is_up(engine.api_url):
        return True
    held_port.let_go(engine.port)
    return False


def _sign_in(folder: Path, engine: PrefectServer) -> None:
    (folder / "engine.json").write_text(json.dumps(asdict(engine)))
    users.sign_in(folder, os.getpid())


def _sign_out(folder: Path) -> bool:
    """Whether another process still uses the server; forgets users that died."""
    users.sign_out(folder, os.getpid())
    if users.others(folder):
        return True
    (folder / "engine.json").unlink(missing_ok=True)
    return False


def _others(folder: Path) -> set[int]:
    """The processes beside this one that work with the server, and do not only keep it up."""
    return users.others(folder) - users.keeper(folder)


def ends_with_us(engine: PrefectServer) -> bool:
    """Whether the server of `running` stops at the end of this process or soon after, with every page."""
    return engine.is_ours and not _others(engine_folder())


@contextmanager
def _pointed_at(engine: PrefectServer, folder: Path) -> Iterator[None]:
    ours = {"PREFECT_API_URL": engine.api_url, "PREFECT_HOME": str(folder / "prefect"), **PRIVACY_SETTINGS}
    with changed({**dict.fromkeys(foreign()), **ours, **lock.of_client(lock.found(folder)), **without_proxy()}):
        yield


async def _start(folder: Path, port: int | None, keep_days: int | None, every_event: bool) -> PrefectServer:
    log = home() / "logs" / "engine.log"
    with ExitStack() as on_failure:
        # From here on, since the port stands in the command line of the server long before that listens.
        port = held_port.chosen(port)
        on_failure.callback(held_port.let_go, port)
        with waiting("Prefect's server to start"):
            address = await asyncio.to_thread(postgres.start, folder)
            environment = _environment(folder, port, lock.made(folder), address)
            process = _spawn(port, environment | retention(keep_days) | feed(every_event), log)
            of = (process.pid, users.born(process.pid), keep_days, every_event)
            engine = PrefectServer(_api_url(port), "postgresql" if address else "sqlite", *of)
            try:
                await _wait_until_up(engine, process, log)
            except BaseException:
                await asyncio.to_thread(_stop, engine)
                await asyncio.to_thread(postgres.stop, folder)
                raise
        on_failure.pop_all()
    return engine


def _api_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


def _environment(folder: Path, port: int, credential: str, database: str | None) -> dict[str, str]:
    """The environment of the server; without the address of a database it keeps its records in SQLite."""
    api_url = _api_url(port)
    found = of_a_child(folder) | PRIVACY_SETTINGS | SERVER_SETTINGS | without_proxy({})
    found |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_UI_API_URL": api_url, "PREFECT_API_URL": api_url}
    found |= lock.of_server(credential, port)
    return found | ({"PREFECT_SERVER_DATABASE_CONNECTION_URL": database} if database else {})


def retention(days: int | None) -> dict[str, str]:
    """The variables of a server that deletes runs which ended so many days ago, and what no run has any more.

    A learner's run goes within the hour after the queue run above it.
    """
    if days is None:
        return {}
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs,orphans",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(days * 86_400),
    }


def feed(every_event: bool) -> dict[str, str]:
    """The variables of a server whose feed of events has steps and artifacts, or has not."""
    # A module of ours, by name: what it imports is Prefect's, whose settings are not made yet.
    return {} if every_event else {"PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "retirement.flows.kit.fewer_events"}


def _spawn(port: int, environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "retirement.flows.kit.locked_server", str(port)]
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


def _keeper(folder: Path, minutes: float) -> int:
    """Starts the process that keeps the server up for a while; it outlives this one."""
    command = [sys.executable, "-m", "retirement.flows.kit.keeper", str(minutes), str(folder)]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 - the command is ours, word for word
        command, env=of_a_child(folder), stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    process.returncode = 0  # it outlives this process, which does not wait for it
    return process.pid


async def _wait_until_up(engine: PrefectServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConfigError(f"Prefect's server stopped while starting; its words are in {log}")
        if await is_up(engine.api_url):
            return
        await asyncio.sleep(0.2)
    raise ConfigError(f"Prefect's server does not answer after {START_SECONDS:.0f} seconds; its words are in {log}")


def _stop(engine: PrefectServer) -> None:
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
