"""A process that has imported everything, and forks itself for each run: starting Prefect costs seconds.

    python -m tests.chaos.forks FD

The server has one thread and no event loop, so what it forks is as good as a fresh process. It reads orders,
one JSON object a line, from the socket FD, and answers with the pid of each run and, in the end, its code.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

#: Seconds after which a run that does not end is a failure of its own.
PATIENCE_SECONDS = 300.0

#: What a run would import by itself, the second list only where there is an engine.
WORKER = (
    "tests.chaos.worker",
    "retirement.cli",
    "retirement.connectors.openedx",
    "httpcore",
    "anyio._backends._asyncio",
    "psycopg",
)
ENGINE = ("prefect", "flows.retire_queue", "flows.retire_learner", "flows.records")


@dataclass(frozen=True)
class Run:
    """One process of ours: who it is, and where its words go."""

    pid: int
    out: Path
    err: Path


class ForkServer:
    """Our end: starts the server, orders runs, learns how they ended. For one thread at a time."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        self._codes: dict[int, int] = {}
        self._started = 0
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.chaos.forks", str(theirs.fileno())]
            self._process = subprocess.Popen(command, env=dict(environment), pass_fds=[theirs.fileno()])
        ours.settimeout(PATIENCE_SECONDS)
        self._socket = ours
        self._answers = ours.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.close()
        self._socket.close()
        self._process.wait()

    def start(self, program: str, *arguments: str | Path, **environment: str) -> Run:
        """Starts `command` (the console script) or `worker` (the engine alone) with these arguments."""
        self._started += 1
        out, err = (self._folder / f"{self._started:05}.{name}" for name in ("out", "err"))
        order = {
            "program": program,
            "arguments": [str(each) for each in arguments],
            "environment": environment,
            "out": str(out),
            "err": str(err),
        }
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        return Run(self._until(lambda answer: "code" not in answer)["pid"], out, err)

    def first(self, runs: Iterable[Run]) -> Run:
        """Waits until one of these runs has ended, and says which."""
        waiting = {run.pid: run for run in runs}
        while not (over := waiting.keys() & self._codes.keys()):
            self._until(lambda answer: "code" in answer)
        return waiting[min(over)]

    def wait(self, run: Run) -> int:
        """The exit code of a run that has ended; minus the signal where one killed it."""
        while run.pid not in self._codes:
            self._until(lambda answer: answer.get("pid") == run.pid)
        return self._codes.pop(run.pid)

    def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while line := self._answers.readline():
            answer: dict[str, Any] = json.loads(line)
            if "code" in answer:
                self._codes[answer["pid"]] = answer["code"]
            if wanted(answer):
                return answer
        raise RuntimeError("the fork server has died")


def main() -> int:
    """Serves until the socket is closed; in a run it is the run's own end that comes back here."""
    modules = [*WORKER, *(ENGINE if "PREFECT_API_URL" in os.environ else ())]
    for name in modules:
        importlib.import_module(name)
    importlib.import_module("retirement.connectors").registry()
    # Prefect has read it; a run finds the engine by itself, as the command does.
    os.environ.pop("PREFECT_API_URL", None)
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waking.fileno())
    with socket.socket(fileno=int(sys.argv[1])) as orders, woken, waking:
        order = _serve(orders, woken)
        if order is None:
            return 0
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return _become(order)


def _serve(orders: socket.socket, woken: socket.socket) -> dict[str, Any] | None:
    """Returns None when there are no more orders, and in each child the order that it is to carry out."""
    selector = selectors.DefaultSelector()
    selector.register(orders, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    waiting = b""
    with selector:
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                woken.recv(4096)
                _report_the_dead(orders)
            if orders not in ready:
                continue
            received = orders.recv(65536)
            if not received:
                return None
            *lines, waiting = (waiting + received).split(b"\n")
            for line in lines:
                if (pid := os.fork()) == 0:
                    order: dict[str, Any] = json.loads(line)
                    return order
                _say(orders, {"pid": pid})


def _report_the_dead(orders: socket.socket) -> None:
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _say(orders, {"pid": found[0], "code": os.waitstatus_to_exitcode(found[1])})


def _say(orders: socket.socket, answer: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError):
        orders.sendall(json.dumps(answer).encode() + b"\n")


def _become(order: Mapping[str, Any]) -> int:
    """Turns this process into the run that was ordered, and ends as that program ends."""
    for number, path in ((1, order["out"]), (2, order["err"])):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.update(order["environment"])
    sys.argv = ["retirement", *order["arguments"]]
    return _program(order["program"], order["arguments"])


def _program(name: str, arguments: Sequence[str]) -> int:
    if name == "command":
        from retirement.cli import main as command

        command()
        return 0
    from tests.chaos.worker import main as worker

    return worker(arguments)


if __name__ == "__main__":
    sys.exit(main())
