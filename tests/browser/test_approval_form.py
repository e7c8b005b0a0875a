"""The form that a paused run shows in Prefect's UI: what it says, what it refuses, and that its answer arrives."""

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

from tests import databases, locks, patient
from tests.browser.pages import signed_in
from tests.flows.conftest import HOLD_AN_ENGINE
from tests.flows.runs import shows_a_form
from tests.patient import PATIENCE, until

pytestmark = pytest.mark.dear(seconds=50)

SCREENSHOTS = Path("build-output")
NAME = "asks-in-the-ui"


@pytest.fixture(scope="module")
def api(page: Page) -> Iterator[str]:
    """A server of our own, and a run on it that asks for an approval."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "RETIREMENT_"))}
    command = [sys.executable, "-c", HOLD_AN_ENGINE]
    with ExitStack() as stack:
        environment = {**kept, "RETIREMENT_HOME": str(stack.enter_context(databases.open_folder("retirement-form-")))}
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        assert process.stdout is not None
        url = locks.learn(process.stdout.readline().strip(), environment["RETIREMENT_HOME"])
        signed_in(page, url, environment["RETIREMENT_HOME"])
        asking = [sys.executable, "-m", "tests.flows.asking", NAME, str(PATIENCE)]
        with subprocess.Popen(asking, env={**environment, **locks.variables(url)}) as run:
            yield url
            run.kill()
        process.terminate()


def asking(api: str, *types: str) -> dict[str, Any]:
    """The run, once its state is of one of these types."""
    body = {"flow_runs": {"name": {"any_": [NAME]}, "state": {"type": {"any_": types}}}}

    def reached() -> dict[str, Any] | None:
        found = patient.post(f"{api}/flow_runs/filter", json=body).json()
        return next((run for run in found if types != ("PAUSED",) or shows_a_form(api, run)), None)

    run: dict[str, Any] = until(reached)
    return run


def test_the_form_in_the_ui_explains_itself_and_its_answer_reaches_the_run(page: Page, api: str) -> None:
    """Guards, depth and fields are there to read; a number above the depth is refused; a yes retires as many."""
    run = asking(api, "PAUSED")
    page.goto(f"{api.removesuffix('/api')}/runs/flow-run/{run['id']}")
    page.get_by_role("button", name="Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text("Retire 5 of the 12 learners who wait?").wait_for()
    for text in (
        "12 learners wait, more than the threshold of 10",
        "Retiring cannot be undone.",
        "Your name",
        "Reason",
    ):
        assert form.get_by_text(text).first.is_visible()
    form.get_by_role("switch").or_(form.get_by_role("checkbox")).first.locator(
        "xpath=ancestor-or-self::label[1]"
    ).click()
    form.get_by_role("textbox").nth(0).fill("Ada Operator")
    form.get_by_role("textbox").nth(1).fill("the campus closed a programme")
    number = form.locator("input[type=number]")
    number.fill("13")
    SCREENSHOTS.mkdir(exist_ok=True)
    form.get_by_role("button", name="Submit").click()
    page.get_by_text("13 is greater than the maximum of 12").first.wait_for()
    assert asking(api, "PAUSED")
    number.fill("3")
    page.screenshot(path=SCREENSHOTS / "approval-form.png")
    form.get_by_role("button", name="Submit").click()
    ended = asking(api, "COMPLETED", "CANCELLED", "FAILED")

    assert ended["state"]["name"] == "Approved"
    assert json.loads(ended["state"]["message"]) == [
        {
            "answer": "approved",
            "approver": "Ada Operator",
            "reason": "the campus closed a programme",
            "at_most": 3,
            "by": "form",
        }
    ]
