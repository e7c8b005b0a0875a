"""What died, what failed and what was taken back: reconcile, redrive and cancel against real processes."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import databases, patient
from tests.flows.conftest import Command, Platform, Start, sandbox
from tests.flows.runs import Runs, learners_runs
from tests.patient import until

pytestmark = pytest.mark.dear(seconds=210)

#: The shortest that the configuration takes.
LEASE_SECONDS = 15


def killed_in_the_middle(platform: Platform, start: Start, retirement: Command) -> list[int]:
    """Kills a queue run and waits until its leases are over; the user ids of those in a working state."""
    platform.configure(lease_seconds=LEASE_SECONDS)
    # Whoever is in this step stays there, however slow the machine is.
    platform.hold_up("/retire_misc/")
    run = start("retire-queue", "--json", "--config", platform.config)
    until(lambda: "RETIRING_LMS_MISC" in platform.states().values())
    run.kill()
    platform.arm()
    shown = retirement("status", "--json", "--config", platform.config).document
    stuck: list[int] = shown["in_working_state"]
    assert stuck
    assert "COMPLETE" not in shown["states"]
    for user_id in stuck:
        until(partial(has_no_live_run, platform, retirement, user_id))
    return stuck


def has_no_live_run(platform: Platform, retirement: Command, user_id: int) -> bool:
    shown = retirement("status", "--user-id", str(user_id), "--json", "--config", platform.config)
    return shown.document["live_run"] is None


def all_is_well(platform: Platform, retirement: Command) -> bool:
    """Everybody COMPLETE, nothing left of them, and the evidence whole."""
    whole = retirement("ledger", "verify", "--json", "--config", platform.config)
    assert (whole.code, whole.document["problem"]) == (0, None)
    assert platform.residue() == []
    return set(platform.states().values()) == {"COMPLETE"}


def test_learners_of_a_killed_run_are_given_back_and_then_retired(
    tmp_path: Path, engine: str, retirement: Command, start: Start
) -> None:
    """While its leases live nobody touches them; then `reconcile` gives them back, to where their steps prove."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        stuck = killed_in_the_middle(platform, start, retirement)
        before = platform.states()
        dry = retirement("reconcile", "--dry-run", "--json", "--config", platform.config)
        assert platform.states() == before
        mended = retirement("reconcile", "--json", "--config", platform.config)
        again = retirement("reconcile", "--config", platform.config)

        found = {each["learner"]: each for each in mended.document["learners"] if each["what"] == "moved"}
        assert sorted(found) == stuck
        assert {each["learner"] for each in dry.document["learners"] if each["what"] == "would-move"} == set(stuck)
        assert all(each["target"] == "PENDING" or each["target"].endswith("_COMPLETE") for each in found.values())
        assert [each.code for each in (dry, mended, again)] == [0, 0, 0]
        assert again.out.startswith("no learner is stuck in a working state; open in the LMS are ")
        assert retirement("retire-queue", "--config", platform.config).code == 0
        assert all_is_well(platform, retirement)


def test_a_run_that_still_lives_keeps_its_learners_from_the_reconciler(
    tmp_path: Path, engine: str, retirement: Command, start: Start
) -> None:
    """Somebody reconciles by hand in the middle of a queue run, and does no harm."""
    with sandbox(tmp_path, "--learners", "4") as platform:
        platform.hold_up("/retire_misc/")
        run = start("retire-queue", "--json", "--config", platform.config)
        until(lambda: list(platform.states().values()) == ["RETIRING_LMS_MISC"] * 4)
        mended = retirement("reconcile", "--json", "--config", platform.config)
        platform.arm()
        ended = run.ended()

        assert {each["what"] for each in mended.document["learners"]} == {"busy"}
        assert (mended.code, ended.code) == (0, 0)
        assert platform.moves() == 4 * 19
        assert all_is_well(platform, retirement)


def test_the_next_queue_run_alone_heals_what_a_killed_one_left(
    tmp_path: Path, engine: str, retirement: Command, start: Start
) -> None:
    """It begins with a reconciliation, so nobody has to be awake, and says in the morning whom it found."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        stuck = killed_in_the_middle(platform, start, retirement)
        healed = retirement("retire-queue", "--json", "--config", platform.config)

        assert (healed.code, healed.document["outcomes"]) == (0, {"retired": 6})
        assert {each["learner"] for each in healed.document["mended"]} >= set(stuck)
        (table,) = tables_of(engine, healed.document["flow_run"])
        assert all(str(each) in table for each in stuck)
        assert all_is_well(platform, retirement)


def tables_of(api: str, run: str) -> list[str]:
    """What the artifacts of one run say of those whom dead runs had left behind."""
    wanted = {"artifacts": {"key": {"any_": ["retirement-reconcile"]}}, "flow_runs": {"id": {"any_": [run]}}}
    found = patient.post(f"{api}/artifacts/filter", json=wanted).raise_for_status().json()
    return [each["data"] for each in found]


def test_the_reconciler_as_a_deployment_gives_back_and_buries(
    tmp_path: Path, environment: dict[str, str], home: Path, engine: str, retirement: Command, start: Start, runs: Runs
) -> None:
    """A run of `reconcile-here`: learners wait again, and Prefect's dead runs are Crashed once they are old enough."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        stuck = killed_in_the_middle(platform, start, retirement)
        (queue,) = runs.every()
        every = learners_runs(engine, queue["id"])
        below = [each["id"] for each in every if each["state"]["type"] == "RUNNING"]
        assert (queue["state"]["type"], bool(below)) == ("RUNNING", True)
        made_older(home, [each["id"] for each in (queue, *every)])
        name = f"{engine}/deployments/name/reconcile/reconcile-here"
        with serving(environment, platform):
            until(lambda: patient.get(name).status_code == 200)
            body = {"state": {"type": "SCHEDULED"}}
            deployment = patient.get(name).json()["id"]
            run = patient.post(f"{engine}/deployments/{deployment}/create_flow_run", json=body).json()["id"]
            until(lambda: runs.state(run) in ("Reconciled", "SomeFailed", "Failed", "Crashed", "Cancelled"))
            # Whoever stops the server now stops the run's process as well, which Prefect then calls Cancelled.
            assert runs.state(run) == "Reconciled"

        assert {runs.state(each) for each in (queue["id"], *below)} == {"Crashed"}
        waiting = retirement("status", "--json", "--config", platform.config).document
        assert (waiting["in_working_state"], waiting["without_a_live_run"]) == ([], [])
        (table,) = tables_of(engine, run)
        assert all(str(each) in table for each in stuck)
        assert retirement("retire-queue", "--config", platform.config).code == 0
        assert all_is_well(platform, retirement)


@contextmanager
def serving(environment: dict[str, str], platform: Platform) -> Iterator[None]:
    """`retirement serve` until the block ends."""
    command = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
    variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, env=variables, stdout=nowhere, stderr=nowhere) as process:
        try:
            yield
        finally:
            process.terminate()


def made_older(home: Path, runs: list[str]) -> None:
    """Puts an hour behind these runs, which is how long nobody wants to wait here."""
    with closing(psycopg.connect(databases.address(home / "engine"))) as database, database:
        database.execute(
            "UPDATE flow_run SET updated = updated - interval '1 hour' WHERE id = ANY(%s::uuid[])", (runs,)
        )


@pytest.fixture
def refused(tmp_path: Path, engine: str, retirement: Command) -> Any:
    """Three learners: one refused by the notes, two by the last step but one."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.configure(queue={"at_once": 1})
        platform.arm(
            {"path": "/edxnotes/v1/retire_user/", "method": "POST", "status": 409},
            {"path": "/retire_misc/", "method": "POST", "status": 409, "times": 2},
        )
        answer = retirement("retire-queue", "--json", "--config", platform.config)
        assert (answer.code, answer.document["outcomes"]) == (1, {"errored": 3})
        yield platform


def redriven(answer: Any) -> dict[int, tuple[str, str]]:
    return {each["learner"]: (each["what"], each["target"]) for each in answer.document["learners"]}


def test_redrive_shows_and_chooses_before_it_moves_anybody(refused: Platform, retirement: Command) -> None:
    """By step, class of error, learner and day; without a terminal it wants `--yes`, in one line."""

    def seen(*options: str) -> dict[int, tuple[str, str]]:
        answer = retirement("redrive", "--dry-run", "--json", *options, "--config", refused.config)
        assert answer.code == 0
        return redriven(answer)

    notes, misc = ("would-move", "FORUMS_COMPLETE"), ("would-move", "LICENSES_COMPLETE")
    assert seen() == {101: notes, 102: misc, 103: misc}
    assert seen("--step", "RETIRING_NOTES") == {101: notes}
    assert seen("--error", "Refused", "--limit", "2") == {101: notes, 102: misc}
    assert seen("--error", "Defect") == {}
    assert seen("--user-id", "103") == {103: misc}
    today = datetime.now(UTC)
    assert seen("--since", f"{today:%Y-%m-%d}", "--step", "RETIRING_LMS_MISC") == {102: misc, 103: misc}
    assert seen("--since", f"{today + timedelta(days=1):%Y-%m-%d}") == {}
    unknown = retirement("redrive", "--step", "RETIRING_NOTHING", "--config", refused.config)
    nobody_to_ask = retirement("redrive", "--config", refused.config)
    for answer, words in ((unknown, "RETIRING_NOTHING is no step"), (nobody_to_ask, "there is no terminal to ask at")):
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert words in answer.err
    assert set(refused.states().values()) == {"ERRORED"}


def test_redriven_learners_go_back_to_the_last_proved_end_state_and_are_retired(
    refused: Platform, retirement: Command
) -> None:
    """Which is not the state before ERRORED; the steps that were proved are not done again."""
    rows = {name: each["retirement"] for name, each in refused.state().items()}
    assert {each["last_state"] for each in rows.values()} == {"RETIRING_NOTES", "RETIRING_LMS_MISC"}
    one = retirement("redrive", "--yes", "--json", "--user-id", "101", "--config", refused.config)
    assert (one.code, redriven(one)) == (0, {101: ("moved", "FORUMS_COMPLETE")})
    assert list(refused.states().values()) == ["FORUMS_COMPLETE", "ERRORED", "ERRORED"]
    others = retirement("redrive", "--yes", "--json", "--config", refused.config)
    assert redriven(others) == dict.fromkeys((102, 103), ("moved", "LICENSES_COMPLETE"))
    finished = retirement("retire-queue", "--json", "--config", refused.config)

    assert (finished.code, finished.document["outcomes"]) == (0, {"retired": 3})
    results = {each["user_id"]: [step["result"] for step in each["steps"]] for each in finished.document["learners"]}
    assert {learner: steps.count("skipped") for learner, steps in results.items()} == {101: 2, 102: 7, 103: 7}
    assert all_is_well(refused, retirement)


def test_on_a_terminal_redrive_asks_and_takes_a_no(refused: Platform, environment: dict[str, str]) -> None:
    """It shows whom it would bring back; whoever says no has changed nothing."""
    no = at_a_terminal(environment, "n\n", "redrive", "--config", str(refused.config))
    assert "LICENSES_COMPLETE" in no
    assert "bring 3 learners back?" in no
    assert set(refused.states().values()) == {"ERRORED"}
    at_a_terminal(environment, "y\n", "redrive", "--config", str(refused.config))
    assert list(refused.states().values()) == ["FORUMS_COMPLETE", "LICENSES_COMPLETE", "LICENSES_COMPLETE"]


def at_a_terminal(environment: dict[str, str], typed: str, *arguments: str) -> str:
    """Runs a command whose user sits at a terminal; what it showed there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "retirement", *arguments]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        shown = b""
        with suppress(OSError):  # how Linux says that the other side is closed
            while more := os.read(ours, 4096):
                shown += more
        assert process.wait(60) == 0
    os.close(ours)
    return shown.decode()


def test_a_request_is_taken_back_by_whoever_may(tmp_path: Path, engine: str, retirement: Command) -> None:
    """The retirement worker hears that it may not; a learner who is further on, or gone, is said in one line."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        cancel = ("cancel", "--user-id", "101", "--config", platform.config)
        plain = retirement(*cancel)
        assert (plain.code, len(plain.err.splitlines())) == (2, 1)
        assert "answered 403: to cancel takes a superuser" in plain.err
        worker = platform.clients["worker"]
        platform.configure(lms=platform.clients["support"])
        done = retirement(*cancel)
        platform.configure(lms=worker)
        again = retirement(*cancel, "--json")
        queue = retirement("retire-queue", "--json", "--config", platform.config)
        late = retirement("cancel", "--user-id", "102", "--config", platform.config)

        assert (done.code, done.err) == (0, "")
        assert [each["retirement"] is None for each in platform.state().values()] == [True, False]
        assert queue.document["outcomes"] == {"retired": 1}
        assert not [each for each in platform.of_learners() if each["user_id"] == 101 and each["method"] == "PATCH"]
    assert (again.code, again.document["cancelled"]) == (1, False)
    assert (late.code, len(late.err.splitlines())) == (1, 1)
    assert "is in COMPLETE, not in PENDING" in late.err
