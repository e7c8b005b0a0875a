"""The task run above the runs of all learners of a queue run has the states that the queue run gives it alone."""

from pathlib import Path

import pytest

from retirement.flows.kit.names import OF_LEARNER
from tests import patient
from tests.flows.conftest import Command, sandbox
from tests.flows.test_dead_runs import made, place


def states(api: str, place: str) -> list[str]:
    """The names of the states of a task run, the first one first."""
    found = patient.get(f"{api}/task_run_states/", params={"task_run_id": place}).raise_for_status().json()
    return [each["name"] for each in sorted(found, key=lambda each: str(each["timestamp"]))]


def above(api: str, queue: str) -> str:
    """The one task run of a queue run."""
    body = {"flow_runs": {"id": {"any_": [queue]}}}
    [found] = patient.post(f"{api}/task_runs/filter", json=body).raise_for_status().json()
    return str(found["id"])


@pytest.mark.parametrize("moves", ["each", "merged"])
def test_it_runs_while_learners_are_retired_and_then_has_ended(
    tmp_path: Path, engine: str, retirement: Command, moves: str
) -> None:
    """Not the states of whichever learner changed last."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.configure(lms={"moves": moves})
        answer = retirement("retire-queue", "--json", "--config", platform.config)

    assert answer.document["outcomes"] == {"retired": 3}, answer.out + answer.err
    assert states(engine, above(engine, answer.document["flow_run"])) == ["Running", "Ended"]


LEARNERS = [*OF_LEARNER]


def subflow(api: str, task_run: str, tags: list[str], *, deployed: bool) -> str:
    """A flow run below a task run that is Running, made by itself or of a deployment."""
    fields = {"tags": tags, "parent_task_run_id": task_run}
    if not deployed:
        return made(api, "below", **fields)
    flow = patient.post(f"{api}/flows/", json={"name": "below"}).raise_for_status().json()["id"]
    deployment = patient.post(f"{api}/deployments/", json={"name": "below", "flow_id": flow}).raise_for_status()
    body = {"state": {"type": "RUNNING", "name": "Running"}, **fields}
    found = patient.post(f"{api}/deployments/{deployment.json()['id']}/create_flow_run", json=body).raise_for_status()
    return str(found.json()["id"])


@pytest.mark.parametrize(
    ("tags", "deployed", "end", "after"),
    [
        (LEARNERS, False, "COMPLETED", ["Pending"]),
        ([*LEARNERS, "outcome:retired"], False, "COMPLETED", ["Pending"]),
        (LEARNERS, False, "CRASHED", ["Pending", "Crashed"]),
        (LEARNERS, True, "COMPLETED", ["Pending", "Running", "Completed"]),
        (LEARNERS[:1], False, "COMPLETED", ["Pending", "Running", "Completed"]),
        ([], False, "COMPLETED", ["Pending", "Running", "Completed"]),
    ],
)
def test_the_task_run_above_any_other_subflow_follows_it_as_prefect_says(
    engine: str, tags: list[str], deployed: bool, end: str, after: list[str]
) -> None:
    """Ours leaves out the runs of learners, also once they have an outcome, and no other run with our tags."""
    task_run = place(engine, made(engine, "of-somebody"))
    below = subflow(engine, task_run, tags, deployed=deployed)

    ended = {"state": {"type": end, "name": end.capitalize()}}
    patient.post(f"{engine}/flow_runs/{below}/set_state", json=ended).raise_for_status()

    assert states(engine, task_run) == after
