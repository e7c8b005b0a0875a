"""Ten pages that an operator looks at, with what has to be on them; `make images` keeps the pictures for the documents.

Where a page or a part of it is ours, axe-core finds nothing serious in it; the rest is Prefect's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

from retirement import certificate
from retirement.ledger.extract import verified_extract
from retirement.sandbox.pipelines import PIPELINES
from retirement.sandbox.seeds import learners
from tests.browser.pages import Ui, painted, signed_in, switch_on
from tests.browser.test_digest import SHOWN
from tests.browser.test_door import PICTURES
from tests.flows.conftest import Platform, sandbox
from tests.flows.runs import learners_runs
from tests.flows.test_watchdog import serving
from tests.ports import free_port

pytestmark = pytest.mark.dear(seconds=230)

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NAMES = (
    "runs",
    "deployments",
    "learner-run",
    "errored-learner",
    "queue-table",
    "question",
    "learner-form",
    "today",
    "certificate",
    "certificate-html",
)
#: What is in the name, the username and the address of each learner of the site.
CANARY = "canary"
#: What Prefect draws of the Markdown that is ours, in artifacts and above the fields of forms.
OURS = ".markdown-renderer"
#: The box around each table is Prefect's, and no keyboard reaches it where it scrolls.
NOT_OURS = {"scrollable-region-focusable"}
#: Bytes of a picture; they stay in the history of the repository.
LARGEST = 250_000
WIDTH, WIDE, HEIGHT = 1280, 1600, 800
WAITING, LIMIT = 12, 8


def seed() -> dict[str, Any]:
    """Learners with something to erase everywhere, whose requests are of different days."""
    found = learners(WAITING)
    for number, learner in enumerate(found["learners"]):
        learner["requested_days_ago"] = 8 + 1.75 * number
    return found


@dataclass(frozen=True)
class Site:
    """One night of a site below `serve`, and the browser before it: a learner is ERRORED, and a second run asks."""

    ui: Ui
    platform: Platform
    home: Path
    pictures: Path
    queue: str  #: the run of the night
    asking: str  #: a run that asks, since more learners wait than are usual
    learner: str  #: a run of one learner that asks which one

    def below(self, state: str) -> dict[str, Any]:
        """A learner's run of the night that ended in that state."""
        return next(each for each in learners_runs(self.ui.api, self.queue) if each["state"]["name"] == state)

    def open_artifact(self, key: str) -> None:
        """Opens the newest artifact under a key."""
        body = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
        (found,) = self.ui.asked("artifacts/filter", body)
        self.ui.page.goto(f"{self.ui.address}/artifacts/artifact/{found['id']}")

    def open_form(self, run: str, words: str) -> Locator:
        """Opens the form of a run that asks, and waits for these words in it."""
        self.ui.open_run(run)
        self.ui.button("Resume").click()
        form = self.ui.page.get_by_role("dialog")
        form.get_by_text(words).first.wait_for()
        return form

    def keep(self, name: str, *words: str, width: int = WIDTH, height: int = HEIGHT) -> None:
        """Waits for words that have to be there, and keeps the picture, which names neither a learner nor a folder."""
        page = self.ui.page
        page.set_viewport_size({"width": width, "height": height})
        for each in words:
            page.get_by_text(each).first.wait_for()
        shown = page.content().casefold()
        assert [word for word in (CANARY, str(self.home)) if word in shown] == []
        path = self.pictures / f"{name}.png"
        page.screenshot(path=path, scale="css", animations="disabled", caret="hide")
        assert path.stat().st_size < LARGEST


def serious(page: Page, within: str) -> list[str]:
    """What axe-core finds in a part of a page that keeps people from reading or using it."""
    found = Axe().run(page, context=within).response["violations"]
    return [
        f"{each['id']}: {node['html']}"
        for each in found
        if each["impact"] in ("serious", "critical") and each["id"] not in NOT_OURS
        for node in each["nodes"]
    ]


@pytest.fixture(scope="module")
def site(page: Page, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A queue run in which one learner is refused, one that asks, and a run of one learner."""
    pictures = IMAGES if request.config.getoption("images") else tmp_path_factory.mktemp("pictures")
    pictures.mkdir(exist_ok=True)
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="retirement-pages-"))
        # The account of PostgreSQL has to reach the folder.
        home.chmod(0o755)
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        platform = stack.enter_context(sandbox(home, seed=seed()))
        times = {"schedule": "0 4 * * *", "reconcile_schedule": "7 * * * *", "verify_schedule": "37 * * * *"}
        platform.configure(queue={"limit": LIMIT, "threshold": 300}, **times)
        port = free_port()
        stack.enter_context(serving(home, platform, port, PREFECT_RUNNER_POLL_FREQUENCY="1"))
        signed_in(page, f"http://127.0.0.1:{port}", home)
        ui = Ui(page, f"http://127.0.0.1:{port}/api")
        platform.arm({"path": "/retire_misc/", "method": "POST", "status": 400, "times": 1})
        queue = ui.started("queue")
        assert ui.ended(queue) == ["SomeFailed"]
        platform.configure(queue={"threshold": 2})
        asking, learner = ui.started("queue"), ui.started("learner")
        for run in (asking, learner):
            ui.asks(run)
        yield Site(ui, platform, home, pictures, queue, asking, learner)


def test_the_list_of_runs_tells_them_apart(site: Site) -> None:
    """By names that say what they are, states that say how they ended, and tags to filter by."""
    site.ui.page.goto(f"{site.ui.address}/runs")
    site.keep("runs", str(site.below("Retired")["name"]), "Errored", "SomeFailed", "Paused", "9 Task runs", height=1700)

    tags = {"outcome:errored", "service:LMS"}
    assert tags <= set(site.below("Errored")["tags"])
    assert {*tags, "outcome:retired"} <= set((site.ui.run(site.queue) or {})["tags"])
    assert "outcome:retired" in site.below("Retired")["tags"]


def test_the_list_of_deployments_has_every_job_with_its_schedule(site: Site) -> None:
    """What may be started by hand, and when what starts by itself; ten to a page, and a search finds the others."""
    site.ui.page.goto(f"{site.ui.address}/deployments")
    site.keep("deployments", "cleanup-here", "learner-here", "digest-here", width=WIDE, height=1000)
    for name in ("queue", "redrive", "verify"):
        site.ui.page.get_by_placeholder("Search deployments").fill(name)
        site.ui.page.get_by_text(f"{name}-here").first.wait_for()


def test_the_run_of_a_learner_draws_the_steps(site: Site) -> None:
    """The graph, and below it each step by its name."""
    steps = [step["start"] for step in PIPELINES["default"]]
    site.ui.open_run(str(site.below("Retired")["id"]))
    site.ui.page.get_by_text(f"{len(steps)} Task runs").wait_for()
    painted(site.ui.page)
    site.ui.page.get_by_text("Task Runs", exact=True).click()
    site.keep("learner-run", "Retired", *steps)


def test_an_errored_learner_has_the_reason_and_a_link_that_helps(site: Site) -> None:
    """The link leads to the form of the redrive, with the learner filled in."""
    run = site.below("Errored")
    user_id = run["parameters"]["user_id"]
    site.open_artifact(f"help-{user_id}")
    site.keep("errored-learner", "No later run takes the learner", f"start the redrive of learner {user_id}")

    assert serious(site.ui.page, OURS) == []
    with site.ui.page.expect_popup() as opened:
        site.ui.page.get_by_text(f"start the redrive of learner {user_id}").click()
    opened.value.get_by_text("Validate parameters").wait_for()
    assert opened.value.get_by_role("spinbutton").first.input_value() == str(user_id)
    opened.value.close()


def test_the_table_of_the_night_begins_with_the_learner_who_needs_an_operator(site: Site) -> None:
    """Outcome, failed step and reason in the first row, and a link to the run; the others were retired."""
    run = site.below("Errored")
    site.open_artifact("retirement-queue")
    site.keep("queue-table", f"{LIMIT} items", "errored", "retired", width=WIDE)

    first = site.ui.page.get_by_role("row").nth(1)
    told = first.inner_text()
    assert [word for word in (str(run["parameters"]["user_id"]), "RETIRING_LMS_MISC", "400") if word not in told] == []
    with site.ui.page.expect_popup() as opened:
        first.get_by_role("link").click()
    opened.value.get_by_text(str(run["name"])).first.wait_for()
    opened.value.close()


def test_a_run_that_asks_says_what_it_asks_before_it_is_answered(site: Site) -> None:
    """How many wait, why that is unusual, and what an answer means."""
    form = site.open_form(site.asking, "learners who wait?")
    switch_on(form)
    form.get_by_role("textbox").nth(0).fill("operator on duty")
    form.get_by_role("textbox").nth(1).fill("a programme has closed")
    site.keep("question", "more than queue.threshold, which is 2", "Retiring cannot be undone.", height=1000)

    assert serious(site.ui.page, f"[role=dialog] {OURS}") == []


def test_the_form_of_one_learner_shows_who_is_meant_before_it_asks(site: Site) -> None:
    """What was typed is looked up; request, cool-off, state and steps are there to read."""
    waits = min(site.platform.user_id(name) for name, state in site.platform.states().items() if state == "PENDING")
    which = site.open_form(site.learner, "Which learner?")
    which.get_by_role("textbox").first.fill(str(waits))
    site.ui.confirm("Submit")
    site.ui.asks(site.learner, "confirm-learner")
    form = site.open_form(site.learner, f"Retire learner {waits}?")
    site.keep("learner-form", "cool-off: over", "state in the LMS: PENDING", "It cannot be undone.", height=1000)

    assert serious(site.ui.page, f"[role=dialog] {OURS}") == []
    assert form.get_by_text("Before the cool-off is over").count() == 0


def test_the_page_of_the_day_says_what_waits_for_a_person(site: Site) -> None:
    """The learner who is ERRORED, the time that is left to the others, and the next runs."""
    site.open_artifact("retirement-today")
    site.keep("today", "What waits for a person", "1 ERRORED", "Time left to the deadline", "Next runs", height=1500)

    assert serious(site.ui.page, OURS) == []


def test_the_certificate_of_a_learner_is_beside_the_run(site: Site) -> None:
    """What was erased, when, and on what proof."""
    user_id = site.below("Retired")["parameters"]["user_id"]
    site.open_artifact(f"certificate-{user_id}")
    site.keep("certificate", f"learner {user_id}", *(step["start"] for step in PIPELINES["default"]), height=1500)

    assert serious(site.ui.page, OURS) == []


def test_the_certificate_is_a_page_of_its_own(site: Site) -> None:
    """`retirement certificate --format html`: nothing that axe-core finds serious on the whole page."""
    user_id = site.below("Retired")["parameters"]["user_id"]
    issued = certificate.certificate_of(verified_extract(site.platform.ledger, user_id))
    site.ui.page.set_content(certificate.html(issued))
    site.keep("certificate-html", f"learner {user_id}", height=1500)

    assert serious(site.ui.page, "html") == []


def test_the_documents_have_each_picture_and_no_other() -> None:
    """`make images` writes them."""
    assert {path.name for path in IMAGES.iterdir()} == {f"{name}.png" for name in (*NAMES, *SHOWN, *PICTURES)}
