"""A process that has imported everything, and forks itself for each run: starting Prefect costs seconds.

    python -m tests.forks FD MODULE…

The server has one thread and no event loop, so what it forks is as good as a fresh process. It reads orders, one
JSON object a line, from the socket FD, and answers with the pid of each run and, in the end, its exit code. An order
holds the arguments of a Python interpreter, `-m MODULE …` or `-c CODE …`, so a run does what that command line does.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import psutil

from retirement import cli
from tests.patient import PATIENCE

#: What each command of ours imports by itself; the console loads the module of a command when it is called.
COMMANDS = (
    *sorted({f"retirement.cli.{each.module}" for each in cli.COMMANDS}),
    "retirement.connectors.openedx",
    "httpcore",
    "retirement.wire.network",
    "anyio._backends._asyncio",
    "psycopg",
)
#: What those import that run a flow. Prefect reads its settings when it is imported.
FLOWS = ("prefect", "retirement.flows.retire_queue", "retirement.flows.retire_learner", "retirement.flows.kit.records")


@dataclass(frozen=True)
class Run:
    """One process of ours: its pid, and the files of its standard output and error."""

    pid: int
    out: Path
    err: Path

    def said(self) -> tuple[str, str]:
        """Its standard output and error."""
        return self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8")

    def alive(self) -> bool:
        """Whether it has not ended; the server takes note of each end at once, so none stays as a zombie."""
        return psutil.pid_exists(self.pid)

    def signal(self, number: int) -> None:
        """Sends it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class ForkServer:
    """Our end: starts the server, orders runs, learns how they ended. For one thread at a time.

    `environment` is what the modules see while they are imported, and the runs unless an order says otherwise;
    `folder` takes the files that runs write.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, modules: Iterable[str] = COMMANDS) -> None:
        self._folder = folder
        self._codes: dict[int, int] = {}
        self._started = 0
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "tests.forks", str(theirs.fileno()), *modules]
            # Not our own standard output: to a terminal, Python and rich write in another way.
            nowhere: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            self._process = subprocess.Popen(command, env=dict(environment), pass_fds=[theirs.fileno()], **nowhere)
        ours.settimeout(PATIENCE)
        self._socket = ours
        self._answers = ours.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server; runs that are under way go on."""
        self._answers.close()
        self._socket.close()
        self._process.wait()

    def start(self, *arguments: str | Path, typed: str = "", environment: Mapping[str, str] | None = None) -> Run:
        """Starts `python ARGUMENTS`; it finds `typed` in its standard input, and `environment` instead of ours."""
        self._started += 1
        given, out, err = (self._folder / f"{self._started:05}.{name}" for name in ("in", "out", "err"))
        for file in (given, out, err):
            file.touch(mode=0o600)
        given.write_text(typed, encoding="utf-8")
        order = {
            "arguments": [str(each) for each in arguments],
            "environment": None if environment is None else dict(environment),
            "files": [str(given), str(out), str(err)],
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


def main() -> None:
    """Serves until the socket is closed; in a run it is the run's own end that comes back here."""
    for name in sys.argv[2:]:
        importlib.import_module(name)
    importlib.import_module("retirement.connectors").registry()
    # Prefect has read it; a run finds the server by itself, as the command does.
    os.environ.pop("PREFECT_API_URL", None)
    # What is here stays: no run has to look through it for garbage, which would copy every page of it.
    gc.collect()
    gc.freeze()
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waking.fileno())
    with socket.socket(fileno=int(sys.argv[1])) as orders, woken, waking:
        order = _serve(orders, woken)
        if order is None:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _end(_outcome(order))


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


def _outcome(order: Mapping[str, Any]) -> int:
    """Does what was ordered; its exit code, as the interpreter makes it of the way in which it ended."""
    try:
        _become(order)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201 - as the interpreter does it
        return 1
    except Exception:  # noqa: BLE001 - whatever a program ends with is told as the interpreter tells it
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """What the interpreter does at its end, but for taking apart each object: that copies every page of the server."""
    threading._shutdown()  # type: ignore[attr-defined]  # what waits for threads has no public name
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _become(order: Mapping[str, Any]) -> None:
    """Turns this process into the run that was ordered; comes back, or raises `SystemExit`, where that ends."""
    for number, path in enumerate(order["files"]):
        handle = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(handle, number)
        os.close(handle)
    if order["environment"] is not None:
        os.environ.clear()
        os.environ.update(order["environment"])
    _interpret(order["arguments"])


def _interpret(arguments: Sequence[str]) -> None:
    """What `python ARGUMENTS` does once it is up."""
    sys.orig_argv = [sys.executable, *arguments]
    sys.argv = list(arguments[1:])
    if arguments[0] == "-m":
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    sys.argv[0] = "-c"
    script = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(arguments[1], "<string>", "exec"), vars(script))  # noqa: S102 - code of a test, as `python -c` runs it


if __name__ == "__main__":
    main()
