"""The page of a run that asks: its form, the answer, and what Prefect keeps of both."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests import patient
from tests.flows.conftest import RUN_A_FLOW, Platform
from tests.forks import ForkServer, Run
from tests.patient import until


@dataclass
class Page:
    """One run that asks, as the page of Prefect's UI sees it."""

    api: str
    server: ForkServer
    process: Run
    run: str

    def text(self, words: str) -> str:
        """What the form says, once there is one with these words."""
        return str(until(lambda: text if words in (text := self._text()) else ""))

    def _text(self) -> str:
        state = patient.get(f"{self.api}/flow_runs/{self.run}").raise_for_status().json()["state"]
        keys = state["state_details"].get("run_input_keyset") or {}
        return str(self._input(keys["description"])) if state["type"] == "PAUSED" and keys else ""

    def _input(self, key: str) -> Any:
        return patient.get(f"{self.api}/flow_runs/{self.run}/input/{key}").json()

    def submit(self, **given: Any) -> None:
        """Submits the form, and waits until the run has read it."""
        body = {"run_input": given}
        taken = patient.post(f"{self.api}/flow_runs/{self.run}/resume", json=body).raise_for_status().json()
        assert taken["status"] == "ACCEPT", taken

    def ended(self) -> tuple[str, str]:
        """Name and message of the final state."""
        assert self.server.wait(self.process) == 0, self.process.said()
        state, message, run = json.loads(self.process.said()[0].splitlines()[-1])
        assert run == self.run
        return state, message

    def stored(self) -> str:
        """All that Prefect has of the run: itself, its states, its logs and its forms."""
        about = {"flow_runs": {"id": {"any_": [self.run]}}}
        parts = [
            patient.get(f"{self.api}/flow_runs/{self.run}").text,
            patient.get(f"{self.api}/flow_run_states/", params={"flow_run_id": self.run}).text,
            patient.post(f"{self.api}/logs/filter", json={"logs": {"flow_run_id": {"any_": [self.run]}}}).text,
            patient.post(f"{self.api}/artifacts/filter", json=about).text,
            patient.post(f"{self.api}/flow_runs/{self.run}/input/filter", json={"prefix": "", "limit": 9}).text,
        ]
        return "\n".join(parts)


def begun(
    api: str, server: ForkServer, environment: dict[str, str], platform: Platform, flow: str, **given: Any
) -> Page:
    """Starts the flow as a worker does, and waits until its run asks."""
    since = datetime.now(UTC).isoformat()
    parameters = json.dumps({"config": str(platform.config), **given})
    process = server.start("-c", RUN_A_FLOW, f"retirement.flows.{flow}", flow, parameters, environment=environment)
    body = {
        "flows": {"name": {"any_": [flow.replace("_", "-")]}},
        "flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}, "start_time": {"after_": since}},
    }
    found = until(lambda: patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json())
    return Page(api, server, process, str(found[0]["id"]))
