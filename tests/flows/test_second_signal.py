"""A second signal ends a command whatever it waits for, and a command that waits says for what."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.flows.conftest import WITH_SIGNALS, without_ours
from tests.in_thread import in_thread
from tests.ledgers import place_file
from tests.patient import PATIENCE, until

pytestmark = pytest.mark.dear(seconds=240)

#: Seconds that the manual promises, on a machine that may be ten times slower.
PROMISED = 50.0

CONFIG = """\
lms: {{url: "http://127.0.0.1:{port}", client_id: id, client_secret: secret}}
pipeline:
  - {{start: RETIRING_LMS, end: LMS_COMPLETE, service: LMS, operation: retirement_lms_retire}}
cool_off_days: 7
ledger: {{url: "sqlite:///{ledger}"}}
"""


class Stuck(BaseHTTPRequestHandler):
    """Says that it is well, and drips the answer to everything else, a byte a second."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.path == "/api/health":
            self.wfile.write(b"true")
            return
        with suppress(OSError):
            while True:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(1)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def stuck_server() -> Iterator[int]:
    """The port of a server that never finishes an answer."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stuck)
    server.daemon_threads = True
    server.block_on_close = False
    with in_thread(server):
        yield server.server_port


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """A ledger that another process has for itself."""
    with sqlite3.connect(ledger, isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def begun(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(folder), **variables}
    command = [sys.executable, "-c", WITH_SIGNALS, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def lms_that_drips(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A command that ends what it has begun after a first signal, and begins with a token of the LMS."""
    with stuck_server() as port:
        place_file(folder / "ledger.sqlite")
        (folder / "retirement.yaml").write_text(CONFIG.format(port=port, ledger=folder / "ledger.sqlite"))
        yield begun(folder, "cleanup", "--dry-run", "--config", str(folder / "retirement.yaml"))


@contextmanager
def ledger_that_is_locked(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """SQLite's own wait is in a thread, where no cancellation reaches it."""
    ledger = place_file(folder / "ledger.sqlite")
    (folder / "retirement.yaml").write_text(CONFIG.format(port=9, ledger=ledger))
    with locked(ledger):
        yield begun(folder, "hold", "list", "--config", str(folder / "retirement.yaml"))


@contextmanager
def engine_that_is_stuck(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A Prefect server that answers its health check and nothing else."""
    with stuck_server() as port:
        (folder / "retirement.yaml").write_text(CONFIG.format(port=9, ledger=folder / "ledger.sqlite"))
        given = ("serve", "--config", str(folder / "retirement.yaml"))
        yield begun(folder, *given, PREFECT_API_URL=f"http://127.0.0.1:{port}/api")


@contextmanager
def start_that_waits(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process starts or stops the engine, and does not come to an end."""
    (folder / "engine").mkdir()
    holding = "lock = fasteners.InterProcessLock(sys.argv[1]); print(lock.acquire(), flush=True); time.sleep(600)"
    command = [sys.executable, "-c", f"import fasteners, sys, time; {holding}", str(folder / "engine" / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline()
        (folder / "retirement.yaml").write_text(CONFIG.format(port=9, ledger=folder / "ledger.sqlite"))
        yield begun(folder, "serve", "--config", str(folder / "retirement.yaml"))
        other.kill()


STUCK = {
    "LMS": lms_that_drips,
    "ledger.sqlite": ledger_that_is_locked,
    "another process": start_that_waits,
}

#: Each wait and each signal; the others for the night.
SIGNALS = dict(zip(STUCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP), strict=True))
BY_NIGHT = [
    pytest.param(what, number, marks=pytest.mark.nightly)
    for what in STUCK
    for number in SIGNALS.values()
    if SIGNALS[what] != number
]


def test_serve_says_that_it_waits_for_a_server_that_hangs_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """A first signal ends it, with 0: to be stopped is how it ends."""
    with engine_that_is_stuck(tmp_path) as process, process:
        assert process.stderr
        line = process.stderr.readline()
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
        took = time.monotonic() - asked

    assert line.startswith("waiting for Prefect's server to take the automations")
    assert took < PROMISED
    assert process.returncode == 0


def signalled_again(process: "subprocess.Popen[str]", number: signal.Signals) -> bool:
    """Whether a process has ended within a second of one more signal."""
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
    return process.returncode is not None


@pytest.mark.parametrize(("what", "number"), [*SIGNALS.items(), *BY_NIGHT])
def test_a_second_signal_ends_what_waits(tmp_path: Path, what: str, number: signal.Signals) -> None:
    """Within five seconds, with exit code 1; before it the command has said what it waits for."""
    with STUCK[what](tmp_path) as process, process:
        assert process.stderr
        line = process.stderr.readline()
        process.send_signal(number)
        time.sleep(0.5)
        second = time.monotonic()
        try:
            # Two that come before a busy machine lets the process run are one signal to it.
            until(lambda: signalled_again(process, number))
        finally:
            process.kill()
        took = time.monotonic() - second

    assert line.startswith("waiting for ")
    assert what in line
    assert took < PROMISED
    assert process.returncode == 1


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    """`nohup` starts commands so."""
    body = "import asyncio, os, signal; os.kill(os.getpid(), signal.SIGHUP); print('on')"
    code = f"""
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from retirement.process import Beside
async def body():
    {body}
beside = Beside(body)
with beside.told_by_signals():
    beside.start().result()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "on\n"
