"""The ledger from the command line: proved whole, found to be touched, missing, full or foreign; on PostgreSQL too."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests import databases
from tests.flows.conftest import Answer, Command, Platform, sandbox
from tests.patient import until

pytestmark = pytest.mark.dear(seconds=60)


def verified(platform: Platform, retirement: Command) -> Answer:
    return retirement("ledger", "verify", "--json", "--config", platform.config)


def queue(platform: Platform, retirement: Command, *options: str) -> Answer:
    return retirement("retire-queue", *options, "--config", platform.config)


@contextmanager
def rows(file: Path) -> Iterator[sqlite3.Connection]:
    """The tables of a ledger in somebody else's hands."""
    with closing(sqlite3.connect(file)) as connection, connection:
        yield connection


def test_a_changed_byte_is_found_and_the_entry_named(tmp_path: Path, engine: str, retirement: Command) -> None:
    """After a whole run the ledger is sound; one byte of one entry in the file is enough to be found out."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        file = tmp_path / "ledger.sqlite"
        assert queue(platform, retirement).code == 0
        sound = verified(platform, retirement)
        with rows(file) as connection:
            seq, body = connection.execute(
                "SELECT seq, body FROM event WHERE kind = 'step.proved' AND user_id = 102 ORDER BY seq LIMIT 1"
            ).fetchone()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = file.read_bytes()
        assert content.count(body.encode()) == 1
        place = content.index(body.encode()) + body.index('"erased"') + 1
        file.write_bytes(content[:place] + b"a" + content[place + 1 :])
        touched = verified(platform, retirement)
        plain = retirement("ledger", "verify", "--config", platform.config)

    assert (sound.code, sound.document["ok"], sound.document["problem"]) == (0, True, None)
    assert sound.document["entries"] > 2 * 9
    assert (touched.code, touched.document["ok"], touched.document["entry"]) == (1, False, seq)
    assert touched.document["problem"] == f"entry {seq} is not what was written"
    assert (plain.code, plain.out) == (1, f"entry {seq} is not what was written\n")


def test_an_older_copy_that_was_put_back_is_found_by_the_anchor(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Whole in itself, it lacks its tail: verification says how much, and nobody is called on its word."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        file, anchor = tmp_path / "ledger.sqlite", tmp_path / "anchor"
        platform.configure(ledger={"anchor": str(anchor)}, deadline_days=60)
        assert queue(platform, retirement, "--limit", "1").code == 0
        shutil.copy(file, tmp_path / "older")
        assert queue(platform, retirement, "--limit", "1").code == 0
        assert verified(platform, retirement).code == 0
        for each in tmp_path.glob("ledger.sqlite-*"):
            each.unlink()
        shutil.copy(tmp_path / "older", file)
        short = verified(platform, retirement)
        before = len(platform.requests())
        refused = queue(platform, retirement)
        assert len(platform.requests()) == before

    assert short.code == 1
    assert "missing from the tail: the anchor holds" in short.document["problem"]
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "entries are missing from the tail" in refused.err


def test_entries_that_were_cut_off_are_found_by_the_anchor_and_without_it_by_the_tables(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """The last rows of the chain are deleted, and what they told of is still in the tables."""
    with sandbox(tmp_path, "--learners", "1") as platform:
        platform.configure(ledger={"anchor": str(tmp_path / "anchor")})
        assert queue(platform, retirement).code == 0
        with rows(tmp_path / "ledger.sqlite") as connection:
            (last,) = connection.execute("SELECT max(seq) FROM event").fetchone()
            connection.execute("DELETE FROM event WHERE seq > ?", (last - 2,))
        anchored = verified(platform, retirement)
        platform.configure(ledger={"anchor": None})
        alone = verified(platform, retirement)

    assert (anchored.code, anchored.document["entry"]) == (1, last - 1)
    assert anchored.document["problem"] == f"2 entries are missing from the tail: the anchor holds {last}"
    assert (alone.code, alone.document["ok"]) == (1, False)


def garbage(file: Path) -> None:
    file.write_bytes(b"this is no database, whoever it belongs to\n" * 100)


def newer_schema(file: Path) -> None:
    with rows(file) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")


def foreign_tables(file: Path) -> None:
    with rows(file) as connection:
        connection.execute("CREATE TABLE invoice (id INTEGER)")


def no_folder(file: Path) -> None:
    file.parent.write_text("a file where the folder should be", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (garbage, "the file is not a ledger, or its beginning is damaged"),
        (newer_schema, "was written by a newer release"),
        (foreign_tables, "holds tables that are not a ledger's"),
        (no_folder, "the file cannot be made"),
    ],
)
def test_a_place_that_holds_no_ledger_of_ours_stops_a_run_before_anybody_is_called(
    tmp_path: Path, retirement: Command, spoil: Callable[[Path], None], words: str
) -> None:
    """One line, exit code 2, for the queue, one learner and the reconciler; the doctor says it too."""
    with sandbox(tmp_path, "--learners", "1") as platform:
        file = tmp_path / "elsewhere" / "ledger.sqlite"
        if spoil is not no_folder:
            file.parent.mkdir()
        spoil(file)
        platform.configure(ledger={"url": f"sqlite:///{file}"})
        stops_before_anybody_is_called(platform, retirement, words)


def stops_before_anybody_is_called(platform: Platform, retirement: Command, words: str) -> None:
    commands = (("retire-queue",), ("retire-learner", "--user-id", "101"), ("reconcile",))
    for answer in (retirement(*command, "--config", platform.config) for command in commands):
        assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer.err
        assert words in answer.err
        assert "Traceback" not in answer.err
    doctor = retirement("doctor", "--json", "--config", platform.config)
    assert doctor.code == 2
    assert any(words in check["detail"] for check in doctor.document["checks"])
    assert platform.requests() == []


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A small disk of its own; skips where nobody may have one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own takes root and mount")
    if (done := subprocess.run(mount, capture_output=True, check=False)).returncode:
        pytest.skip(f"no disk can be mounted here: exit code {done.returncode}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remounted(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_disk_that_is_full_or_read_only_stops_a_run_before_anybody_is_called(
    tmp_path: Path, retirement: Command
) -> None:
    """The ledger was there and cannot be written any more."""
    with sandbox(tmp_path, "--learners", "1") as platform, disk(tmp_path / "disk", "4m") as folder:
        file = folder / "ledger.sqlite"
        platform.configure(ledger={"url": f"sqlite:///{file}", "key": str(tmp_path / "key")})
        assert retirement("ledger", "migrate", "--config", platform.config).code == 0
        remounted(folder, "ro")
        stops_before_anybody_is_called(platform, retirement, "the file cannot be opened: look at the folder")
        remounted(folder, "rw")
        filler = folder / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(8_000_000))
        stops_before_anybody_is_called(platform, retirement, "the disk is full")
        filler.unlink()
        assert verified(platform, retirement).code == 0


def test_a_disk_that_fills_up_in_the_middle_stops_the_run_and_loses_nobody(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Exit code 2 and nobody wrongly COMPLETE; with room again the next run retires them all."""
    with sandbox(tmp_path, "--learners", "8") as platform, disk(tmp_path / "disk", "700k") as folder:
        platform.configure(
            ledger={"url": f"sqlite:///{folder / 'ledger.sqlite'}", "key": str(tmp_path / "key")}, lease_seconds=15
        )
        full = queue(platform, retirement, "--json")

        assert full.code == 2
        assert "the disk is full" in full.err
        stopped = [name for name, state in platform.states().items() if state != "COMPLETE"]
        assert stopped
        assert platform.residue() == []
        remounted(folder, "size=20m")

        def next_run_finishes() -> bool:  # not the first one: the leases of the stopped run have to run out
            mended = queue(platform, retirement)
            return (mended.code, set(platform.states().values())) == (0, {"COMPLETE"})

        until(next_run_finishes)
        assert platform.residue() == []
        assert verified(platform, retirement).code == 0


def test_a_ledger_in_postgresql_does_for_a_whole_queue_run(
    tmp_path: Path, home: Path, engine: str, retirement: Command
) -> None:
    """Run, verification, look-ups and status, with the password shown nowhere."""
    with psycopg.connect(databases.address(home / "engine"), autocommit=True) as admin:
        admin.execute("CREATE DATABASE evidence")
        admin.execute("CREATE ROLE keeper LOGIN PASSWORD 'keeper-canary-secret'")
        admin.execute("ALTER DATABASE evidence OWNER TO keeper")
    address = databases.address(home / "engine", "evidence").replace("postgres:@", "keeper:keeper-canary-secret@")
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.configure(ledger={"url": address, "key": str(tmp_path / "key")})
        made = retirement("ledger", "migrate", "--config", platform.config)
        done = queue(platform, retirement, "--json")
        look_up = ("status", "--email", "-", "--json", "--config", platform.config)
        found = retirement(*look_up, typed="ZOE.canary.0002@inbox.example\n")
        sound = verified(platform, retirement)

        assert (made.code, done.code, done.document["outcomes"]) == (0, 0, {"retired": 3})
        assert platform.residue() == []
    assert (found.code, found.document.get("erased")) == (0, True), found
    assert (sound.code, sound.document["ok"]) == (0, True)
    assert all("keeper-canary-secret" not in each.out + each.err for each in (made, done, found, sound))
    assert not (tmp_path / "ledger.sqlite").exists()


def test_whether_an_address_was_erased_is_answered_without_the_address(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Yes for somebody who is retired, in any spelling; no for a stranger and for who still waits."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        platform.configure(deadline_days=60)
        assert queue(platform, retirement, "--limit", "1").code == 0

        def asked(email: str) -> Answer:
            return retirement("status", "--email", "-", "--json", "--config", platform.config, typed=email)

        gone, waiting = asked(" Zoe.Canary.0001@POST.example"), asked("zoe.canary.0002@inbox.example")
        stranger, nonsense = asked("nobody@mail.example"), asked("nobody")
        requests = platform.requests()
        (evidence,) = gone.document["retirements"]
    assert (gone.code, gone.document["erased"]) == (0, True)
    assert (evidence["user_id"], evidence["ending"], len(evidence["steps"])) == (101, "retired", 9)
    assert evidence["retired_at"] is not None
    for answer in (waiting, stranger):
        assert (answer.code, answer.document["erased"], answer.document["retirements"]) == (1, False, [])
    (named,) = waiting.document["not_retired"]
    assert (named["user_id"], named["why"]) == (102, "the LMS has its row in PENDING")
    assert gone.document["not_retired"] == stranger.document["not_retired"] == []
    assert all("never asked for its retirement" in str(each.document["not_asked"]) for each in (gone, waiting))
    assert (nonsense.code, len(nonsense.err.splitlines())) == (2, 1)
    assert all("anary" not in each.out + each.err for each in (gone, waiting))
    assert not [each for each in requests if each["user_id"] == 102]
