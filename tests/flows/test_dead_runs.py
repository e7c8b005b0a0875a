"""Runs whose process was killed come to an end in Prefect as well."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from retirement.flows.kit.automations import apply, silence_automations
from retirement.flows.kit.dead_runs import bury
from retirement.flows.kit.names import JOBS
from tests import locks, patient
from tests.flows.conftest import Platform, sandbox
from tests.flows.runs import learners_runs
from tests.patient import until

pytestmark = pytest.mark.dear(seconds=130)

LATER = timedelta(hours=1)


@pytest.fixture
def api(engine: str) -> Iterator[str]:
    """The server of the session, for Prefect's client in this process too; left without what was shortened here."""
    with locks.client(engine):
        yield engine
    for each in automations(engine):
        patient.delete(f"{engine}/automations/{each['id']}").raise_for_status()


def automations(api: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = patient.post(f"{api}/automations/filter", json={}).json()
    ours = {each["name"] for each in silence_automations()}
    return [each for each in found if each["name"] in ours]


def made(api: str, flow: str, kind: str = "RUNNING", **fields: Any) -> str:
    """A run of that flow in the state Running, or another one, without a process."""
    flow_id = patient.post(f"{api}/flows/", json={"name": flow}).json()["id"]
    body = {"flow_id": flow_id, "state": {"type": kind, "name": kind.capitalize()}, **fields}
    return str(patient.post(f"{api}/flow_runs/", json=body).raise_for_status().json()["id"])


def place(api: str, queue: str) -> str:
    """What stands for a learner's run in the graph of a queue run."""
    body = {"flow_run_id": queue, "task_key": "retire-learner", "dynamic_key": "900501"}
    return str(patient.post(f"{api}/task_runs/", json=body).raise_for_status().json()["id"])


def types(api: str, queue: str) -> dict[str, str]:
    """How the runs of learners stand that a queue run has made."""
    return {each["id"]: each["state"]["type"] for each in learners_runs(api, queue)}


def state(api: str, run: str) -> str:
    return str(patient.get(f"{api}/flow_runs/{run}").json()["state"]["type"])


def in_an_hour() -> datetime:
    return datetime.now(UTC) + LATER


def test_the_automation_is_made_once_and_brought_up_to_date(api: str) -> None:
    """However often somebody starts to serve, and after a change of its seconds."""
    for seconds in (700, 700, 800):
        asyncio.run(apply(seconds=seconds))

    assert [each["trigger"]["within"] for each in automations(api)] == [800, 800]


def test_the_file_is_what_the_prefect_command_takes(api: str, environment: dict[str, str]) -> None:
    """Applied as its first lines say; the next `serve` takes over what is there."""
    for each in automations(api):
        patient.delete(f"{api}/automations/{each['id']}").raise_for_status()
    command = ["prefect", "automation", "create", "--from-file", "deployments/automations/silent-runs.yaml"]
    subprocess.run(
        [sys.executable, "-m", *command], env={**environment, **locks.variables(api)}, check=True, capture_output=True
    )
    asyncio.run(apply())

    assert [each["trigger"]["within"] for each in automations(api)] == [600, 600]


def test_a_killed_run_becomes_crashed_after_its_silence(tmp_path: Path, environment: dict[str, str], api: str) -> None:
    """The queue run and the learners' runs below it, and no run that has ended by itself."""
    with sandbox(tmp_path, "--learners", "6", "--latency-ms", "150") as platform:
        serve = [sys.executable, "-m", "retirement", "serve", "--config", str(platform.config)]
        # Three heartbeats fit into the silence, so a run on a slow machine is not taken for dead before it is killed.
        variables = {**environment, "PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
        with subprocess.Popen(serve, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            name = f"{api}/deployments/name/retire-queue/queue-here"
            until(lambda: patient.get(name).status_code == 200)
            until(lambda: bool(automations(api)))
            asyncio.run(apply(seconds=100))
            body = {"state": {"type": "SCHEDULED"}}
            deployment = patient.get(name).json()["id"]
            queue = patient.post(f"{api}/deployments/{deployment}/create_flow_run", json=body).json()
            until(lambda: moved(platform) > 12)
            for each in (process, *psutil.Process(process.pid).children(recursive=True)):
                os.kill(each.pid, signal.SIGKILL)
        then = types(api, queue["id"])
        assert state(api, queue["id"]) == "RUNNING"
        assert "RUNNING" in then.values()

        until(lambda: state(api, queue["id"]) == "CRASHED" and "RUNNING" not in types(api, queue["id"]).values())
        assert "no sign of life" in patient.get(f"{api}/flow_runs/{queue['id']}").json()["state"]["message"]
        now = types(api, queue["id"])
        assert "CRASHED" in now.values()
        assert all(now[run] == ended for run, ended in then.items() if ended in ("COMPLETED", "CANCELLED", "FAILED"))


def test_a_run_that_died_before_its_first_heartbeat_becomes_crashed(api: str) -> None:
    """All that the server has ever heard of it is that it runs, or that a worker took it; of any flow of ours."""
    asyncio.run(apply(seconds=10))
    silent = [made(api, "retire-learner", kind, parameters={"user_id": 900_700}) for kind in ("RUNNING", "PENDING")]
    silent += [made(api, flow, kind, tags=["retirement"]) for flow in JOBS for kind in ("RUNNING", "PENDING")]
    foreign = [made(api, flow) for flow in JOBS]

    until(lambda: {state(api, each) for each in silent} == {"CRASHED"})
    assert {state(api, each) for each in foreign} == {"RUNNING"}


def test_runs_without_a_living_learner_are_buried_over_all_pages(api: str) -> None:
    """Those that somebody holds stay, and so does a queue run with one of them below it."""
    dead = [made(api, "retire-learner", parameters={"user_id": 900_000 + number}) for number in range(7)]
    living = made(api, "retire-learner", parameters={"user_id": 900_500})
    queue_of_the_dead, queue = made(api, "retire-queue"), made(api, "retire-queue")
    below = made(api, "retire-learner", parameters={"user_id": 900_501}, parent_task_run_id=place(api, queue))

    async def is_alive(user_id: int) -> bool:
        return not 900_000 <= user_id < 900_007

    assert asyncio.run(bury(lambda _: False, live=(), quiet=LATER)) == []
    buried = asyncio.run(bury(is_alive, live=(), now=in_an_hour, page=3))

    assert sorted(buried) == list(range(900_000, 900_007))
    assert {state(api, each) for each in (*dead, queue_of_the_dead)} == {"CRASHED"}
    assert {state(api, each) for each in (living, queue, below)} == {"RUNNING"}
    rest = asyncio.run(bury(lambda user_id: user_id < 900_000, live=(), now=in_an_hour))
    assert (set(rest), state(api, queue)) == ({900_500, 900_501}, "CRASHED")


def test_a_queue_run_that_waits_for_an_answer_is_not_buried(api: str) -> None:
    """It has no learner's run below it for hours; that it lives its lease says."""
    queue = made(api, "retire-queue")

    for live, seen in (("queue",), "RUNNING"), ((), "CRASHED"):
        asyncio.run(bury(lambda _: True, live=live, now=in_an_hour))
        assert state(api, queue) == seen


def test_jobs_without_their_lease_are_buried_and_pending_ones_too(api: str) -> None:
    """One that has no lease after hours only, and neither the run that looks nor one of another team."""
    jobs = {
        (flow, kind): made(api, flow, kind, tags=["retirement"]) for flow in JOBS for kind in ("RUNNING", "PENDING")
    }
    foreign, own = made(api, "cleanup"), jobs["reconcile", "RUNNING"]

    def stand() -> dict[tuple[str, str], str]:
        return {job: state(api, run) for job, run in jobs.items()}

    live = {lease for lease in JOBS.values() if lease}
    asyncio.run(bury(lambda _: True, live={"queue", *live}, now=in_an_hour))
    assert stand() == {(flow, kind): kind for flow, kind in jobs}
    asyncio.run(bury(lambda _: True, live={"queue"}, now=in_an_hour))
    assert stand() == {(flow, kind): "CRASHED" if JOBS[flow] else kind for flow, kind in jobs}
    asyncio.run(bury(lambda _: True, live={"queue"}, own=UUID(own), now=lambda: datetime.now(UTC) + timedelta(days=1)))
    assert stand() == {job: "RUNNING" if run == own else "CRASHED" for job, run in jobs.items()}
    assert state(api, foreign) == "RUNNING"


def moved(platform: Platform) -> int:
    return sum(each["method"] == "PATCH" for each in platform.requests())
