"""Questions that outlive what asked them: a command that does not wait, a process and a server that are killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from retirement.errors import BusyElsewhere
from retirement.ledger import Lease, Ledger, opened, question_scope
from tests import locks, patient
from tests.flows.conftest import (
    HOLD_AN_ENGINE,
    Answer,
    Command,
    Flow,
    Platform,
    Start,
    StartApart,
    sandbox,
    the_server,
    without_ours,
)
from tests.flows.runs import Runs
from tests.patient import PATIENCE, until

pytestmark = pytest.mark.dear(seconds=220)

WHO = ("--approver", "Ada Operator", "--reason", "the campus closed a programme")

#: Starts Prefect's server of a home again, as `serve` does.
RESTART = """
import asyncio, json
from retirement.flows.kit.server import PrefectServer, restart
from retirement.process import home

asyncio.run(restart(PrefectServer(**json.loads((home() / "engine" / "engine.json").read_text()))))
"""


def asking_site(platform: Platform) -> None:
    """A guard that asks about two learners already, and leases that a killed run does not keep for long."""
    # A run that leaves a learner who is overdue does not end with 0.
    platform.configure(queue={"threshold": 1}, lease_seconds=15, deadline_days=60)


def complete(platform: Platform) -> int:
    return list(platform.states().values()).count("COMPLETE")


def test_a_command_without_terminal_leaves_its_question_to_the_next(
    tmp_path: Path, own_home: Path, retirement: Command
) -> None:
    """Exit code 3 with the command that answers; the answer needs no server, and the next command acts on it."""
    at_home = {"RETIREMENT_HOME": str(own_home)}
    with sandbox(tmp_path, "--learners", "3") as platform:
        asking_site(platform)
        config = ("--config", platform.config)
        asked = retirement("retire-queue", *config, **at_home)
        (question,) = retirement("status", "--json", *config).document["questions"]
        number = question["question"]
        early = complete(platform)
        unknown = retirement("approve", "4711", *WHO, *config)
        said = retirement("approve", str(number), *WHO, "--at-most", "2", *config)
        after = retirement("retire-queue", "--json", *config, **at_home)
        (spent,) = retirement("status", "--json", *config).document["questions"]

        assert (asked.code, early) == (3, 0)
        assert f"`retirement approve {number} --approver NAME --reason WHY` (with `--at-most N`" in asked.err
        assert "the next queue run acts on it" in asked.err
        assert (question["answer"], question["learners"], question["at_most"]) == ("open", 3, 3)
        assert (unknown.code, f"there is no question 4711; open are: {number}" in unknown.err) == (2, True)
        assert said.code == 0
        assert f"question {number}: approved; no run waits for it any more: the next queue run acts on it" in said.out
        assert after.code == 0, after.document
        assert (after.document["outcomes"], complete(platform)) == ({"retired": 2}, 2)
        assert (spent["answer"], spent["acted_on_by"]) == ("approved", after.document["flow_run"])


def test_an_answer_to_a_killed_run_counts_for_the_next(
    tmp_path: Path, engine: str, runs: Runs, retirement: Command, start: Start, flow: Flow
) -> None:
    """By the form on its page, which another run reads, and by the command, which says that the run is dead."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        asking_site(platform)
        config = ("--config", platform.config)
        first = killed(runs, start, platform)
        form = {"approve": True, "approver": "Ada Operator", "reason": "known", "how_many": 1}
        body = {"run_input": form}
        assert patient.post(f"{engine}/flow_runs/{first}/resume", json=body).json()["status"] == "ACCEPT"
        by_form = once_free(retirement, platform)
        assert by_form.document["outcomes"] == {"retired": 1}
        assert runs.state(first) == "GuardStopped"
        assert inputs(engine, first) == []

        second = killed(runs, start, platform)
        said = retirement("approve", second, *WHO, *config)
        assert (said.code, "no run waits for it any more" in said.out) == (0, True)
        late = retirement("reject", second, *WHO, *config)
        assert (late.code, "was approved already, by Ada Operator" in late.err) == (2, True)
        flow("reconcile", config=platform.config)
        assert (runs.state(second), inputs(engine, second)) == ("GuardStopped", [])
        by_command = once_free(retirement, platform)
        assert (by_command.document["outcomes"], complete(platform)) == ({"retired": 2}, 3)


def test_an_answer_is_not_lost_to_a_run_that_cannot_have_the_question_yet(
    tmp_path: Path, engine: str, runs: Runs, retirement: Command, start: Start
) -> None:
    """A dead run's lease of the queue may end before its lease of the question: the form stays that of the dead run."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        asking_site(platform)
        first = killed(runs, start, platform)
        body = {"run_input": {"approve": True, "approver": "Ada Operator", "reason": "known", "how_many": 1}}
        assert patient.post(f"{engine}/flow_runs/{first}/resume", json=body).json()["status"] == "ACCEPT"
        refused = asyncio.run(while_the_question_is_held(platform, retirement))
        by_form = once_free(retirement, platform)

    assert (refused.code, "another run has question " in refused.err) == (4, True), refused.err
    assert by_form.document["outcomes"] == {"retired": 1}


async def while_the_question_is_held(platform: Platform, retirement: Command) -> Answer:
    """What a queue run says while another process has the question, but not the queue."""
    async with opened(platform.ledger) as ledger:
        (asked,) = await ledger.decisions.find(open_only=True)
        lease = await until_free(ledger, question_scope(asked.id))
        await ledger.leases.release(await until_free(ledger, "queue"))
        command = ("retire-queue", "--json", "--config", platform.config)
        refused: Answer = await asyncio.to_thread(retirement, *command)
        await ledger.leases.release(lease)
    return refused


async def until_free(ledger: Ledger, scope: str) -> Lease:
    """A lease once the dead run has it no more."""
    while True:
        with suppress(BusyElsewhere):
            return await ledger.leases.take(scope, what=scope.replace(":", " "))
        await asyncio.sleep(0.1)


def killed(runs: Runs, start: Start, platform: Platform) -> str:
    """A queue run whose process was killed while it asked."""
    started = start("retire-queue", "--json", "--config", platform.config)
    run = runs.asking()
    started.kill()
    return run


def once_free(retirement: Command, platform: Platform) -> Answer:
    """The first queue run after the lease of the dead one."""

    def tried() -> Answer | None:
        ended = retirement("retire-queue", "--json", "--config", platform.config)
        return None if ended.code == 4 else ended

    ended: Answer = until(tried)
    assert ended.code == 0, ended.err
    return ended


def inputs(api: str, run: str) -> object:
    """What Prefect keeps of form and answer."""
    return patient.post(f"{api}/flow_runs/{run}/input/filter", json={"prefix": "", "limit": 9}).json()


@contextmanager
def held_engine(home: Path) -> Iterator[str]:
    """The API of an engine in a home of its own, which stays up beside the commands."""
    environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(home)}
    command = [sys.executable, "-c", HOLD_AN_ENGINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield locks.learn(process.stdout.readline().strip(), environment["RETIREMENT_HOME"])
        process.terminate()


def test_a_question_outlives_the_server_that_shows_it(
    tmp_path: Path, own_home: Path, retirement: Command, start_apart: StartApart
) -> None:
    """Killed and started again while the run asks: the answer afterwards reaches the run, which goes on."""
    at_home = {"RETIREMENT_HOME": str(own_home)}
    with sandbox(tmp_path, "--learners", "2") as platform, held_engine(own_home) as api:
        asking_site(platform)
        run = start_apart("retire-queue", "--json", "--config", platform.config, **at_home)
        asking = Runs(api, frozenset()).asking()
        os.kill(the_server(own_home), signal.SIGKILL)
        restart = [sys.executable, "-c", RESTART]
        subprocess.run(restart, env={**without_ours(os.environ), **at_home}, check=True, timeout=PATIENCE)
        said = retirement("approve", asking, *WHO, "--config", platform.config)
        ended = run.ended()

        assert (said.code, f"run {asking} goes on" in said.out) == (0, True)
        assert (ended.code, json.loads(ended.out)["outcomes"]) == (0, {"retired": 2})
        assert Runs(api, frozenset()).state(asking) == "Retired"
