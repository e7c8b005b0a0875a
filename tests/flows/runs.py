"""The runs of queues and of learners, as a Prefect server knows them."""

from dataclasses import dataclass
from typing import Any

from tests import patient
from tests.patient import until


@dataclass(frozen=True)
class Runs:
    """The queue runs of one test, as the session's server knows them."""

    api: str
    earlier: frozenset[str]

    def every(self) -> list[dict[str, Any]]:
        """Those that this test has begun, the newest first."""
        return [each for each in queue_runs(self.api) if each["id"] not in self.earlier]

    def asking(self) -> str:
        """Waits for the run that asks for an approval, and gives its id."""
        found = until(lambda: [each["id"] for each in self.every() if shows_a_form(self.api, each)])
        return str(found[0])

    def state(self, run: str) -> str:
        """The name of a run's state."""
        return str(patient.get(f"{self.api}/flow_runs/{run}").raise_for_status().json()["state"]["name"])


def shows_a_form(api: str, run: dict[str, Any]) -> bool:
    """Whether a run is paused and its form is there, which comes a moment after the pause."""
    if run["state"]["type"] != "PAUSED":
        return False
    body = {"prefix": "paused-", "limit": 9}
    found = patient.post(f"{api}/flow_runs/{run['id']}/input/filter", json=body).raise_for_status().json()
    return any(each["key"].endswith("-description") for each in found)


def learners_runs(api: str, queue: str) -> list[dict[str, Any]]:
    """The runs of learners below one queue run; the server has those of other tests as well, killed ones too."""
    body = {"flow_runs": {"parent_flow_run_id": {"any_": [queue]}}}
    found: list[dict[str, Any]] = patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json()
    return found


def queue_runs(api: str) -> list[dict[str, Any]]:
    """Those that have begun or been asked for, the newest first."""
    return runs_of(api, "retire-queue")


def runs_of(api: str, flow: str, **flow_runs: Any) -> list[dict[str, Any]]:
    """The runs of a flow, the newest first, without those that schedules plan.

    A `serve` of another test leaves its schedules on the session's server, which plans runs for days to come.
    """
    wanted = {"state": {"type": {"not_any_": ["SCHEDULED"]}}, **flow_runs}
    body = {"flows": {"name": {"any_": [flow]}}, "flow_runs": wanted, "sort": "START_TIME_DESC"}
    found: list[dict[str, Any]] = patient.post(f"{api}/flow_runs/filter", json=body).raise_for_status().json()
    return found
