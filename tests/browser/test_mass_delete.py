"""The mass-delete drill in a real browser: five hundred are queued, and a person decides on the run's page."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page
from sqlalchemy import create_engine, text

from tests import locks
from tests.browser.pages import signed_in
from tests.flows.conftest import HOLD_AN_ENGINE, Platform, sandbox
from tests.flows.runs import Runs, queue_runs
from tests.flows.test_guard import is_untouched
from tests.patient import PATIENCE

pytestmark = pytest.mark.dear(seconds=130)

SCREENSHOTS = Path("build-output")


@pytest.fixture(scope="module")
def environment(page: Page) -> Iterator[dict[str, str]]:
    """A server of our own, and what the commands see."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "RETIREMENT_"))}
    # The account of PostgreSQL has to reach the folder, and another session of pytest closes pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="retirement-browser-"))
    folder.chmod(0o755)
    variables = {**kept, "RETIREMENT_HOME": str(folder)}
    command = [sys.executable, "-c", HOLD_AN_ENGINE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        api = locks.learn(process.stdout.readline().strip(), folder)
        signed_in(page, api, folder)
        yield {**variables, "API": api}
        process.terminate()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def queued(folder: Path, environment: dict[str, str]) -> Iterator[tuple[Platform, Runs, "subprocess.Popen[str]"]]:
    """Five hundred learners, and a queue run at the defaults that somebody has begun."""
    api = environment["API"]
    runs = Runs(api, frozenset(each["id"] for each in queue_runs(api)))
    with sandbox(folder, "--learners", "500") as platform:
        # An overdue learner among those that are left would give exit code 1.
        platform.configure(deadline_days=60)
        command = [sys.executable, "-m", "retirement", "retire-queue", "--json", "--config", str(platform.config)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                yield platform, runs, process
            finally:
                process.kill()


def form_of(page: Page, api: str, run: str) -> Locator:
    """Opens the run's page as the terminal names it, and the form behind its button."""
    page.goto(f"{api.removesuffix('/api')}/runs/flow-run/{run}")
    page.get_by_role("button", name="Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text("of the 500 learners who wait?").wait_for()
    return form


def say(form: Locator, reason: str) -> None:
    form.get_by_role("textbox").nth(0).fill("Ada Operator")
    form.get_by_role("textbox").nth(1).fill(reason)


def decisions(folder: Path) -> list[tuple[str, str, str, int]]:
    """Answer, approver, reason and number as the ledger has them."""
    engine = create_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT answer, approver, reason, at_most FROM decision")).all()
    engine.dispose()
    return [tuple(row) for row in found]


def test_five_hundred_are_called_only_after_a_person_has_said_how_many(
    page: Page, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Resume, switch, name, reason, five; then five are COMPLETE and everybody else is as before."""
    with queued(tmp_path, environment) as (platform, runs, process):
        run = runs.asking()
        assert is_untouched(platform)
        form = form_of(page, environment["API"], run)
        assert form.get_by_text("500 learners wait, more than queue.threshold, which is 300").first.is_visible()
        form.get_by_role("switch").or_(form.get_by_role("checkbox")).first.locator(
            "xpath=ancestor-or-self::label[1]"
        ).click()
        say(form, "the campus closed a programme")
        form.locator("input[type=number]").fill("5")
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "mass-delete-form.png")
        assert is_untouched(platform)
        form.get_by_role("button", name="Submit").click()
        out, _ = process.communicate(timeout=PATIENCE)

        assert process.returncode == 0
        assert json.loads(out)["outcomes"] == {"retired": 5}
        assert sorted(platform.states().values()) == ["COMPLETE"] * 5 + ["PENDING"] * 495
        assert len({each["user_id"] for each in platform.of_learners()}) == 5
        assert platform.residue() == []
    assert decisions(tmp_path) == [("approved", "Ada Operator", "the campus closed a programme", 5)]


@pytest.mark.nightly  # by day tests/flows/test_guard.py says no to five hundred, without a browser
def test_a_form_that_is_sent_with_approve_off_leaves_all_five_hundred(
    page: Page, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The run ends as GuardStopped, exit code 3; who said no is in the ledger."""
    with queued(tmp_path, environment) as (platform, runs, process):
        run = runs.asking()
        form = form_of(page, environment["API"], run)
        say(form, "nobody announced this")
        form.get_by_role("button", name="Submit").click()
        process.communicate(timeout=PATIENCE)

        assert process.returncode == 3
        assert runs.state(run) == "GuardStopped"
        assert is_untouched(platform)
        assert len(platform.states()) == 500
    assert decisions(tmp_path)[0][:3] == ("rejected", "Ada Operator", "nobody announced this")
