"""`make bench`: learners per minute of three drivers on the same platform, side by side in one run.

(a) a plain process per learner, one after the other, with the reference driver's requests;
(b) `retirement retire-queue`, Prefect's records included, with its server; and once more with `lms.moves: merged`;
(c) the floor: the same requests with bare asynchronous httpx and nothing else.

The time of (b) is that of the whole run, with its imports, its first look at the services and the wait for the last
records: some seconds however many learners there are, and so there are 500.

The sandbox runs in a process of its own and shares the machine's cores with all of them. Below each line stands what
a learner costs in CPU time, which a busy machine bends less. At the end, and by `BENCH_ARGS=where` alone, it says whose
code the CPU time of (b) is, by a profiler, see where.py. `BENCH_ARGS=jobs` measures other jobs, see jobs.py;
`BENCH_ARGS=start` what our locks add to a first start, see start.py.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from retirement.pipeline import Moves
from retirement.sandbox import Sandbox, seeds
from tests.benchmarks import jobs, start
from tests.benchmarks.parts import Parts
from tests.benchmarks.sequential_driver import request_of, urls_of

RETIREMENT = [sys.executable, "-m", "retirement"]
#: Learners at the same time, with (b) as with (c): at 100 ms their number is what decides.
AT_ONCE = 50
#: What the reference scripts take for a learner with 9 steps of 4 services, and how much of it are imports: CPU
#: seconds of a process for each learner on two cores, as issue 13 has them.
REFERENCE, REFERENCE_IMPORTS = 1.1, 0.45


@contextmanager
def sandbox(
    learners: int, latency_ms: float, config: Path, at_once: int, moves: Moves = Moves.EACH
) -> Iterator[dict[str, Any]]:
    command = [*RETIREMENT, "sandbox", "--json", "--learners", str(learners), "--latency-ms", str(latency_ms)]
    command += ["--write-config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
        document["queue"] = {"threshold": 100_000, "limit": 100_000, "at_once": at_once}
        document["lms"]["moves"] = moves.value
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        try:
            yield where
        finally:
            process.terminate()


def rows(where: dict[str, Any]) -> list[dict[str, Any]]:
    """Every PENDING learner, as the LMS lists them."""
    lms, worker = where["services"]["lms"], where["clients"]["worker"]
    form = {"grant_type": "client_credentials", "token_type": "jwt", **worker}
    token = httpx.post(f"{lms}/oauth2/access_token", data=form).json()["access_token"]
    query = {"cool_off_days": "7", "states": "PENDING"}
    url = f"{lms}/api/user/v1/accounts/retirement_queue/"
    found: list[dict[str, Any]] = httpx.get(
        url, params=query, headers={"Authorization": f"JWT {token}"}, timeout=60
    ).json()
    return found


def all_complete(where: dict[str, Any], learners: int) -> None:
    state = httpx.get(f"{where['control']}/_sandbox/state", timeout=60).json()["learners"]
    done = sum(each["retirement"]["current_state"] == "COMPLETE" for each in state.values())
    if done != learners:
        raise SystemExit(f"only {done} of {learners} learners are COMPLETE")


def sequential(config: Path, where: dict[str, Any], learners: int) -> float:
    names = [row["original_username"] for row in rows(where)]
    began = time.perf_counter()
    for name in names:
        subprocess.run([sys.executable, "-m", "tests.benchmarks.sequential_driver", str(config), name], check=True)
    return learners / (time.perf_counter() - began) * 60


def ours(config: Path, learners: int) -> tuple[float, dict[str, Any], Parts]:
    """Learners a minute, what the command answered, and what its processes used."""
    command = [*RETIREMENT, "retire-queue", "--json", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        parts = Parts(process.pid, Path(os.environ["RETIREMENT_HOME"]).resolve())
        with parts.watched():
            answer, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the queue run ended with {process.returncode}: {errors}")
    document: dict[str, Any] = json.loads(answer)
    if document["outcomes"] != {"retired": learners} or document["records"]["task_runs_lost"]:
        raise SystemExit(f"not all were retired or recorded: {document['outcomes']} {document['records']}")
    return learners / document["seconds"] * 60, document, parts


async def floor(config: Path, where: dict[str, Any], learners: int) -> float:
    configuration = yaml.safe_load(config.read_text(encoding="utf-8"))
    urls, found = urls_of(configuration), rows(where)
    accounts = f"{urls['LMS']}/api/user/v1/accounts"
    worker = where["clients"]["worker"]
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        began = time.perf_counter()
        form = {"grant_type": "client_credentials", "token_type": "jwt", **worker}
        token = (await client.post(f"{urls['LMS']}/oauth2/access_token", data=form)).json()["access_token"]
        client.headers["Authorization"] = f"JWT {token}"

        async def move(username: str, state: str) -> None:
            body = {"username": username, "new_state": state, "response": ""}
            (await client.patch(f"{accounts}/update_retirement_status/", json=body)).raise_for_status()

        async def lane(waiting: Iterator[dict[str, Any]]) -> None:
            for row in waiting:
                name = row["original_username"]
                (await client.get(f"{accounts}/{name}/retirement_status/")).raise_for_status()
                for step in configuration["pipeline"]:
                    await move(name, step["start"])
                    method, url, body = request_of(step, row, urls)
                    (await client.request(method, url, json=body)).raise_for_status()
                    await move(name, step["end"])
                await move(name, "COMPLETE")

        waiting = iter(found)
        await asyncio.gather(*(lane(waiting) for _ in range(AT_ONCE)))
        return learners / (time.perf_counter() - began) * 60


def _start(folder: Path) -> dict[str, float]:
    """CPU seconds by part of a run of one learner: what the start takes, however many there are.

    It is the second one: the first makes the database of Prefect's server, which the others find.
    """
    config = folder / "retirement.yaml"
    for _ in range(2):
        with sandbox(1, 0.0, config, 1):
            used = ours(config, 1)[2].seconds()
    return used


def measure(latency_ms: float, options: argparse.Namespace, folder: Path, start: Mapping[str, float]) -> None:
    config = folder / "retirement.yaml"
    with sandbox(options.sequential, latency_ms, config, options.at_once) as where:
        before = _children()
        a = sequential(config, where, options.sequential)
        of_process = (_children() - before) / options.sequential
        all_complete(where, options.sequential)
    with sandbox(options.learners, latency_ms, config, options.at_once) as where:
        b, document, used = ours(config, options.learners)
        parts = used.seconds()
        all_complete(where, options.learners)
    with sandbox(options.learners, latency_ms, config, options.at_once, Moves.MERGED) as where:
        merged, _, used = ours(config, options.learners)
        merged_parts = used.seconds()
        all_complete(where, options.learners)
    with sandbox(options.learners, latency_ms, config, options.at_once) as where:
        began = time.process_time()
        c = asyncio.run(floor(config, where, options.learners))
        of_floor = (time.process_time() - began) / options.learners
        all_complete(where, options.learners)
    records = document["records"]
    print(
        f"{latency_ms:>7.0f} ms {a:>12.1f} {b:>12.1f} {c:>12.1f} {b / a:>9.1f} x {c / b:>9.1f} x"
        f"   {records['flow_runs']} flow runs, {records['task_runs']} task runs, {records['task_runs_lost']} lost",
        flush=True,
    )
    print(
        f"{'CPU-s':>10} {of_process:>12.3f} {_one_more(parts, start, options.learners):>12.3f} {of_floor:>12.3f}"
        f"   {_by_part(parts, start, options.learners)}",
        flush=True,
    )
    print(
        f"{'merged':>10} {'':>12} {merged:>12.1f} {'':>12} {merged / a:>9.1f} x {c / merged:>9.1f} x"
        f"   {_one_more(merged_parts, start, options.learners):.3f} CPU-s: "
        f"{_by_part(merged_parts, start, options.learners)}",
        flush=True,
    )


def _one_more(parts: Mapping[str, float], start: Mapping[str, float], learners: int) -> float:
    """CPU seconds of a learner, without the start."""
    return (sum(parts.values()) - sum(start.values())) / (learners - 1)


def _by_part(parts: Mapping[str, float], start: Mapping[str, float], learners: int) -> str:
    each = {part: (seconds - start.get(part, 0.0)) / (learners - 1) for part, seconds in sorted(parts.items())}
    with_start = sum(parts.values()) / learners
    return ", ".join(f"{part} {seconds:.3f}" for part, seconds in each.items()) + f"; with the start {with_start:.3f}"


def _children() -> float:
    """CPU seconds of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seeding(learners: int) -> float:
    """Seconds that the sandbox needs to be filled anew; a benchmark resets often."""
    world, seed = Sandbox(), seeds.learners(learners)
    began = time.perf_counter()
    world.reset(seed)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["queue", "where", "jobs", "start"],
        default="queue",
        help="others: see where.py, jobs.py, start.py",
    )
    parser.add_argument("--learners", type=int, default=None, help="for (b) and (c): 500; the most of jobs: 10000")
    parser.add_argument("--sequential", type=int, default=20, help="for (a)")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="learners at the same time in (b)")
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[0.0, 100.0])
    parser.add_argument("--rounds", type=int, default=3, help="starts of each kind that `start` measures")
    options = parser.parse_args()
    if options.what == "jobs":
        most = options.learners or 10_000
        jobs.main(max(most // 10, 1), most)
        return
    if options.what == "start":
        start.main(options.rounds)
        return
    options.learners = options.learners or 500
    # Here, since it takes the run from this module.
    from tests.benchmarks import where

    if options.what == "where":
        where.report(options.learners, options.at_once)
        return
    with tempfile.TemporaryDirectory(prefix="retirement-bench-") as folder:
        os.environ["RETIREMENT_HOME"] = folder
        headings = ("latency", "(a) process", "(b) ours", "(c) floor", "b : a", "c : b")
        widths = (10, 12, 12, 12, 11, 11)
        print("learners per minute")
        print(" ".join(f"{heading:>{width}}" for heading, width in zip(headings, widths, strict=True)))
        of_start = _start(Path(folder))
        for latency_ms in options.latency_ms:
            measure(latency_ms, options, Path(folder), of_start)
    print(
        f"the reference scripts: {REFERENCE} CPU-s a learner, {REFERENCE_IMPORTS} of it imports (issue 13, two cores)"
    )
    print(f"the sandbox is filled with 1000 learners in {seeding(1000):.2f} s")
    where.report(options.learners, options.at_once)


if __name__ == "__main__":
    main()
