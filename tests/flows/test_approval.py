"""A run that asks by a form: yes, no, no answer, and whatever else may come instead of an answer."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from retirement.ledger import Said
from tests import locks, patient
from tests.flows.runs import shows_a_form
from tests.patient import PATIENCE, until

YES = {"approve": True, "approver": "Ada Operator", "reason": "the campus closed a programme", "how_many": 3}
NO = {"approver": "Ada Operator", "reason": "no programme was closed"}


class Asked:
    """One run of the flow that asks, seen through the API."""

    def __init__(self, api: str, flow_run: str) -> None:
        self.api, self.flow_run = api, flow_run

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = patient.get(f"{self.api}/flow_runs/{self.flow_run}").json()["state"]
        return found

    def until(self, *types: str) -> "Asked":
        """Waits until the run's state is of one of these types, and shows its form where it is paused."""

        def reached() -> bool:
            state = self.state()
            shown = state["type"] != "PAUSED" or shows_a_form(self.api, {"id": self.flow_run, "state": state})
            return state["type"] in types and shown

        until(reached)
        return self

    def said(self) -> tuple[str, list[Said]]:
        """Name of the final state, and what the flow was told; Prefect has nothing of it any more."""
        state = self.until("COMPLETED", "FAILED", "CANCELLED", "CRASHED").state()
        assert self.inputs() == []
        return state["name"], [Said(**each) for each in json.loads(state["message"])]

    def inputs(self) -> Any:
        """What Prefect keeps of form and answer."""
        return patient.post(
            f"{self.api}/flow_runs/{self.flow_run}/input/filter", json={"prefix": "", "limit": 9}
        ).json()

    def resume(self, **given: Any) -> str:
        """What the form in the UI sends; how Prefect takes it."""
        sent = patient.post(f"{self.api}/flow_runs/{self.flow_run}/resume", json={"run_input": given})
        return str(sent.json()["status"])

    def cancel(self) -> None:
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        patient.post(f"{self.api}/flow_runs/{self.flow_run}/set_state", json=body).raise_for_status()


@contextmanager
def python(environment: dict[str, str], api: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    variables = {**environment, **locks.variables(api), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    command = [sys.executable, "-m", "tests.flows.asking", *arguments]
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def asked(environment: dict[str, str], api: str, name: str, seconds: float = PATIENCE) -> Iterator[Asked]:
    """A run in a process without runner, as the command line makes it, that has asked."""
    with python(environment, api, name, str(seconds)):
        body = {"flow_runs": {"name": {"any_": [name]}}}
        found = until(lambda: patient.post(f"{api}/flow_runs/filter", json=body).json())
        yield Asked(api, found[0]["id"]).until("PAUSED")


@pytest.fixture(scope="module")
def server(environment: dict[str, str], engine: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The flow that asks as a deployment."""
    with python(environment, engine, "serve") as process:
        until(lambda: patient.get(f"{engine}/deployments/name/ask-somebody/here").status_code == 200)
        yield process


def served(api: str) -> Asked:
    """A run of the deployment that has asked."""
    deployment = patient.get(f"{api}/deployments/name/ask-somebody/here").json()["id"]
    made = patient.post(f"{api}/deployments/{deployment}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
    return Asked(api, made.json()["id"]).until("PAUSED")


def test_a_run_in_this_process_goes_on_with_the_number_that_was_approved(
    environment: dict[str, str], engine: str
) -> None:
    """As the form says it."""
    with asked(environment, engine, "asks-for-three") as run:
        assert run.resume(**YES) == "ACCEPT"
        expected = Said("approved", "Ada Operator", "the campus closed a programme", 3, "form")
        assert run.said() == ("Approved", [expected])


def test_answers_that_no_person_answers_for_are_refused(environment: dict[str, str], engine: str) -> None:
    """By the form; the run goes on waiting for a better one."""
    with asked(environment, engine, "asks-until-complete") as run:
        for wrong in ({"approver": ""}, {"approver": "  "}, {"reason": " "}, {"how_many": 13}, {"how_many": 0}):
            assert run.resume(**{**YES, **wrong}) == "REJECT"
        for address in ("zoe@post.example", "it was\nzoe%40post.example"):
            assert run.resume(**{**YES, "reason": address}) == "REJECT"
        assert len(run.inputs()) == 2  # the form and its text
        assert run.resume() == "REJECT"
        assert run.state()["type"] == "PAUSED"
        assert run.resume(approver="Ada", reason="left the switch off", how_many=3) == "ACCEPT"

        assert run.said() == ("No", [Said("rejected", "Ada", "left the switch off", None, "form")])


def test_a_form_without_an_answer_ends_with_the_time(environment: dict[str, str], engine: str) -> None:
    """The run ends by itself when the time is over, and its form takes no answer any more."""
    with asked(environment, engine, "asks-in-vain", seconds=1) as run:
        assert run.said() == ("No", [])
        assert run.resume(**YES) == "ABORT"


def test_a_cancelled_run_without_runner_has_no_answer(environment: dict[str, str], engine: str) -> None:
    """No process sends it a signal: the run sees for itself that it was cancelled."""
    with asked(environment, engine, "asks-and-is-cancelled") as run:
        run.cancel()

        assert run.said() == ("No", [])


@pytest.mark.usefixtures("server")
def test_a_deployed_run_is_answered_in_the_same_way(engine: str) -> None:
    """Once: the second answer hears that it comes too late."""
    run = served(engine)
    assert run.resume(**NO) == "ACCEPT"

    assert run.said() == ("No", [Said("rejected", "Ada Operator", "no programme was closed", None, "form")])
    assert run.resume(**YES) == "ABORT"


@pytest.mark.usefixtures("server")
def test_a_deployed_run_that_is_cancelled_while_it_asks_ends_as_cancelled(engine: str) -> None:
    """By the runner's signal, or as no answer where the run itself has seen first that it was cancelled."""
    run = served(engine)
    run.cancel()
    run.until("CANCELLED")

    assert run.state()["name"] in ("Stopped", "Cancelled", "No")


def test_a_deployed_run_that_is_told_to_stop_while_it_asks_stops(
    engine: str, server: "subprocess.Popen[bytes]"
) -> None:
    """By a signal to its own process."""
    run = served(engine)
    for child in psutil.Process(server.pid).children(recursive=True):
        if child.environ().get("PREFECT__FLOW_RUN_ID") == run.flow_run:
            os.kill(child.pid, signal.SIGTERM)
    run.until("CANCELLED")

    assert run.state()["name"] == "Stopped"
