"""What an operator sees in Prefect's UI after the demo."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from retirement.sandbox.pipelines import PIPELINES
from tests import databases, locks, patient
from tests.browser.pages import painted, signed_in

pytestmark = pytest.mark.dear(seconds=140)

SCREENSHOTS = Path("build-output")


@pytest.fixture(scope="module")
def demo(page: Page) -> Iterator[dict[str, Any]]:
    """`retirement demo` as a newcomer runs it, staying up; what it printed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "RETIREMENT_"))}
    command = [sys.executable, "-m", "retirement", "demo", "--json"]
    with ExitStack() as stack:
        environment = {**kept, "RETIREMENT_HOME": str(stack.enter_context(databases.open_folder("retirement-demo-")))}
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        found: dict[str, Any] = json.loads(text)
        locks.learn(found["ui"], environment["RETIREMENT_HOME"])
        signed_in(page, found["ui"], environment["RETIREMENT_HOME"])
        yield found
        process.terminate()


def test_the_graph_of_a_run_shows_the_nine_steps_by_name(page: Page, demo: dict[str, Any]) -> None:
    """The page of one learner's run draws the pipeline, step after step, under its named end."""
    ui, found = demo["ui"], patient.post(f"{demo['ui']}/api/flow_runs/filter", json=named("learner-105")).json()
    names = [step["start"] for step in PIPELINES["default"]]
    graph = patient.get(f"{ui}/api/flow_runs/{found[0]['id']}/graph-v2").json()

    page.goto(f"{ui}/runs/flow-run/{found[0]['id']}")
    page.get_by_text("9 Task runs").wait_for()
    painted(page)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "learner-run.png")
    page.get_by_text("Task Runs", exact=True).click()
    for name in names:
        page.get_by_text(name, exact=True).first.wait_for()

    assert page.get_by_text("Retired").count() >= 1
    nodes = {node["label"]: node for _, node in graph["nodes"]}
    assert sorted(nodes) == sorted(names)
    ids = {node["id"]: label for label, node in nodes.items()}
    before = {label: {ids[parent["id"]] for parent in node["parents"]} for label, node in nodes.items()}
    assert before == {name: set(names[place - 1 : place] if place else []) for place, name in enumerate(names)}


def test_the_page_of_the_queue_run_shows_the_learners_and_the_table(page: Page, demo: dict[str, Any]) -> None:
    """Every learner's run hangs below the queue run; the end is a table artifact."""
    page.goto(f"{demo['ui']}/runs/flow-run/{demo['flow_run']}")
    page.get_by_text("Subflow Runs", exact=True).click()
    page.get_by_text("25 Flow runs").wait_for()
    page.screenshot(path=SCREENSHOTS / "queue-run.png")
    page.goto(f"{demo['ui']}/artifacts/key/retirement-queue")
    page.get_by_text("retirement-queue").first.wait_for()
    page.screenshot(path=SCREENSHOTS / "queue-table.png")

    assert demo["outcomes"] == {"retired": 25}
    assert demo["residue"] == []
    body = {"artifacts": {"key": {"any_": ["retirement-queue"]}}}
    artifacts = patient.post(f"{demo['ui']}/api/artifacts/filter", json=body).json()
    assert [row["learner"] for row in json.loads(artifacts[0]["data"])] == list(range(101, 126))


def named(name: str) -> dict[str, Any]:
    return {"flow_runs": {"name": {"any_": [name]}}}
