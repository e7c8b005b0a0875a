"""`make bench BENCH_ARGS=jobs`: many learners replaced, archived and reported, by the commands themselves.

Each job runs for a few learners and for ten times as many, in a process of its own, against a sandbox and an S3
server in others. Printed are seconds and the job's peak of memory: time has to grow as the learners do, and memory
hardly at all.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import yaml
from moto.server import ThreadedMotoServer

RETIREMENT = [sys.executable, "-m", "retirement"]
BUCKET = "bench-archive"
BY = ["--reason", "benchmark", "--by", "bench"]
#: What grows with the learners; the sandbox and the S3 server are processes of their own, and not in the table.
HELD = (
    "what grows: of a learner a user id or two are held, and `replaced` checks the file of pairs as a whole;\n"
    "`reported` has a thousand learners at a time. Answers of the LMS are read row by row, and rows wait sealed\n"
    "in a temporary file"
)


@dataclass(frozen=True)
class Cost:
    """What one job took: seconds, of them CPU seconds of its own, and megabytes at its peak."""

    seconds: float
    cpu: float
    megabytes: float


def seed(learners: int) -> dict[str, Any]:
    """Retired learners of a few organisations, who wait for the report, and as many accounts to rename."""
    retired = [
        {
            "username": f"retired{number}",
            "email": f"retired{number}@mail.example",
            "name": f"Name Of {number}",
            "state": "COMPLETE",
            "account_retired": True,
            "partner_report": "queued",
            "enrollments": [{"org": f"Org{number % 5}", "active": True}],
            "requested_days_ago": 60,
        }
        for number in range(learners)
    ]
    others = [
        {"username": f"old{number}", "email": f"old{number}@mail.example", "name": f"Other {number}", "state": None}
        for number in range(learners)
    ]
    return {"learners": [*retired, *others], "settings": {"worker_is_staff": True}}


@contextmanager
def sandbox(learners: int, folder: Path) -> Iterator[dict[str, Any]]:
    """A platform with these learners, and a configuration that points there."""
    (folder / "seed.json").write_text(json.dumps(seed(learners)), encoding="utf-8")
    command = [*RETIREMENT, "sandbox", "--json", "--seed-file", str(folder / "seed.json")]
    command += ["--write-config", str(folder / "retirement.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        try:
            yield where
        finally:
            process.terminate()


#: Runs a command and writes what it used into a file. The peak of a process has in it what its parent had when it
#: was forked, so the parent is this one, which has nothing.
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measured(*arguments: str, config: Path) -> Cost:
    """Runs a command to its end. Its errors end the benchmark."""
    with tempfile.TemporaryFile("w+") as output, tempfile.NamedTemporaryFile("r") as used:
        began = time.perf_counter()
        command = [*RETIREMENT, *arguments, "--json", "--config", str(config)]
        launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, used.name, *command]
        done = subprocess.run(launched, stdout=output, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            output.seek(0)
            said = f"{output.read()[-2000:]} {done.stderr[-2000:]!r}"
            raise SystemExit(f"{arguments[0]} ended with {done.returncode}: {said}")
        cpu, peak = map(float, used.read().split())
    return Cost(time.perf_counter() - began, cpu, peak / (1024 if sys.platform != "darwin" else 1024 * 1024))


def costs(learners: int, s3: str, folder: Path) -> dict[str, Cost]:
    """Each job of so many learners, on a platform and a ledger of its own."""
    with sandbox(learners, folder) as where:
        config = folder / "retirement.yaml"
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
        document["archive"] = {
            "bucket": BUCKET,
            "prefix": f"raw-{learners}",
            "endpoint_url": s3,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": "${BENCH_KEY}",
            "expire_days": 365,
        }
        config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        (folder / "out").mkdir(mode=0o700)
        with (folder / "names.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([(f"old{number}", f"new{number}") for number in range(learners)])
        (folder / "names.csv").chmod(0o600)
        names = ["--csv", str(folder / "names.csv"), "--output", str(folder / "out"), "--at-most", str(learners)]
        found = {
            "replaced": measured("replace-usernames", *names, "--yes", *BY, config=config),
            "reported": measured("partner-report", "--output", str(folder / "out"), config=config),
            "archived": measured("cleanup", "--days", "0", "--incomplete", "--open-receipts", *BY, config=config),
        }
        _require_done(where, learners, folder)
        return found


def _require_done(where: dict[str, Any], learners: int, folder: Path) -> None:
    state = httpx.get(f"{where['control']}/_sandbox/state", timeout=600).json()["learners"]
    rows = sum(each["retirement"] is not None for each in state.values())
    reported = sum(len(file.read_text("utf-8").splitlines()) - 1 for file in (folder / "out").glob("*claim*.csv"))
    if rows or reported != learners:
        raise SystemExit(f"{rows} rows are left, and {reported} of {learners} learners are in reports")


def main(few: int, many: int) -> None:
    """Prints the table."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        s3 = f"http://{host}:{port}"
        os.environ["BENCH_KEY"] = "secret"
        client = boto3.client(
            "s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket=BUCKET)
        found = {}
        for learners in (few, many):
            with tempfile.TemporaryDirectory(prefix="retirement-jobs-") as folder:
                os.environ["RETIREMENT_HOME"] = f"{folder}/home"
                found[learners] = costs(learners, s3, Path(folder))
                for job, cost in found[learners].items():
                    print(
                        f"{job:>10} {learners:>7} learners {cost.seconds:>8.1f} s, {cost.cpu:>7.1f} CPU-s of the job, "
                        f"{cost.megabytes:>6.0f} MB",
                        flush=True,
                    )
    finally:
        server.stop()
    for job in found[few]:
        a, b = found[few][job], found[many][job]
        print(
            f"{job:>10}: {many // few} x the learners took {b.seconds / a.seconds:.1f} x the time, "
            f"{b.cpu / a.cpu:.1f} x the CPU time, and {b.megabytes / a.megabytes:.2f} x the memory"
        )
    print(HELD)
