"""`engine.keep_minutes`: Prefect's server stays up for a while after the last command, and not longer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from retirement.flows.kit import users
from retirement.flows.kit.keeper import keep
from retirement.flows.kit.server import PrefectServer, ends_with_us, leave
from tests.patient import PATIENCE, until

pytestmark = pytest.mark.processes


@contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends by itself only when it is told to."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as made:
        try:
            yield made
        finally:
            made.kill()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a server that this process uses."""
    monkeypatch.setenv("RETIREMENT_HOME", str(tmp_path))
    made = tmp_path / "engine"
    made.mkdir()
    users.sign_in(made, os.getpid())
    return made


@pytest.fixture
def server(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the place of the server, which stands in the record."""
    with process() as made:
        engine = PrefectServer("http://127.0.0.1:4200/api", "sqlite", made.pid, users.born(made.pid))
        (folder / "engine.json").write_text(json.dumps(asdict(engine)))
        yield made


@pytest.fixture
def kept(folder: Path, server: subprocess.Popen[bytes]) -> Iterator[psutil.Process]:
    """The process that keeps the server up, after the last command has ended."""
    asyncio.run(leave(folder, None, 240))
    (pid,) = users.keeper(folder)
    found = psutil.Process(pid)
    yield found
    found.kill()
    found.wait(PATIENCE)


def test_the_last_command_leaves_the_server_to_a_process_that_keeps_it(
    folder: Path, server: subprocess.Popen[bytes], kept: psutil.Process
) -> None:
    """It is a user of the server like the others, but no reason to wait for an answer there."""
    assert server.poll() is None
    assert users.others(folder) == {kept.pid}
    users.sign_in(folder, os.getpid())
    assert ends_with_us(PrefectServer("http://127.0.0.1:4200/api", "sqlite"))

    asyncio.run(leave(folder, None, 240))
    assert users.others(folder) == {kept.pid}
    asyncio.run(leave(folder))
    assert server.poll() is None


def test_it_stops_the_server_when_it_is_told_to_end(
    folder: Path, server: subprocess.Popen[bytes], kept: psutil.Process
) -> None:
    """Nothing is left then, neither the record of the server nor a user."""
    # Before it listens for signals they end it as they end any process.
    until(lambda: kept.num_threads() and b"SigCgt:\t0000000000000000" not in _status(kept) and _listens(kept))
    kept.send_signal(signal.SIGTERM)

    assert server.wait(PATIENCE) is not None
    until(lambda: not (folder / "engine.json").exists())
    assert list((folder / users.FOLDER).iterdir()) == []


def _status(process: psutil.Process) -> bytes:
    return Path(f"/proc/{process.pid}/status").read_bytes()


def _listens(process: psutil.Process) -> bool:
    caught = next(line for line in _status(process).splitlines() if line.startswith(b"SigCgt:"))
    return bool(int(caught.split()[1], 16) & (1 << (signal.SIGTERM - 1)))


def test_a_command_that_wants_none_dismisses_it(
    folder: Path, server: subprocess.Popen[bytes], kept: psutil.Process
) -> None:
    """The setting was taken back, or `serve` ends: the server ends with it."""
    users.sign_in(folder, os.getpid())
    asyncio.run(leave(folder, None, 0))

    assert server.wait(PATIENCE) is not None
    until(lambda: users.born(kept.pid) == 0.0)


def test_it_waits_as_long_as_a_command_works(folder: Path, server: subprocess.Popen[bytes]) -> None:
    """Its time begins when the last one has ended."""
    with process() as command:
        users.sign_in(folder, command.pid)
        keeper = threading.Thread(target=keep, args=(folder, 0.0, threading.Event()))
        keeper.start()
        keeper.join(0.1)
        assert keeper.is_alive()
        assert server.poll() is None
        command.kill()
        command.wait(PATIENCE)
        keeper.join(PATIENCE)

    assert server.wait(PATIENCE) is not None
    assert not (folder / "engine.json").exists()


def test_one_that_is_no_user_any_more_leaves_the_server_alone(folder: Path, server: subprocess.Popen[bytes]) -> None:
    """It was dismissed, and what is up now is none of its business."""
    users.sign_out(folder, os.getpid())
    keep(folder, 0.0, threading.Event())

    assert server.poll() is None


def test_a_process_that_never_was_is_no_user(folder: Path) -> None:
    """Such as one that ended before it could be written down."""
    with process() as ended:
        ended.kill()
        ended.wait(PATIENCE)
        users.set_keeper(folder, ended.pid)

    assert users.others(folder) == set()
