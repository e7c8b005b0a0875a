"""`make scale SCALE_ARGS="--listings 10000 100000"`: what looks at every row of a long LMS, by time and memory.

Half of the learners wait and half are COMPLETE, with requests of four hundred days; the ledger is empty. Each command
runs in a process of its own; the planning of a queue run is the part of it before its first learner.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from retirement.config import load
from retirement.queue.intake import take_in
from retirement.site import opened
from tests.benchmarks.jobs import LAUNCHER, RETIREMENT, Cost

#: Days over which the requests are spread.
DAYS = 400
COMMANDS = {
    "status": ("status",),
    "digest": ("digest",),
    "reconcile": ("reconcile", "--dry-run"),
    "cleanup": ("cleanup", "--dry-run"),
}


def seed(learners: int) -> dict[str, Any]:
    """Learners who hold nothing: what is erased is not what is measured."""
    return {
        "learners": [
            {
                "username": f"listed{number}",
                "email": f"listed{number}@mail.example",
                "name": f"Name Of {number}",
                "state": "COMPLETE" if number % 2 else "PENDING",
                "account_retired": bool(number % 2),
                "requested_days_ago": 10 + DAYS * (1 - number / learners),
            }
            for number in range(learners)
        ]
    }


def planned(config: Path) -> int:
    """How many learners a queue run would find waiting."""

    async def plan() -> int:
        configuration = load(config)
        async with opened(configuration) as site:
            return (await take_in(site, site.batch(), configuration, configuration.cool_off_days)).depth

    return asyncio.run(plan())


def cost_of(command: Sequence[str]) -> Cost:
    """What a process costs; it may say that learners need a person, as a cleanup without any proof does."""
    with tempfile.NamedTemporaryFile("r") as used:
        began = time.perf_counter()
        # By a small process: what is measured begins with the memory of the one that starts it.
        launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, used.name, *command]
        done = subprocess.run(launched, stdout=subprocess.DEVNULL, check=False)
        if done.returncode > 1:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
        cpu, peak = map(float, used.read().split())
    return Cost(time.perf_counter() - began, cpu, peak / 1024)


def main(sizes: Sequence[int]) -> None:
    """Prints a line for each command and size."""
    for learners in sizes:
        with tempfile.TemporaryDirectory(prefix="retirement-listings-") as name:
            folder = Path(name)
            os.environ["RETIREMENT_HOME"] = f"{name}/home"
            (folder / "seed.json").write_text(json.dumps(seed(learners)), encoding="utf-8")
            config = folder / "retirement.yaml"
            command = [*RETIREMENT, "sandbox", "--json", "--seed-file", str(folder / "seed.json")]
            with subprocess.Popen(
                [*command, "--write-config", str(config)], stdout=subprocess.PIPE, text=True
            ) as there:
                assert there.stdout is not None
                json.loads(there.stdout.readline())
                document = yaml.safe_load(config.read_text(encoding="utf-8"))
                document["queue"] = {"threshold": 1_000_000}
                config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
                try:
                    for what, arguments in COMMANDS.items():
                        _tell(what, learners, cost_of([*RETIREMENT, *arguments, "--json", "--config", str(config)]))
                    own = [sys.executable, "-m", "tests.benchmarks.listings", str(config)]
                    _tell("planning", learners, cost_of(own))
                finally:
                    there.terminate()


def _tell(what: str, learners: int, cost: Cost) -> None:
    text = f"{what:>10} {learners:>7} rows {cost.seconds:>8.1f} s, {cost.cpu:>7.1f} CPU-s, {cost.megabytes:>6.0f} MB"
    print(text, flush=True)


if __name__ == "__main__":
    planned(Path(sys.argv[1]))
