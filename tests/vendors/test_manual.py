"""MANUAL: a person does it, and the step waits for nobody."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from retirement.connectors import Outcome, registry
from retirement.connectors.manual import Manual, ManualSettings
from tests.unit.doubles import USERNAME, World, holder, shipped

pytestmark = pytest.mark.anyio

TASK = "Shred the learner's card in the paper file of the registrar."


def connector(world: World, **settings: Any) -> Manual:
    """The connector of a service PAPER."""
    wiring, _ = world.wiring()
    return Manual.connected("PAPER", ManualSettings(task=TASK, **settings), wiring)


async def test_the_step_ends_with_a_receipt_by_chance(world: World) -> None:
    """A second call is a second task; nothing is sent to anybody."""
    site = world.site(shipped("default"))
    world.seed(holder(), states=shipped("default").lms_states)
    learner = await world.learner(site, USERNAME)
    paper = connector(world)
    before = len(world.sandbox.requests)
    first, second = [await paper.perform("ask_a_person", learner) for _ in range(2)]

    assert Outcome.MANUAL is first.outcome
    assert re.fullmatch(r"[0-9a-f]{32}", first.receipt or "")
    assert first.receipt != second.receipt
    await paper.probe("ask_a_person")
    assert before == len(world.sandbox.requests)


async def test_nobody_but_a_person_can_be_asked(world: World) -> None:
    """The evidence is kept under the receipt."""
    with pytest.raises(LookupError):
        await connector(world).ask("ask_a_person", "x", None)


async def test_a_task_is_what_the_form_shows(world: World) -> None:
    """With the time that a person has."""
    paper = connector(world, due_days=3)

    assert (paper.task, paper.due.days, paper.api.service) == (TASK, 3, "PAPER")
    assert registry()["MANUAL"] is Manual


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"task": "Do it"},
        {"task": "Write to registrar@campus.example"},
        {"task": "Write to registrar%40campus.example"},
        {"task": TASK, "due_days": 0},
        {"task": TASK, "url": "https://x.example"},
        {"task": TASK, "taks": "x"},
    ],
)
def test_tasks_that_say_nothing_or_name_somebody_are_refused(settings: dict[str, Any]) -> None:
    """Forms and tasks are kept by Prefect."""
    with pytest.raises(ValidationError):
        ManualSettings(**settings)
