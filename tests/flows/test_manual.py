"""Manual tasks: forms that wait without a process, answers that stay until the ledger has them."""

import asyncio
from collections.abc import Coroutine
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Running

from retirement.connectors.manual import Manual, ManualSettings
from retirement.flows.kit.manual import TAG, Evidence, OpenTask, answers, open_tasks, settle, tasks_of
from retirement.ledger import Receipt
from retirement.wire.api import Api
from retirement.wire.pool import pool
from tests import locks, patient

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SAID = {"done": True, "done_by": "Ada Operator", "evidence": "ticket 4711"}


class Forms:
    """One server, seen as a person and as the flow see it."""

    def __init__(self, api: str) -> None:
        self.api = api

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        with locks.client(self.api):
            return asyncio.run(work)

    def opened(self, *tasks: OpenTask) -> None:
        self.do(open_tasks(tasks))

    def answers(self, *tasks: OpenTask) -> list[Evidence]:
        """Those to these tasks; the session's server has other tests' as well."""
        wanted = {each.reference for each in tasks}
        return [each for each in self.do(answers()) if each.reference in wanted]

    def runs(self, task: OpenTask) -> list[dict[str, Any]]:
        body = {"flow_runs": {"tags": {"all_": [f"receipt:{task.reference}"]}}}
        found: list[dict[str, Any]] = patient.post(f"{self.api}/flow_runs/filter", json=body).raise_for_status().json()
        return found

    def inputs(self, task: OpenTask) -> list[dict[str, Any]]:
        body = {"prefix": "", "limit": 9}
        url = f"{self.api}/flow_runs/{self.runs(task)[0]['id']}/input/filter"
        found: list[dict[str, Any]] = patient.post(url, json=body).json()
        return found

    def submit(self, task: OpenTask, **given: Any) -> str:
        """What the form in the UI sends; how Prefect takes it."""
        url = f"{self.api}/flow_runs/{self.runs(task)[0]['id']}/resume"
        return str(patient.post(url, json={"run_input": given}).json()["status"])


def task() -> OpenTask:
    """A task with a receipt that no other test has."""
    return OpenTask(uuid4().hex, 17, "RETIRING_PAPER", "PAPER", "Shred the card in the paper file.", NOW)


def test_a_task_waits_as_a_record_and_its_answer_stays_until_it_is_settled(engine: str) -> None:
    """One form for each, however often one looks; Prefect forgets what was typed in the end."""
    forms, card = Forms(engine), task()
    for _ in range(2):
        forms.opened(card, card)
    (run,) = forms.runs(card)
    assert (run["state"]["type"], run["name"]) == ("PAUSED", "learner-17 RETIRING_PAPER")
    assert run["state"]["state_details"]["pause_timeout"] is None
    assert any("Shred the card" in str(each["value"]) for each in forms.inputs(card))
    assert forms.answers(card) == []

    assert forms.submit(card, **SAID) == "ACCEPT"
    for _ in range(2):
        (answer,) = forms.answers(card)
        assert (answer.reference, answer.done_by, answer.evidence) == (card.reference, "Ada Operator", "ticket 4711")
    forms.opened(card)
    assert forms.runs(card)[0]["state"]["type"] == "RUNNING"

    for _ in range(2):
        forms.do(settle(card.reference))
    assert forms.runs(card)[0]["state"]["name"] == "Done"
    assert forms.inputs(card) == []
    assert forms.answers(card) == []


def test_what_is_no_evidence_is_asked_again(engine: str) -> None:
    """An address, a blank and a missing name are refused at once; *Done* switched off comes back as a form."""
    forms, card = Forms(engine), task()
    forms.opened(card)
    for wrong in ({"evidence": "asked by zoe@post.example"}, {"done_by": "zoe%40post.example"}, {"evidence": "  "}):
        assert forms.submit(card, **SAID | wrong) == "REJECT"
    assert forms.submit(card) == "REJECT"
    assert forms.submit(card, **SAID | {"done": False}) == "ACCEPT"

    assert forms.answers(card) == []
    forms.opened(card)
    assert forms.runs(card)[0]["state"]["type"] == "PAUSED"
    assert forms.submit(card, **SAID) == "ACCEPT"
    assert len(forms.answers(card)) == 1


def test_a_run_that_went_on_without_the_form_or_was_cancelled_is_asked_for_anew(engine: str) -> None:
    """The receipt is open, whatever somebody did to the run."""
    forms, card = Forms(engine), task()
    forms.opened(card)
    url = f"{engine}/flow_runs/{forms.runs(card)[0]['id']}/set_state"
    patient.post(url, json={"state": {"type": "RUNNING"}, "force": True}).raise_for_status()
    assert forms.answers(card) == []
    forms.opened(card)
    assert forms.runs(card)[0]["state"]["type"] == "PAUSED"

    patient.post(url, json={"state": {"type": "CANCELLED"}, "force": True}).raise_for_status()
    forms.opened(card)
    assert sorted(each["state"]["type"] for each in forms.runs(card)) == ["CANCELLED", "PAUSED"]


def test_a_pause_whose_form_never_came_is_asked_for_anew(engine: str) -> None:
    """The follow-up may die between the two; a run that is paused without a form cannot be answered."""
    forms, card = Forms(engine), task()
    forms.opened(card)
    (run,) = forms.runs(card)
    for each in forms.inputs(card):
        patient.delete(f"{engine}/flow_runs/{run['id']}/input/{each['key']}").raise_for_status()
    assert forms.submit(card, **SAID) == "REJECT"

    forms.opened(card)
    assert [each["id"] for each in forms.runs(card)] == [run["id"]]
    assert forms.submit(card, **SAID) == "ACCEPT"
    assert len(forms.answers(card)) == 1


def test_evidence_from_elsewhere_ends_the_form(engine: str) -> None:
    """Such as that of the command line; a reference that nobody knows is no mistake."""
    forms, card = Forms(engine), task()
    forms.opened(card)
    forms.do(settle(card.reference))
    forms.do(settle("unknown"))

    assert forms.runs(card)[0]["state"]["type"] == "COMPLETED"


def test_tasks_are_the_open_receipts_of_manual_services() -> None:
    """Receipts of others, and those that are settled, have no form."""
    settings = ManualSettings(task="Shred the card in the paper file.", due_days=3)
    connectors = {"PAPER": Manual(settings, Api("PAPER", pool("http://offline.invalid", 1)))}

    def receipt(service: str, result: str | None) -> Receipt:
        blank: dict[str, Any] = {each.name: None for each in fields(Receipt) if each.init}
        given = {"reference": "r", "user_id": 17, "step": "RETIRING_PAPER", "received_at": NOW}
        return Receipt(**blank | given | {"service": service, "result": result})

    (found,) = tasks_of([receipt("PAPER", None), receipt("PAPER", "confirmed"), receipt("BRAZE", None)], connectors)

    assert (found.reference, found.due_at.day, found.text) == ("r", 4, settings.task)
    assert "Learner 17" in found.question


def test_a_run_of_another_flow_is_the_form_of_no_receipt(engine: str) -> None:
    """Whatever tags it was started with: its form would be answered by another permission than `confirm`."""
    forms, wanted = Forms(engine), task()

    @flow(name="one-of-a-test", persist_result=False)
    def other() -> None: ...

    async def start() -> UUID:
        async with get_client() as client:
            tags = [TAG, f"receipt:{wanted.reference}"]
            return (await client.create_flow_run(other, tags=tags, state=Running())).id

    async def end(run: UUID) -> None:
        async with get_client() as client:
            await client.set_flow_run_state(run, Completed())

    run = forms.do(start())
    forms.opened(wanted)
    states = sorted(each["state"]["type"] for each in forms.runs(wanted))
    forms.do(settle(wanted.reference))
    forms.do(end(run))

    assert states == ["PAUSED", "RUNNING"]
