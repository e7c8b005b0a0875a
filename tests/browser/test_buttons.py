"""Every button of Prefect's UI on every kind of run, clicked in Chromium: the table in `buttons` is what follows."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page

from retirement.ledger import verify
from tests.browser.buttons import (
    ASKING,
    BELOW,
    BUTTONS,
    DEPLOYMENT,
    FLOWS,
    MANUAL,
    NOT_OFFERED,
    PAGE,
    SIGNED,
    WITH_A_FORM,
    page,
)
from tests.browser.pages import Ui, signed_in, switch_on
from tests.flows.conftest import Platform, sandbox
from tests.flows.runs import learners_runs
from tests.flows.test_manual import SAID, Forms, task
from tests.flows.test_watchdog import serving
from tests.patient import PATIENCE, until
from tests.ports import free_port

pytestmark = pytest.mark.dear(seconds=330)

Result = TypeVar("Result")

ENDS = {each.name: each for each in BUTTONS}
#: Seconds of each answer while runs are to go on, so that a button is there to be clicked.
SLOW_SECONDS = 10
#: A learner whom no run meets, so that the holds of these tests keep none back.
NO_LEARNER = 999_999
SERVICES = ("lms", "amplitude", "braze", "hubspot", "segment", "salesforce", "zendesk", "mailchimp", "keycloak")


def seed() -> dict[str, Any]:
    """Learners whose cool-off is over and whose deadline is not."""
    names = [f"canary-{number}" for number in range(12)]
    people = [{"username": each, "email": f"{each}@canary.example", "name": "Canary Person"} for each in names]
    return {"learners": [{**each, "state": "PENDING", "requested_days_ago": 10} for each in people]}


@dataclass
class Stage:
    """One site below one `serve`, and the browser before it. `run` holds a run of each kind that has ended well."""

    ui: Ui
    platform: Platform
    run: dict[str, str] = field(default_factory=dict)

    @property
    def given(self) -> dict[str, dict[str, Any]]:
        """What the form of a flow is filled in with, where it has to be."""
        return {
            "hold": {"user_id": NO_LEARNER, "until": "2999-12-31"},
            "breaker": {"service": "CREDENTIALS", "stop_calling": False},
        }

    def ended(self, flow: str, run: str) -> str:
        """Answers what a run asks, and waits for the end; the name of the state."""
        if flow in SIGNED:
            until(lambda: self.ui.asks_now(run, "signed") or self.ui.is_over(run))
            if not self.ui.is_over(run):
                self.signs(run)
        if flow == "learner":
            self._asked(run, "which-learner")
            user_id = self.platform.user_id("canary-11")
            self.ui.page.get_by_role("dialog").get_by_role("textbox").first.fill(str(user_id))
            self.ui.confirm("Submit")
            self._asked(run, "confirm-learner")
            switch_on(self.ui.page.get_by_role("dialog"))
            self.ui.confirm("Submit")
        return self.ui.ended(run)[0]

    def signs(self, run: str) -> None:
        """Fills in who does what a run asks about, and why."""
        self._asked(run, "signed")
        form = self.ui.page.get_by_role("dialog")
        switch_on(form)
        form.get_by_role("textbox").nth(0).fill("night shift")
        form.get_by_role("textbox").nth(1).fill("a court asks")
        self.ui.confirm("Submit")

    def _asked(self, run: str, form: str) -> None:
        """Opens the form of that kind on the page of a run, once it is there."""
        self.ui.asks(run, form)
        self.ui.open_run(run)
        self.ui.button("Resume").click()
        dialog = self.ui.page.get_by_role("dialog")
        dialog.get_by_role("textbox").or_(dialog.get_by_text("learner")).first.wait_for()

    def quick_run(self, name: str) -> str:
        """The run that *Quick run* starts."""
        before = self.ui.runs_of(name)
        self.ui.open_deployment(name)
        self.ui.button("Run").click()
        self.ui.page.get_by_text("Quick run", exact=True).click()
        if name in WITH_A_FORM:
            dialog = self.ui.page.get_by_role("dialog")
            dialog.get_by_text("Parameters").first.wait_for()
            dialog.locator(".schema-form-property textarea").first.fill(str(next(iter(self.given[name].values()))))
            self.ui.confirm("Run")
        return self.ui.begun(name, before)

    def custom_run(self, name: str) -> str:
        """The run that the form of *Custom run* starts."""
        before = self.ui.runs_of(name)
        # As the links of our pages open it: filled in, since some fields are no more than a calendar.
        self.ui.open_deployment(name, f"/run?parameters={quote(json.dumps(self.given.get(name, {})))}")
        self._form(name)
        with self.ui.moving():
            self.ui.button("Submit").click()
        return self.ui.begun(name, before)

    def _form(self, name: str) -> None:
        """Waits for the form of a new run; a flow without parameters has none to validate."""
        asks = self.ui.deployment(name)["parameter_openapi_schema"]["properties"]
        words = "Validate parameters" if asks else "Additional Options"
        self.ui.page.get_by_text(words).first.wait_for()

    def copied(self, name: str) -> str:
        """The run that *Copy to new run* starts from the one that has ended."""
        before = self.ui.runs_of(name)
        self.ui.open_run(self.run[name])
        self.ui.menu("Copy to new run")
        self._form(name)
        with self.ui.moving():
            self.ui.button("Submit").click()
        return self.ui.begun(name, before)

    def slow(self, *, on: bool) -> None:
        """Has each service take its time, so that runs go on until they are told to stop."""
        delay = {"path": "", "times": 100_000, "delay_s": SLOW_SECONDS}
        self.platform.arm(*({**delay, "service": each} for each in SERVICES if on))

    def started(self, name: str) -> str:
        """A run that has begun, by the API."""
        learner = {"user_id": self.platform.user_id("canary-10"), "ask_first": False}
        given = {"learner": learner, "verify": {"every": True}, "cleanup": {"dry_run": False}}
        run = self.ui.started(name, **(given | self.given).get(name, {}))
        if name in SIGNED:
            self.ui.asks(run)
        else:
            self.ui.reached(run, "RUNNING")
        return run

    def asking(self) -> str:
        """A queue run that asks, since more learners wait than are usual."""
        self.platform.configure(queue={"threshold": 1, "limit": 1})
        run = self.ui.started("queue")
        self.ui.asks(run)
        self.platform.configure(queue={"threshold": 300, "limit": 1})
        return run


@pytest.fixture(scope="module")
def stage(page: Page) -> Iterator[Stage]:
    """A site of twelve learners with every connector; each queue run takes one of them."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="retirement-buttons-"))
        # The account of PostgreSQL has to reach the folder.
        home.chmod(0o755)
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        reports = home / "reports"
        reports.mkdir(mode=0o700)
        (reports / "usernames.csv").write_text("current,desired\n", encoding="utf-8")
        platform = stack.enter_context(sandbox(home, "--pipeline", "all", seed=seed()))
        platform.configure(
            queue={"limit": 1},
            lease_seconds=15,
            **dict.fromkeys(("partner_reports", "username_replacements"), str(reports)),
            partners={"expire_days": 90},
            ledger={"text_days": 365},
            schedule="0 4 * * *",
            reconcile_schedule=None,
            verify_schedule=None,
        )
        port = free_port()
        stack.enter_context(serving(home, platform, port, PREFECT_RUNNER_POLL_FREQUENCY="1"))
        signed_in(page, f"http://127.0.0.1:{port}", home)
        yield Stage(Ui(page, f"http://127.0.0.1:{port}/api"), platform)


def test_the_page_for_operators_is_this_table() -> None:
    """`python -m tests.browser.buttons` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


#: Every flow in the night, and the quickest of them at each commit: a run takes seconds to start.
EACH_FLOW = [flow if flow == "reconcile" else pytest.param(flow, marks=pytest.mark.nightly) for flow in FLOWS]


@pytest.mark.parametrize("flow", EACH_FLOW)
def test_runs_start_from_the_page_of_a_deployment(stage: Stage, flow: str) -> None:
    """Quick run, then the form; each run ends as the table says."""
    quick = stage.quick_run(flow)
    assert stage.ended(flow, quick) == ENDS["Quick run"].of(flow)
    custom = stage.custom_run(flow)
    assert stage.ended(flow, custom) == ENDS["Custom run"].of(flow)
    stage.run[flow] = custom


@pytest.mark.parametrize("flow", EACH_FLOW)
def test_a_run_that_has_ended_is_copied_and_tried_again(stage: Stage, flow: str) -> None:
    """A retry keeps id, name and history of the run."""
    run = stage.run[flow]
    name, first = str((stage.ui.run(run) or {})["name"]), stage.ui.history(run)
    assert stage.ended(flow, stage.copied(flow)) == ENDS["Copy to new run"].of(flow)

    stage.ui.open_run(run)
    stage.ui.button("Retry").click()
    stage.ui.confirm("Retry")
    until(lambda: len(stage.ui.history(run)) > len(first))
    assert stage.ended(flow, run) == ENDS["Retry"].of(flow)
    after = stage.ui.history(run)
    assert after[: len(first)] == first
    assert str((stage.ui.run(run) or {})["name"]) == name


def beside(work: Callable[[], Result]) -> Result:
    """Does something that needs an event loop of its own: Playwright has one in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def cancelled(ui: Ui) -> None:
    ui.button("Cancel").click()
    ui.confirm("Confirm")


def suspended(ui: Ui) -> None:
    ui.button("Suspend").click()
    ui.confirm("Submit")


@pytest.mark.parametrize("flow", [each for each in EACH_FLOW if "expire-" not in str(each)])
@pytest.mark.parametrize(("button", "click"), [("Cancel", cancelled), ("Suspend", suspended)])
def test_a_run_that_goes_on_is_stopped(stage: Stage, flow: str, button: str, click: Callable[[Ui], None]) -> None:
    """What it had begun is ended or given back, and it says so; one that calls no service is over before a click."""
    stage.slow(on=True)
    run = stage.started(flow)
    stage.ui.open_run(run)
    if ENDS[button].of(flow) == NOT_OFFERED:
        stage.ui.button("Resume").wait_for()
        assert stage.ui.button(button).count() == 0
        stage.slow(on=False)
        stage.signs(run)
        assert stage.ui.ended(run) == [ENDS["Resume"].of(flow)]
        return
    click(stage.ui)
    stage.slow(on=False)
    stage.ui.ended(run)

    # The runner may have the last word about the name; what the run itself said is before it.
    assert ENDS[button].of(flow) in stage.ui.history(run)
    assert "Crashed" not in stage.ui.history(run)
    assert all(state == "PENDING" or state.endswith("COMPLETE") for state in stage.platform.states().values())


def test_a_run_that_asks_is_answered_or_cancelled(stage: Stage) -> None:
    """The form retires as many as it says; a cancel leaves the question open and every learner where it is."""
    waiting = list(stage.platform.states().values()).count("PENDING")
    run = stage.asking()
    stage.ui.open_run(run)
    cancelled(stage.ui)
    stage.ui.ended(run)
    assert ENDS["Cancel"].of(ASKING) in stage.ui.history(run)
    assert list(stage.platform.states().values()).count("PENDING") == waiting

    run = stage.run[ASKING] = stage.asking()
    stage.ui.open_run(run)
    stage.ui.button("Resume").click()
    form = stage.ui.page.get_by_role("dialog")
    form.get_by_text("learners who wait?").wait_for()
    switch_on(form)
    form.get_by_role("textbox").nth(0).fill("Ada Operator")
    form.get_by_role("textbox").nth(1).fill("a programme closed")
    form.locator("input[type=number]").fill("1")
    stage.ui.button("Submit", form).click()
    assert stage.ui.ended(run) == [ENDS["Resume"].of(ASKING)]
    assert list(stage.platform.states().values()).count("PENDING") == waiting - 1


def test_a_manual_step_takes_its_answer(stage: Stage) -> None:
    """The run is a record without a process; Prefect keeps the answer until `verify` has entered it."""
    forms, card = Forms(stage.ui.api), task()
    beside(lambda: forms.opened(card))
    run = stage.run[MANUAL] = str(forms.runs(card)[0]["id"])
    stage.ui.open_run(run)
    stage.ui.button("Resume").click()
    form = stage.ui.page.get_by_role("dialog")
    form.get_by_text("Shred the card").wait_for()
    switch_on(form)
    form.get_by_role("textbox").nth(0).fill(SAID["done_by"])
    form.get_by_role("textbox").nth(1).fill(SAID["evidence"])
    stage.ui.confirm("Submit")
    stage.ui.reached(run, "RUNNING")
    assert stage.ui.state(run) == ENDS["Resume"].of(MANUAL)
    assert [each.done_by for each in beside(lambda: forms.answers(card))] == [SAID["done_by"]]


def test_buttons_that_do_not_fit_are_not_there(stage: Stage) -> None:
    """A learner's run below a queue run has no deployment: it is not retried, copied, cancelled or suspended."""
    below = stage.run[BELOW] = str(learners_runs(stage.ui.api, stage.run[ASKING])[0]["id"])
    for kind in (BELOW, MANUAL):
        stage.ui.open_run(stage.run[kind])
        stage.ui.page.locator(".p-icon-button-menu").first.click()
        stage.ui.page.get_by_text("Delete", exact=True).wait_for()
        for name in ("Retry", "Suspend", "Copy to new run"):
            assert ENDS[name].of(kind) == NOT_OFFERED
            assert stage.ui.page.get_by_text(name, exact=True).count() == 0
        enabled = stage.ui.page.locator("button:enabled", has_text=re.compile(r"^\s*Cancel\s*$"))
        assert (ENDS["Cancel"].of(kind), enabled.count()) == (NOT_OFFERED, 0)
    assert stage.ui.state(below) == "Retired"


@pytest.mark.parametrize("kind", [*EACH_FLOW, BELOW, ASKING, MANUAL])
def test_a_state_that_is_changed_and_a_record_that_is_deleted_change_no_learner(stage: Stage, kind: str) -> None:
    """Only what Prefect shows; the chain of the ledger is as it was."""
    run, before = stage.run[kind], stage.platform.moves()
    entries = verify(stage.platform.ledger).entries
    stage.ui.open_run(run)
    if (wanted := ENDS["Change state"].of(kind)) != NOT_OFFERED:
        stage.ui.menu("Change state")
        dialog = stage.ui.page.get_by_role("dialog")
        dialog.locator(".p-select-button__icon").first.click()
        stage.ui.page.locator(".p-select-option__text", has_text=wanted).first.click()
        stage.ui.confirm("Change")
        until(lambda: stage.ui.state(run) == wanted)
    with stage.ui.moving():
        stage.ui.menu("Delete")
        stage.ui.confirm("Delete")
    until(lambda: stage.ui.run(run) is None)

    assert (ENDS["Delete"].of(kind), stage.platform.moves()) == (stage.ui.state(run), before)
    found = verify(stage.platform.ledger)
    assert (found.problem, found.entries) == (None, entries)


def test_a_deployment_is_edited_and_deleted_by_its_menu(stage: Stage) -> None:
    """Its parameters are the defaults of runs to come; the other items that could start runs are not there."""
    # Deleted, Prefect's page goes back by one: past the tab that it would else have chosen itself, to the list.
    stage.ui.page.goto(f"{stage.ui.address}/deployments")
    stage.ui.open_deployment("doctor", "?tab=Runs")
    stage.ui.page.locator(".p-icon-button-menu").first.click()
    stage.ui.page.get_by_text("Delete", exact=True).first.wait_for()
    assert stage.ui.page.get_by_text("Duplicate", exact=True).count() == 0
    with stage.ui.moving():
        stage.ui.page.get_by_text("Delete", exact=True).first.click()
        stage.ui.confirm("Delete")
    body = {"deployments": {"name": {"any_": ["doctor-here"]}}}
    until(lambda: stage.ui.asked("deployments/filter", body) == [])

    stage.ui.open_deployment("queue")
    stage.ui.menu("Edit")
    stage.ui.page.get_by_text("Enforce Parameter Schema").wait_for()
    stage.ui.page.get_by_text("int", exact=True).first.click()
    # The first number is the concurrency limit.
    stage.ui.page.locator("input[type=number]").nth(1).fill("1")
    with stage.ui.moving():
        stage.ui.button("Save").click()
    until(lambda: stage.ui.deployment("queue")["parameters"].get("limit") == 1)
    assert set(DEPLOYMENT) == {"Edit", "Delete", "Duplicate"}


def test_a_schedule_that_is_switched_off_or_edited_plans_so(stage: Stage) -> None:
    """The switch ends the planned runs; the new cron line is that of the next ones."""
    name = "queue"
    stage.ui.open_deployment(name)
    switch = stage.ui.page.get_by_role("switch").first
    switch.click()
    until(lambda: not stage.ui.deployment(name)["schedules"][0]["active"])
    switch.click()
    until(lambda: stage.ui.deployment(name)["schedules"][0]["active"])
    stage.ui.page.locator(".p-icon-button-menu").nth(1).click()
    stage.ui.page.get_by_text("Edit", exact=True).last.click()
    dialog = stage.ui.page.get_by_role("dialog")
    dialog.locator(".cron-schedule-form__row input[type=text]").first.fill("5 4 * * *")
    stage.ui.button("Save", dialog).click()
    until(lambda: stage.ui.deployment(name)["schedules"][0]["schedule"].get("cron") == "5 4 * * *")
    httpx.get(stage.ui.address, timeout=PATIENCE).raise_for_status()
