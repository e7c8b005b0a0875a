"""The automations that tell operators, as the Prefect server reads them: which event of which run they take."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.server.events.schemas.automations import AutomationCore, CompoundTrigger, EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent

from retirement.config import TROUBLES, ChannelSettings, Occasion
from retirement.errors import Ending, GuardStopped
from retirement.flows.deployments import OFFERS
from retirement.flows.kit.automations import telling_automations
from retirement.flows.kit.names import ENDS, FLOWS, JOBS, TAG
from retirement.flows.kit.troubles import Trouble

BLOCK = UUID(int=7)
URL = "mailtos://oncall:hunter2@mail.example.com"
CHANNEL = ChannelSettings.model_validate({"name": "oncall", "url": URL, "breaker_hours": 6})
#: Names of states that Prefect itself gives, by type; each of ours may come with any type that ends a run.
PREFECT = {"FAILED": "Failed", "CRASHED": "Crashed", "PAUSED": "Paused"}


#: What makes a final state.
ENDING = ("Completed", "Failed", "Cancelled", "Crashed")


def names_of(call: ast.Call) -> list[str]:
    """The texts that a call may give as `name`."""
    given = [each.value for each in call.keywords if each.arg == "name"]
    return [part.value for each in given for part in ast.walk(each) if isinstance(part, ast.Constant)]


@cache
def automations(channel: ChannelSettings = CHANNEL) -> dict[str, AutomationCore]:
    """By occasion, checked as the server checks them, their templates too; made once."""
    found = telling_automations(channel, BLOCK, "https://prefect.example.com")
    return {each["name"].rpartition(" ")[2]: AutomationCore.model_validate(each) for each in found}


def event(flow: str, kind: str, name: str, *tags: str) -> ReceivedEvent:
    """A run of that flow with these tags has come into a state."""
    related = [
        {
            "prefect.resource.id": f"prefect.flow.{uuid4()}",
            "prefect.resource.role": "flow",
            "prefect.resource.name": flow,
        }
    ]
    related += [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags]
    resource = {
        "prefect.resource.id": f"prefect.flow-run.{uuid4()}",
        "prefect.state-name": name,
        "prefect.state-type": kind,
    }
    return received({"event": f"prefect.flow-run.{name}", "resource": resource, "related": related})


def received(fields: dict[str, Any]) -> ReceivedEvent:
    usual = {"occurred": datetime.now(UTC), "id": uuid4(), "received": datetime.now(UTC)}
    return ReceivedEvent.model_validate({**usual, **fields})


def told(of: ReceivedEvent, channel: ChannelSettings = CHANNEL) -> list[str]:
    """The occasions as which an event is told."""
    return [name for name, each in automations(channel).items() if covering(each, of)]


def covering(automation: AutomationCore, of: ReceivedEvent) -> list[EventTrigger]:
    trigger = automation.trigger
    triggers = trigger.triggers if isinstance(trigger, CompoundTrigger) else [trigger]
    return [each for each in triggers if isinstance(each, EventTrigger) and each.covers(of)]


def test_the_flows_that_are_known_by_name_are_those_on_offer() -> None:
    """A new deployment whose runs would be told to no operator shows here."""
    assert {each.flow.name for each in OFFERS} == {*FLOWS, *JOBS}


def test_the_final_states_that_are_known_by_name_are_those_that_flows_make() -> None:
    """Each `Completed(name="…")` of the code; a state with another name would look like silence."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path("retirement/flows").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = {name for call in calls if ast.unparse(call.func) in ENDING for name in names_of(call)}

    assert {"SomeFailed", "Open", "Unwell", "Done"} <= made
    # A manual task is a record without a process, and the task of a learner's place is no run of ours.
    assert made - {*ENDS, "Done", "Ended"} == set()


def test_each_outcome_of_a_learner_is_a_final_state_that_is_known() -> None:
    """A learner's run ends by the name of its outcome."""
    assert {each.state for each in Ending} - set(ENDS) == set()


@pytest.mark.parametrize("flow", [*FLOWS, *JOBS])
@pytest.mark.parametrize("kind", ["FAILED", "CRASHED"])
def test_a_run_of_any_flow_that_fails_or_crashes_is_told_once(flow: str, kind: str) -> None:
    """In whatever state of ours; by one trigger of one automation, or it would be told twice."""
    found = automations()[kind.lower()]

    for name in (*ENDS, PREFECT[kind]):
        of = event(flow, kind, name, TAG)
        assert told(of) == [kind.lower()]
        assert len(covering(found, of)) == 1


@pytest.mark.parametrize("name", [*ENDS])
def test_what_ends_well_or_is_cancelled_is_told_to_no_operator(name: str) -> None:
    """With one exception: a queue run that asks and does not wait."""
    asks = ["paused"] if name == GuardStopped.__name__ else []

    assert told(event("retire-queue", "CANCELLED", name)) == asks
    assert [told(event("cleanup", kind, name, TAG)) for kind in ("COMPLETED", "CANCELLED")] == [[], []]


def test_a_run_that_asks_is_told() -> None:
    """Of every flow, and the forms of manual steps; a run that a person has suspended is not."""
    for flow in (*FLOWS, *JOBS):
        assert told(event(flow, "PAUSED", "Paused", TAG)) == ["paused"]
        assert told(event(flow, "PAUSED", "Suspended", TAG)) == []
    assert told(event("manual-task", "PAUSED", "Paused", "manual-task")) == ["paused"]


def test_runs_of_others_and_learners_below_a_queue_run_are_left_out() -> None:
    """The queue run says itself what became of its learners; a queue run of a cron job has no tag of ours."""
    for kind, name in PREFECT.items():
        assert told(event("retire-learner", kind, name, "queue:1")) == []
        assert told(event("doctor", kind, name)) == []
        assert told(event("etl", kind, name, TAG)) == []
        assert told(event("retire-queue", kind, name)) == [kind.lower()]


def test_a_flow_that_fails_alike_every_hour_is_told_once_in_a_while() -> None:
    """A learner's run is each a matter of its own, and so is a question."""

    def patience(of: ReceivedEvent) -> list[tuple[float, set[str]]]:
        found = [each for automation in automations().values() for each in covering(automation, of)]
        return [(each.within.total_seconds(), each.for_each) for each in found]

    alike = {"related:flow:prefect.resource.id", "prefect.state-name"}
    assert patience(event("reconcile", "FAILED", "SomeFailed", TAG)) == [(72_000, alike)]
    assert patience(event("retire-learner", "FAILED", "Errored", TAG)) == [(0, {"prefect.resource.id"})]
    assert patience(event("retire-queue", "PAUSED", "Paused")) == [(0, {"prefect.resource.id"})]
    assert patience(event("manual-task", "PAUSED", "Paused")) == [(72_000, alike)]


@pytest.mark.parametrize(("occasion", "threshold"), [("deadline", 3), ("breaker", 6), ("receipt", 0), ("schedule", 10)])
def test_a_trouble_reaches_the_channels_with_its_threshold(occasion: str, threshold: float) -> None:
    """A channel with another threshold is told by the event of that one."""
    trouble = Trouble(Occasion(occasion), "thing", threshold, "words")
    more = Trouble(Occasion(occasion), "thing", threshold + 1, "words")

    assert told(received(trouble.event)) == [occasion]
    assert told(received(more.event)) == []


def test_a_channel_is_told_of_its_occasions_only_and_nothing_holds_its_secret() -> None:
    """The automation names the block, which the server keeps encrypted."""
    few = CHANNEL.model_copy(update={"on": (Occasion.CRASHED, Occasion.RECEIPT)})

    assert set(automations(few)) == {"crashed", "receipt"}
    assert set(automations()) == {each.value for each in TROUBLES}
    everything = telling_automations(CHANNEL, BLOCK, "https://prefect.example.com")
    assert "hunter2" not in str(everything)
    assert {action["block_document_id"] for each in everything for action in each["actions"]} == {str(BLOCK)}
