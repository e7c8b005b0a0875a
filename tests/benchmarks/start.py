"""`make bench BENCH_ARGS=start`: what our locks add to a first start, in a fresh home each time.

The server of Prefect is started with the locks of `retirement.flows.kit` and without any, in turn: credential, CORS and
Host header, no core dumps, an environment of what is listed only. What the ledger's keys take is measured in this
process. CPU seconds are of the server's process until it answers; a busy machine bends them less than seconds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import psutil

from retirement.flows.kit import environment, lock
from retirement.flows.kit.own_file import digest, require_own
from retirement.ledger.keys import new_key
from retirement.ledger.signing import Signing, signer_of
from retirement.process import claim
from tests.ports import free_port

#: Prefect's server as it comes, but for the garbage collector, which is no lock.
PLAIN = (
    "import sys, uvicorn; from retirement.process import collect_rarely; collect_rarely();"
    "from prefect.server.api.server import create_app;"
    "uvicorn.run(create_app(final=True), host='127.0.0.1', port=int(sys.argv[1]), log_level='warning')"
)
LOCKED = "import sys; from retirement.flows.kit.locked_server import main; main(int(sys.argv[1]))"

#: Seconds until a server is given up.
_PATIENCE = 600.0


def main(rounds: int) -> None:
    """Prints a line for each kind of start, and what the locks add."""
    found: dict[str, list[tuple[float, float]]] = {"locked": [], "plain": []}
    for _ in range(rounds):
        for kind, starts in found.items():
            starts.append(_server(is_locked=kind == "locked"))
            seconds, cpu = starts[-1]
            print(f"{kind:8} server: {seconds:6.2f} s until it answers, {cpu:6.2f} CPU s", flush=True)
    for name, place in (("seconds", 0), ("CPU seconds", 1)):
        locked, plain = ([each[place] for each in found[kind]] for kind in ("locked", "plain"))
        spread = max(max(each) - min(each) for each in (locked, plain))
        print(f"the server's locks add {statistics.median(locked) - statistics.median(plain):+.2f} {name}", end=" ")
        print(f"(medians of {rounds}; starts of one kind differ by up to {spread:.2f})")
    for name, seconds, cpu in _parts():
        print(f"{name:44} {seconds * 1000:7.1f} ms, {cpu * 1000:7.1f} CPU ms")


def _server(*, is_locked: bool) -> tuple[float, float]:
    """Seconds and CPU seconds of a server's process until it answers for the first time."""
    with tempfile.TemporaryDirectory(prefix="retirement-start-") as name:
        folder, port = Path(name), free_port()
        variables = {**environment.of_a_child(folder), "PREFECT_HOME": name, **environment.PRIVACY_SETTINGS}
        if is_locked:
            variables |= lock.of_server(lock.made(folder), port)
        else:
            variables = {**os.environ, **variables}
        command = [sys.executable, "-c", LOCKED if is_locked else PLAIN, str(port)]
        began = time.perf_counter()
        with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _until_up(process, port, began)
                seconds, used = time.perf_counter() - began, psutil.Process(process.pid).cpu_times()
            finally:
                process.kill()
    return seconds, used.user + used.system


def _until_up(process: subprocess.Popen[bytes], port: int, began: float) -> None:
    while process.poll() is None and time.perf_counter() - began < _PATIENCE:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    sys.exit("Prefect's server does not start here")


def _parts() -> list[tuple[str, float, float]]:
    """What a first start makes and checks in our own process; each once, as it is done once."""
    with tempfile.TemporaryDirectory(prefix="retirement-start-") as name:
        folder = Path(name)
        config = folder / "retirement.yaml"
        config.write_text("lms: {}\n")
        work: Mapping[str, Callable[[], object]] = {
            "the credential of the installation": lambda: lock.made(folder),
            "the key of the ledger's digests": new_key,
            "the key by which heads are signed": lambda: signer_of(Signing(folder / "signing")),
            "whose the configuration is, and its hash": lambda: (require_own(config), digest(config)),
            "the home is for one serve": lambda: claim(folder / "serve.lock"),
        }
        return [(each, *_timed(job)) for each, job in work.items()]


def _timed(job: Callable[[], object]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - began, time.process_time() - used
