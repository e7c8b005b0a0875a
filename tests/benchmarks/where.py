"""`make bench BENCH_ARGS=where`: where Python works in a queue run, by py-spy; whose code it is, a learner.

A sample belongs to the innermost frame that is one of the places below: what a library does it does for its caller,
but for SQLAlchemy and asyncpg in Prefect's server, which are half of it. Only moments in which a thread has the
interpreter are counted, so time in the system and in PostgreSQL is in no part.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.benchmarks.parts import SERVER
from tests.benchmarks.throughput import ours, sandbox

#: What is looked for in the file names of a sample, from the innermost frame on, and the part that it is then.
FLOW = {
    "retirement/ledger/": "ledger",
    "retirement/wire/": "requests to services",
    "retirement/flows/kit/certificates": "certificates",
    "retirement/certificate/": "certificates",
    "retirement/flows/kit/": "what Prefect is told",
    "prefect/": "what Prefect is told",
    "retirement/": "steps and learners",
}
OF_SERVER = {
    "sqlalchemy/": "SQLAlchemy and asyncpg",
    "asyncpg/": "SQLAlchemy and asyncpg",
    "prefect/server/services/task_run_recorder": "recorder of steps",
    "prefect/server/events/": "events",
    "prefect/server/utilities/messaging/": "events",
    "prefect/server/orchestration/": "orchestration",
    "prefect/server/models/": "orchestration",
    "prefect/": "routes",
    "fastapi/": "routes",
    "starlette/": "routes",
    "uvicorn/": "routes",
}
REST = "event loop and all else"
#: Seconds that are left out at the beginning, and those that are looked at; samples a second.
AFTER, SECONDS, RATE = 5.0, 25, 100


def part_of(stack: Sequence[str], places: Mapping[str, str]) -> str:
    """The part of a sample; its frames are `function (file:line)`, the file as it is imported."""
    for frame in reversed(stack):
        for place, part in places.items():
            if f"({place}" in frame:
                return part
    return REST


def shares(samples: str, places: Mapping[str, str]) -> dict[str, float]:
    """How much of the samples each part has; a line of them is `frame;frame;… count`."""
    found = Counter[str]()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        found[part_of(stack.split(";"), places)] += int(count)
    return {part: count / found.total() for part, count in found.most_common()}


def main(learners: int, at_once: int) -> None:
    """Prints the parts of both processes, in CPU milliseconds a learner, those of the start among them."""
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if spy is None:
        raise SystemExit("py-spy is not here: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="retirement-where-") as folder:
        os.environ["RETIREMENT_HOME"] = folder
        config, looks = Path(folder) / "retirement.yaml", dict[str, Path]()
        with sandbox(learners, 0.0, config, at_once):
            looker = threading.Thread(target=_look, args=(spy, Path(folder), looks))
            looker.start()
            a_minute, _, used = ours(config, learners)
            looker.join()
        seconds = used.seconds()
        print(f"{learners} learners, {at_once} at once, {a_minute:.0f} a minute")
        print("CPU milliseconds a learner, with the start of all:")
        for process, places in (("flow", FLOW), ("server", OF_SERVER)):
            print(f"{process}: {seconds[process] / learners * 1e3:.0f}")
            for part, share in shares(looks[process].read_text("utf-8"), places).items():
                print(f"  {share * seconds[process] / learners * 1e3:5.1f}  {share:4.0%}  {part}")


def _look(spy: str, folder: Path, looks: dict[str, Path]) -> None:
    """Looks at our process and at the server of the run that begins in this process."""
    pids: dict[str, int] = {}
    while len(pids) < 2:
        time.sleep(0.2)
        for each in psutil.Process().children(recursive=True):
            command = each.cmdline()
            if SERVER in command:
                pids["server"] = each.pid
            elif "retire-queue" in command:
                pids["flow"] = each.pid
    time.sleep(AFTER)
    options = ["--rate", str(RATE), "--duration", str(SECONDS), "--gil", "--format", "raw"]
    running = []
    for process, pid in pids.items():
        looks[process] = folder / f"{process}.samples"
        command = [spy, "record", "--pid", str(pid), *options, "--output", str(looks[process])]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    for each in running:
        _, errors = each.communicate()
        if each.returncode:
            raise SystemExit(f"py-spy: {errors.strip()}")
