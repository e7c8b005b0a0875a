"""The pages of Prefect's UI as an operator uses them: deployments, runs, and the buttons on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page

from retirement.flows.kit import lock
from tests import patient
from tests.flows.runs import shows_a_form
from tests.patient import until

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Ui:
    """A browser page, and the API of the server behind it, which tells what a click has done."""

    page: Page
    api: str

    @property
    def address(self) -> str:
        return self.api.removesuffix("/api")

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment of `serve`, by its name without `-here`."""
        found = self.asked("deployments/filter", {"deployments": {"name": {"any_": [f"{name}-here"]}}})
        deployment: dict[str, Any] = found[0]
        return deployment

    def asked(self, what: str, body: dict[str, Any]) -> Any:
        return patient.post(f"{self.api}/{what}", json=body).raise_for_status().json()

    def run(self, run: str) -> dict[str, Any] | None:
        """A flow run, None where Prefect has it no more."""
        answer = patient.get(f"{self.api}/flow_runs/{run}")
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def ended(self, *runs: str) -> list[str]:
        """Waits until all of these runs have ended; the names of their states."""
        until(lambda: all(map(self.is_over, runs)))
        return [self.state(run) for run in runs]

    def reached(self, run: str, kind: str) -> None:
        """Waits until a run is in a state of that type."""
        until(lambda: self._type(run) == kind)

    def _type(self, run: str) -> str | None:
        found = self.run(run)
        return str(found["state"]["type"]) if found else None

    def state(self, run: str) -> str:
        found = self.run(run)
        return str(found["state"]["name"]) if found else "gone from Prefect"

    def history(self, run: str) -> list[str]:
        """The names of all states of a run, in their order."""
        found = patient.get(f"{self.api}/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
        return [str(each["name"]) for each in sorted(found, key=lambda state: str(state["timestamp"]))]

    def started(self, name: str, **given: Any) -> str:
        """A run of a deployment with these parameters, by the API; its id."""
        body = {"state": {"type": "SCHEDULED"}, "parameters": given}
        return str(self.asked(f"deployments/{self.deployment(name)['id']}/create_flow_run", body)["id"])

    def asks(self, run: str, form: str = "") -> None:
        """Waits until a run shows a form, of that kind."""
        until(lambda: self.asks_now(run, form))

    def asks_now(self, run: str, form: str = "") -> bool:
        """Whether a run shows a form of that kind."""
        found = self.run(run) or {}
        kind = str(found["state"]["state_details"]["pause_key"])
        return kind.startswith(form) and shows_a_form(self.api, found)

    def is_over(self, run: str) -> bool:
        """Whether a run has ended."""
        return self._type(run) in FINAL

    def runs_of(self, name: str) -> set[str]:
        """The runs of a deployment that people have started."""
        body = {"deployments": {"id": {"any_": [self.deployment(name)["id"]]}}}
        return {str(each["id"]) for each in self.asked("flow_runs/filter", body) if not each["auto_scheduled"]}

    def open_deployment(self, name: str, below: str = "") -> None:
        self.page.goto(f"{self.address}/deployments/deployment/{self.deployment(name)['id']}{below}")

    def open_run(self, run: str) -> None:
        self.page.goto(f"{self.address}/runs/flow-run/{run}")
        found = self.run(run)
        self.page.get_by_text(str(found["name"] if found else run)).first.wait_for()

    def button(self, name: str, inside: Page | Locator | None = None) -> Locator:
        """The button with exactly this text; the links beside the page have texts that begin alike."""
        return (inside or self.page).locator("button", has_text=re.compile(rf"^\s*{re.escape(name)}\s*$")).first

    def confirm(self, name: str) -> None:
        """Clicks a button of the dialog that has come up, and waits until it is gone."""
        dialog = self.page.get_by_role("dialog")
        self.button(name, dialog).click()
        dialog.wait_for(state="hidden")

    @contextmanager
    def moving(self) -> Iterator[None]:
        """For clicks after which Prefect's page goes elsewhere by itself, once the server has answered.

        Waits until it has gone: it would go over a page that is opened in between.
        """
        before = urlsplit(self.page.url).path
        yield
        self.page.wait_for_url(lambda url: urlsplit(url).path != before)

    def menu(self, item: str) -> None:
        """Clicks an item of the menu behind the three dots at the top."""
        self.page.locator(".p-icon-button-menu").first.click()
        self.page.get_by_text(item, exact=True).first.click()

    def begun(self, name: str, before: set[str]) -> str:
        """Waits for the run of a deployment that was not there before."""
        (run,) = until(lambda: self.runs_of(name) - before)
        return str(run)


def signed_in(page: Page, api: str, home: Path | str) -> None:
    """Signs the browser in to the server of a home, by the page that `retirement ui` opens."""
    ui_url = api.removesuffix("/api")
    page.goto(lock.write_page(Path(home) / "engine", ui_url).as_uri())
    page.wait_for_url(lambda url: url.startswith(ui_url) and not url.endswith(lock.SIGN_IN))


def switch_on(form: Locator) -> None:
    """Turns the first switch of a form on."""
    found = form.get_by_role("switch").or_(form.get_by_role("checkbox")).first
    found.locator("xpath=ancestor-or-self::label[1]").click()


def painted(page: Page) -> None:
    """Waits for the graph of a run, whose data is there."""
    page.wait_for_selector("canvas")
    # It is painted on the canvas some frames later, and nothing tells when.
    page.wait_for_timeout(3000)
