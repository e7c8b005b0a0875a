"""`prefect deploy` of `prefect.yaml` on a server of one's own: what is deployed, and what a person has switched off."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import locks, patient
from tests.flows.conftest import without_ours

pytestmark = pytest.mark.dear(seconds=40)

ROOT = Path(__file__).parents[2]
DECLARED = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.fixture
def deployed(engine: str) -> Iterator[str]:
    """A server with the work pool that `prefect.yaml` names; what was deployed is taken away again."""
    template = json.loads((ROOT / "deployments" / "work-pool.json").read_text(encoding="utf-8"))
    pool = {"name": "retirement", "type": "process", "base_job_template": template}
    patient.post(f"{engine}/work_pools/", json=pool).raise_for_status()
    yield engine
    patient.delete(f"{engine}/work_pools/retirement").raise_for_status()
    for each in found(engine):
        patient.delete(f"{engine}/deployments/{each['id']}").raise_for_status()


def found(api: str) -> list[dict[str, Any]]:
    """The deployments of the work pool's names."""
    body = {"deployments": {"name": {"any_": [each["name"] for each in DECLARED]}}}
    deployments: list[dict[str, Any]] = patient.post(f"{api}/deployments/filter", json=body).raise_for_status().json()
    return deployments


def deploy(api: str, home: Path) -> None:
    """What an operator runs in the checkout."""
    variables = {**locks.variables(api), "PREFECT_HOME": str(home), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(
        command, env={**without_ours(os.environ), **variables}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def switch_off(api: str, address: str) -> None:
    """What the switch beside a schedule does."""
    url = f"{api}/deployments/{address}"
    patient.patch(url, json={"active": False}).raise_for_status()


def test_what_a_person_has_switched_off_stays_off_after_the_next_deployment(deployed: str, tmp_path: Path) -> None:
    """By the switch of a schedule; what nobody touched is as `prefect.yaml` has it."""
    deploy(deployed, tmp_path)
    before = {each["name"]: each for each in found(deployed)}
    queue = before["queue"]
    switch_off(deployed, f"{queue['id']}/schedules/{queue['schedules'][0]['id']}")
    deploy(deployed, tmp_path)
    after = {each["name"]: each for each in found(deployed)}

    assert before.keys() == after.keys() == {each["name"] for each in DECLARED}
    assert all(each["tags"] and each["description"] for each in after.values())
    schedules = {
        name: [(each["slug"], each["active"], each["schedule"]["cron"]) for each in deployment["schedules"]]
        for name, deployment in after.items()
        if deployment["schedules"]
    }
    assert schedules == {
        "queue": [("queue", False, "0 4 * * *")],
        "reconcile": [("reconcile", True, "7 * * * *")],
        "verify": [("verify", True, "37 * * * *")],
    }


@pytest.mark.parametrize(
    "given", [{"env": {"RETIREMENT_CONFIG": "/srv/other.yaml"}}, {"command": "id"}, {"working_dir": "/srv"}]
)
def test_a_run_brings_no_variables_to_a_worker(deployed: str, tmp_path: Path, given: dict[str, Any]) -> None:
    """The template of the pool has none, so the server refuses those of a run."""
    deploy(deployed, tmp_path)
    doctor = next(each["id"] for each in found(deployed) if each["name"] == "doctor")
    refused = patient.post(f"{deployed}/deployments/{doctor}/create_flow_run", json={"job_variables": given})

    assert refused.status_code == 422, refused.text
