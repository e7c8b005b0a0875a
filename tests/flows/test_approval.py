"""A run that asks: yes, no, nobody there, and whatever else may come instead of an answer."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.approval import Answer, answer
from retirement.errors import ConfigError
from tests import patient

YES = Answer(True, "Ada Operator", "the campus closed a programme", how_many=3)
NO = Answer(False, "Ada Operator", "nobody announced this")


class Asked:
    """One run of the flow that asks, seen through the API."""

    def __init__(self, api: str, flow_run: str) -> None:
        self.api, self.flow_run = api, flow_run

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = patient.get(f"{self.api}/flow_runs/{self.flow_run}").json()["state"]
        return found

    def until(self, *types: str) -> "Asked":
        """Waits until the run's state is of one of these types."""
        deadline = time.monotonic() + 60
        while self.state()["type"] not in types:
            assert time.monotonic() < deadline, f"the run is still {self.state()}"
        return self

    def said(self) -> tuple[str, Answer]:
        """Name of the final state, and the answer that the flow got; Prefect has nothing of it any more."""
        state = self.until("COMPLETED", "FAILED", "CANCELLED", "CRASHED").state()
        assert self.inputs() == []
        return state["name"], Answer(**json.loads(state["message"]))

    def inputs(self) -> Any:
        """What Prefect keeps of form and answer."""
        return patient.post(
            f"{self.api}/flow_runs/{self.flow_run}/input/filter", json={"prefix": "", "limit": 9}
        ).json()

    def answer(self, given: Answer) -> None:
        """What `retirement approve` and `retirement reject` call."""
        with temporary_settings({PREFECT_API_URL: self.api}):
            asyncio.run(answer(self.flow_run, given))

    def resume(self, **given: Any) -> str:
        """What the form in the UI sends; how Prefect takes it."""
        sent = patient.post(f"{self.api}/flow_runs/{self.flow_run}/resume", json={"run_input": given})
        return str(sent.json()["status"])

    def cancel(self) -> None:
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
        patient.post(f"{self.api}/flow_runs/{self.flow_run}/set_state", json=body).raise_for_status()


@contextmanager
def python(environment: dict[str, str], api: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    variables = {**environment, "PREFECT_API_URL": api, "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    command = [sys.executable, "-m", "tests.flows.asking", *arguments]
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def asked(environment: dict[str, str], api: str, name: str, seconds: float = 60) -> Iterator[Asked]:
    """A run in a process without runner, as the command line makes it, that has asked."""
    with python(environment, api, name, str(seconds)):
        found: list[dict[str, Any]] = []
        while not found:
            body = {"flow_runs": {"name": {"any_": [name]}}}
            found = patient.post(f"{api}/flow_runs/filter", json=body).json()
        yield Asked(api, found[0]["id"]).until("PAUSED")


@pytest.fixture(scope="module")
def server(environment: dict[str, str], engine: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The flow that asks as a deployment."""
    with python(environment, engine, "serve") as process:
        while patient.get(f"{engine}/deployments/name/ask-somebody/here").status_code != 200:
            pass
        yield process


def served(api: str) -> Asked:
    """A run of the deployment that has asked."""
    deployment = patient.get(f"{api}/deployments/name/ask-somebody/here").json()["id"]
    made = patient.post(f"{api}/deployments/{deployment}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
    return Asked(api, made.json()["id"]).until("PAUSED")


def test_a_run_in_this_process_goes_on_with_the_number_that_was_approved(
    environment: dict[str, str], engine: str
) -> None:
    """As the form says it, or with the run's own number where nobody changes it."""
    with asked(environment, engine, "asks-for-three") as run:
        run.answer(YES)
        assert run.said() == ("Approved", YES)

    with asked(environment, engine, "asks-as-proposed") as run:
        run.answer(Answer(True, "Ada Operator", "expected"))
        assert run.said() == ("Approved", Answer(True, "Ada Operator", "expected", how_many=5))


def test_answers_that_nobody_answers_for_are_refused(environment: dict[str, str], engine: str) -> None:
    """In the command and by the form alike; the run goes on waiting for a better one."""
    with asked(environment, engine, "asks-until-complete") as run:
        blank = (Answer(True, " ", "reason"), Answer(True, "Ada", ""))
        with_address = (Answer(True, "ada@ops.example", "reason"), Answer(True, "Ada", "asked by zoe%40post.example"))
        for given in (*blank, *with_address, Answer(True, "Ada", "reason", 13)):
            with pytest.raises(ConfigError):
                run.answer(given)
        complete = {"approve": True, "approver": "Ada", "reason": "expected", "how_many": 3}
        for wrong in ({"approver": ""}, {"approver": "  "}, {"reason": " "}, {"how_many": 13}, {"how_many": 0}):
            assert run.resume(**{**complete, **wrong}) == "REJECT"
        for address in ("zoe@post.example", "it was\nzoe%40post.example"):
            assert run.resume(**{**complete, "reason": address}) == "REJECT"
        assert len(run.inputs()) == 2  # the form and its text
        assert run.resume() == "REJECT"
        assert run.state()["type"] == "PAUSED"
        assert run.resume(approver="Ada", reason="left the switch off", how_many=3) == "ACCEPT"

        assert run.said() == ("No", Answer(False, "Ada", "left the switch off"))


def test_nobody_there_means_no(environment: dict[str, str], engine: str) -> None:
    """The run ends by itself when the time is over, and takes no answer any more."""
    with asked(environment, engine, "asks-in-vain", seconds=1) as run:
        assert run.said() == ("No", Answer(False, reason="nobody answered in time", expired=True))
        with pytest.raises(ConfigError, match="waits for no answer: it is No"):
            run.answer(YES)


@pytest.mark.parametrize("run", ["00000000-0000-4000-8000-000000000000", "queue-17"])
def test_an_answer_to_an_unknown_run_says_so(engine: str, run: str) -> None:
    """Also for something that is no id at all."""
    with pytest.raises(ConfigError, match=f"there is no run {run}"):
        Asked(engine, run).answer(YES)


def test_a_cancelled_run_without_runner_takes_it_as_a_no(environment: dict[str, str], engine: str) -> None:
    """Nobody sends a signal there: the run sees for itself that it was cancelled."""
    with asked(environment, engine, "asks-and-is-cancelled") as run:
        run.cancel()

        assert run.said() == ("No", Answer(False, reason="the run was cancelled or resumed without an answer"))


@pytest.mark.usefixtures("server")
def test_a_deployed_run_is_answered_in_the_same_way(engine: str) -> None:
    """Once: the second answer hears that it comes too late."""
    run = served(engine)
    run.answer(NO)

    assert run.said() == ("No", NO)
    with pytest.raises(ConfigError, match="waits for no answer"):
        run.answer(YES)


@pytest.mark.usefixtures("server")
def test_a_deployed_run_that_is_cancelled_while_it_asks_ends_as_cancelled(engine: str) -> None:
    """The runner's signal reaches it, and nobody is retired."""
    run = served(engine)
    run.cancel()
    run.until("CANCELLED")

    assert run.state()["name"] in ("Stopped", "Cancelled")


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
