"""A night at the door, in a real browser: two people sign in, see the run, agree, answer a manual step, sign out."""

from __future__ import annotations

import asyncio
import re
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page

from retirement.config import load
from retirement.ledger import Act, Action, Area, Holder, opened
from retirement.site import ledger_location
from tests import databases
from tests.browser.pages import Ui, switch_on
from tests.flows.conftest import Platform, sandbox
from tests.flows.test_watchdog import serving
from tests.patient import PATIENCE, until
from tests.ports import free_port
from tests.wsgi import serving_wsgi

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses a module of Authlib that has moved
    import oidc_provider_mock

pytestmark = [
    pytest.mark.dear(seconds=90),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:authlib"),
]
IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: What documents show of the door.
PICTURES = tuple(f"door-{each}" for each in ("run", "approve", "manual", "home", "sign-in"))
#: Keeps the picture of a page, as documents show it.
Photograph = Callable[[Page, str], None]


#: What a page of another origin tries at door and engine, and what it sees of each.
FOREIGN = """
async ({door, engine, run}) => {
  const told = {};
  const tries = async (name, url, more) => {
    try {
      const answer = await fetch(url, {credentials: "include", ...more});
      told[name] = answer.type === "opaque" ? "opaque" : `read ${answer.status}`;
    } catch (error) {
      told[name] = "refused";
    }
  };
  const typed = {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"};
  const blind = (said) => ({method: "POST", mode: "no-cors", body: JSON.stringify(said)});
  const cancelled = {state: {type: "CANCELLING"}};
  await tries("door: who", `${door}/api/me`);
  await tries("door: runs", `${door}/api/flow_runs/filter`, typed);
  await tries("engine: runs", `${engine}/flow_runs/filter`, typed);
  await tries("engine: health", `${engine}/health`);
  await tries("blind: grant", `${door}/api/permissions`, blind({userId: "x", domainId: "system", actions: ["view"]}));
  await tries("blind: answer", `${door}/api/flow_runs/${run}/resume`, blind({run_input: {approve: true}}));
  await tries("blind: cancel", `${door}/api/flow_runs/${run}/set_state`, blind(cancelled));
  await tries("blind: cancel at the engine", `${engine}/flow_runs/${run}/set_state`, blind(cancelled));
  await tries("blind: sign out", `${door}/sign-out`, blind({}));
  told["door: websocket"] = await new Promise((done) => {
    const socket = new WebSocket(`${door.replace("http", "ws")}/api/events/out`, "prefect");
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
  });
  return told;
}
"""
SUBMITTED = """
(place) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = place;
  document.body.append(form);
  form.submit();
}
"""


@pytest.fixture
def issuer() -> Iterator[str]:
    """A provider that lets in each person who names themselves."""
    with serving_wsgi(oidc_provider_mock.app(require_nonce=True)) as address:
        yield address


async def grant(platform: Platform, issuer: str) -> None:
    """Two people may approve, and look on; a third may look on only."""
    async with opened(ledger_location(load(platform.config))) as ledger:
        for subject in ("ana", "ben"):
            holder = Holder(issuer, subject)
            actions = [Action.VIEW, Action.MONITOR, Action.APPROVE, Action.CONFIRM]
            await ledger.permissions.set(holder, Area.SYSTEM, "", actions)
        await ledger.permissions.set(Holder(issuer, "eve"), Area.SYSTEM, "", [Action.VIEW, Action.MONITOR])


async def decided(platform: Platform) -> list[Act]:
    """The answers in the ledger, in the order of their entries."""
    async with opened(ledger_location(load(platform.config))) as ledger:
        found = await ledger.acts.since(ledger.now().replace(year=2020))
    return [each for each in found if each.kind.startswith("decision.") and each.kind != "decision.used"]


async def confirmed(platform: Platform, user_id: int) -> list[Act]:
    """What the ledger has of the evidence for a learner's manual step."""
    async with opened(ledger_location(load(platform.config))) as ledger:
        found = await ledger.acts.about(user_id)
    return [each for each in found if each.kind == "receipt.checked" and each.claimed]


def in_another_thread(acts: Coroutine[Any, Any, list[Act]]) -> list[Act]:
    """Playwright has an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, acts).result()


def with_a_manual_step(platform: Platform) -> None:
    """A person shreds the card of each learner, where else licenses would be retired."""
    steps = yaml.safe_load(platform.config.read_text(encoding="utf-8"))["pipeline"]
    (step,) = [each for each in steps if each["service"] == "LICENSE_MANAGER"]
    step |= {"service": "PAPER", "operation": "ask_a_person"}
    platform.configure(
        pipeline=steps, services={"PAPER": {"connector": "MANUAL", "task": "Shred the card in the paper file."}}
    )


def signed_in_as(page: Page, address: str, subject: str) -> None:
    """From a page of the door to the provider, and back to that page."""
    page.goto(address)
    page.get_by_placeholder("sub").fill(subject)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(address)


def agree(page: Page, photograph: Photograph | None = None) -> None:
    """Fills in the form of the run and sends it."""
    Ui(page, "").button("Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text("learners who wait?").first.wait_for()
    switch_on(form)
    form.get_by_role("textbox").nth(0).fill("Chief Privacy Officer")
    form.get_by_role("textbox").nth(1).fill("a campus closed")
    form.locator("input[type=number]").fill("3")
    if photograph:
        photograph(page, "approve")
    form.get_by_role("button", name="Submit").click()


def answered_at_the_door(page: Page, ui: Ui, door: str, photograph: Photograph) -> int:
    """A manual step that a person who signs in answers on its page, and `verify` enters; the learner's user id."""
    assert ui.ended(ui.started("verify")) == ["Verified"]
    body = {"flow_runs": {"tags": {"all_": ["manual-task"]}}}
    task = ui.asked("flow_runs/filter", body)[0]
    signed_in_as(page, f"{door}/runs/flow-run/{task['id']}", "ana")
    Ui(page, "").button("Resume").click()
    form = page.get_by_role("dialog")
    form.get_by_text("Shred the card").wait_for()
    switch_on(form)
    form.get_by_role("textbox").nth(0).fill("Ada Operator")
    form.get_by_role("textbox").nth(1).fill("ticket 4711")
    photograph(page, "manual")
    form.get_by_role("button", name="Submit").click()
    ui.reached(str(task["id"]), "RUNNING")
    assert ui.ended(ui.started("verify")) == ["Verified"]
    sign_out(page, door, photograph)
    return int(re.sub(r"learner-(\d+) .*", r"\1", task["name"]))


def test_two_people_who_sign_in_approve_a_run_and_the_one_who_may_look_cannot(
    page: Page, issuer: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each in a browser of their own, on the pages of Prefect; the ledger has who they are, whatever they type."""
    pictures = IMAGES if request.config.getoption("images") else tmp_path

    def photograph(shown: Page, name: str) -> None:
        shown.screenshot(path=pictures / f"door-{name}.png", scale="css", caret="hide")

    port, at_door = free_port(), free_port()
    door = f"http://127.0.0.1:{at_door}"
    browser = page.context.browser
    assert browser is not None
    with sandbox(tmp_path, "--learners", "3") as platform:
        section = {"url": door, "port": at_door, "issuer": issuer, "client_id": "retirement-door"}
        with_a_manual_step(platform)
        platform.configure(
            queue={"threshold": 1},
            guard={"second_person_above": 2},
            deadline_days=60,
            door={**section, "client_secret": "any", "administrators": ["the-first"]},
        )
        outside = threading.Thread(target=lambda: asyncio.run(grant(platform, issuer)))
        outside.start()
        outside.join()
        with (
            databases.open_folder("retirement-door-") as home,
            serving(home, platform, port, PREFECT_RUNNER_POLL_FREQUENCY="1"),
        ):
            ui = Ui(page, f"http://127.0.0.1:{port}/api")
            run = ui.started("queue")
            ui.asks(run)
            address = f"{door}/runs/flow-run/{run}"
            for number, subject in enumerate(("ana", "ben"), start=1):
                own = opened_page(browser)
                signed_in_as(own, address, subject)
                Ui(own, "").button("Resume").wait_for()
                # What the page runs is bounded by the door's policy: graph and colours are the first to miss something.
                own.locator("canvas").first.wait_for()
                own.locator("html.dark").wait_for()
                if subject == "ana":
                    another_origin_gets_nothing(own.context.new_page(), issuer, door, ui.api, run)
                photograph(own, "run")
                agree(own, photograph)
                until(lambda wanted=number: len(in_another_thread(decided(platform))) >= wanted)
                sign_out(own, door)
                if subject == "ana":
                    ui.asks(run)
                    looks_only(opened_page(browser), ui, run, address)
            assert ui.ended(run) == ["Retired"]
            learner = answered_at_the_door(opened_page(browser), ui, door, photograph)
        acts = in_another_thread(decided(platform)) + in_another_thread(confirmed(platform, learner))

    people = [(each.kind, (each.observed or {}).get("person"), each.claimed) for each in acts]
    typed = "Chief Privacy Officer"
    assert people == [
        ("decision.first", f"{issuer} ana", typed),
        ("decision.made", f"{issuer} ben", typed),
        ("receipt.checked", f"{issuer} ana", "Ada Operator"),
    ]


def opened_page(browser: Browser) -> Page:
    """A browser of a person's own, without the cookies of another one."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE * 1000)
    return page


def another_origin_gets_nothing(page: Page, elsewhere: str, door: str, engine: str, run: str) -> None:
    """In the browser of a person who is signed in; the ports differ and the site does not, so the cookie is sent."""
    page.goto(f"{elsewhere}/.well-known/openid-configuration")
    told = page.evaluate(FOREIGN, {"door": door, "engine": engine, "run": run})
    read = {name: what for name, what in told.items() if not name.startswith("blind")}
    assert set(read.values()) == {"refused"}, told
    # A page may send such a request, and sees nothing of the answer: it is the server that refuses.
    assert set(told.values()) <= {"refused", "opaque"}
    with page.expect_response(f"{door}/sign-out") as answered:
        page.evaluate(SUBMITTED, f"{door}/sign-out")
    assert answered.value.status == 403
    page.close()


def looks_only(page: Page, ui: Ui, run: str, address: str) -> None:
    """A person without the permission sees the run; the answer is refused, and the run asks on."""
    signed_in_as(page, address, "eve")
    Ui(page, "").button("Resume").wait_for()
    with page.expect_response(lambda response: response.url.endswith(f"/flow_runs/{run}/resume")) as answered:
        agree(page)
    assert answered.value.status == 403
    assert ui.asks_now(run)


def sign_out(page: Page, door: str, photograph: Photograph | None = None) -> None:
    """On the door's own page; the page of the run asks to sign in again afterwards."""
    page.goto(f"{door}/")
    page.get_by_text("Signed in as").wait_for()
    if photograph:
        photograph(page, "home")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(lambda url: not url.startswith(door) or url.rstrip("/") == door)
    page.goto(f"{door}/dashboard")
    page.get_by_placeholder("sub").wait_for()
    if photograph:
        photograph(page, "sign-in")
