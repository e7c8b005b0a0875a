"""Questions that outlive their run: asked on, answered once, acted on by a later run, about their learners only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retirement import process
from retirement.config import Configuration
from retirement.errors import Ending, GuardStopped, SamePerson, StateConflict
from retirement.ledger import Asked, Said
from retirement.queue import consent
from retirement.queue.consent import Consent
from retirement.queue.intake import Intake

from .batches import take_in
from .doubles import World, holder
from .test_intake import LINE, configuration

pytestmark = pytest.mark.anyio


class Night:
    """Queue runs of a site whose guard asks about more than one learner."""

    def __init__(self, world: World, folder: Path, **guard: Any) -> None:
        self.world, self.site = world, world.site(LINE)
        self.configuration: Configuration = configuration(folder, queue={"threshold": 1}, guard=guard)
        self.runs = 0

    async def intake(self) -> Intake:
        return await take_in(self.site, self.configuration, 0)

    async def ask(self, wanted: int = 2) -> Asked:
        """What the next run asks."""
        self.runs += 1
        ledger, guard, run = self.world.ledger, self.configuration.guard, f"run-{self.runs}"
        intake = await self.intake()
        if asked := await consent.open_question(ledger):
            return await consent.taken_up(ledger, asked, run)
        return await consent.new_question(ledger, guard, intake, run, wanted)

    async def say(self, asked: Asked, answer: str = "approved", at_most: int | None = 2, reason: str = "known") -> None:
        """A person answers."""
        said = Said("approved" if answer == "approved" else "rejected", "Ada", reason, at_most, "command")
        about = await consent.nameable(self.site, asked)
        await consent.answered(self.world.ledger, asked, said, self.configuration.guard, about)

    async def standing(self) -> int | None:
        """The question on whose answer the next run acts."""
        asked = await consent.standing(self.world.ledger, await self.intake())
        return asked.id if asked else None

    async def act(self) -> Consent:
        """The next run acts on what was said."""
        self.runs += 1
        asked = await consent.standing(self.world.ledger, await self.intake())
        assert asked is not None
        return await consent.act(self.world.ledger, asked, await self.intake(), f"run-{self.runs}")

    async def names(self, yes: Consent, limit: int = 9) -> list[str]:
        """Whom a run takes."""
        known = {number: name for name, number in self.world.user_ids.items()}
        return [known[each.user_id] for each in yes.batch(await self.intake(), limit)]


def seed(world: World, count: int) -> None:
    """Learners dana-0, dana-1, …, the most urgent first; the first two are seeded alike whatever the count."""
    learners = [holder(f"dana-{number}", requested_days_ago=20 - number) for number in range(count)]
    world.seed(*learners, states=LINE.lms_states)


async def test_a_later_run_asks_on_and_acts_on_the_answer(world: World, tmp_path: Path) -> None:
    """Under one number; the learners, both runs and who answered are in the ledger, and a 41st is not covered."""
    seed(world, 2)
    night = Night(world, tmp_path)
    first = await night.ask()
    seed(world, 3)  # dana-2 has asked meanwhile
    again = await night.ask()
    assert (again.id, again.decision.run_id, again.question.run_id) == (first.id, "run-1", "run-2")
    assert again.question.user_ids == tuple(sorted(world.user_ids[name] for name in ("dana-0", "dana-1")))
    assert await night.standing() is None

    await night.say(again)
    world.calendar.pass_by(hours=20)  # the run that asked has ended long since
    yes = await night.act()

    assert await night.names(yes) == ["dana-0", "dana-1"]
    assert await night.names(yes, limit=1) == ["dana-0"]
    (asked,) = await world.ledger.decisions.current()
    assert (asked.question.used_by, asked.question.answered_by) == ("run-3", "command")
    assert (await world.ledger.verify()).ok


async def test_a_yes_lets_no_more_through_than_it_says(world: World, tmp_path: Path) -> None:
    """Over as many runs as it takes: a learner who was begun counts, and may be begun again."""
    seed(world, 4)
    night = Night(world, tmp_path)
    await night.say(await night.ask(wanted=4), at_most=2)
    world.calendar.pass_by(minutes=1)
    lease = await world.ledger.learners.lease(
        await world.learner(night.site, "dana-1"), due_at=world.calendar.now, pipeline="p1"
    )
    await lease.end("parked", "a service is down", "PENDING")

    yes = await night.act()
    assert (await night.names(yes), yes.left) == (["dana-0", "dana-1"], 1)
    lease = await world.ledger.learners.lease(
        await world.learner(night.site, "dana-0"), due_at=world.calendar.now, pipeline="p1"
    )
    await lease.end("parked", "a service is down", "PENDING")

    assert await night.standing() is None
    assert (await night.ask()).id != yes.question


async def test_more_learners_than_the_limit_need_two_people(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first yes lets no run act, that of another account does; at the limit one person is enough."""
    seed(world, 2)
    night = Night(world, tmp_path, second_person_above=1)
    asked = await night.ask()
    monkeypatch.setattr(process, "_account", lambda _: "ada")
    await night.say(asked)
    waits = await world.ledger.decisions.one(asked.id)
    assert consent.one_of_two(waits).startswith("1 of 2: Ada at ")
    assert (await night.standing(), (await night.ask()).yeses) == (None, waits.yeses)
    with pytest.raises(SamePerson):
        await night.say(asked)
    with pytest.raises(GuardStopped, match=r"stays open \(1 of 2: Ada at .* said yes; it needs another person\)"):
        await consent.act(world.ledger, waits, await night.intake(), "run-9")
    monkeypatch.setattr(process, "_account", lambda _: "ben")
    await night.say(asked, at_most=1)
    assert (await night.act()).left == 1

    for limit, is_answered in ((0, False), (1, True)):
        night = Night(world, tmp_path, second_person_above=limit)
        asked = await night.ask(1)
        await night.say(asked, at_most=1)
        assert (await night.standing() == asked.id) == is_answered
        await close(world, asked, is_answered)


async def close(world: World, asked: Asked, is_answered: bool) -> None:
    """Ends a question, so that the next one is another."""
    if not is_answered:
        await world.ledger.decisions.answer(asked.id, Said("rejected", "Ada", "a test", None, "command"))


async def test_a_no_stops_one_run_and_the_next_asks_anew(world: World, tmp_path: Path) -> None:
    """About the same learners; where another one waits, the no is not about this queue."""
    seed(world, 2)
    night = Night(world, tmp_path)
    asked = await night.ask()
    await night.say(asked, "rejected", None)
    with pytest.raises(GuardStopped, match=f"question {asked.id}: rejected"):
        await night.act()
    assert await night.standing() is None

    asked = await night.ask()
    await night.say(asked, "rejected", None)
    seed(world, 3)
    assert await night.standing() is None


async def test_an_answer_and_a_question_have_an_end(world: World, tmp_path: Path) -> None:
    """Each its own: the question by `wait_hours`, the answer by `answer_hours` from when it was given."""
    seed(world, 2)
    night = Night(world, tmp_path, wait_hours=3, answer_hours=5)
    asked = await night.ask()
    world.calendar.pass_by(hours=2)
    await night.say(asked)
    world.calendar.pass_by(hours=4)
    assert await night.standing() == asked.id
    world.calendar.pass_by(hours=1)
    assert await night.standing() is None

    late = await night.ask()
    world.calendar.pass_by(hours=3, minutes=1)
    with pytest.raises(StateConflict, match="was to be answered until"):
        await night.say(late)
    assert (await night.ask()).id not in (asked.id, late.id)
    (closed,) = [each for each in await world.ledger.decisions.find() if each.id == late.id]
    assert (closed.answer, closed.approver) == ("expired", None)


async def test_the_first_answer_counts_and_names_nobody(world: World, tmp_path: Path) -> None:
    """The second is entered and refused; a reason that names one of the learners is withheld in both."""
    seed(world, 2)
    night = Night(world, tmp_path)
    asked = await night.ask()
    await night.say(asked, reason="dana-0 and dana-1 have left")
    with pytest.raises(StateConflict, match=f"{asked.id} was approved already, by Ada"):
        await night.say(asked, "rejected", None, reason="not dana-1")

    (decision,) = await world.ledger.decisions.find()
    (late,) = await world.ledger.events.find(kind="decision.late")
    assert (decision.answer, decision.reason) == ("approved", "withheld: it named a learner")
    assert (late.facts["answer"], late.facts["reason"]) == ("rejected", "withheld: it named a learner")


async def test_a_guard_that_asks_no_person_stops_the_run(world: World, tmp_path: Path) -> None:
    """The ledger has the stop, and no answer can be given to it."""
    seed(world, 2)
    night = Night(world, tmp_path, wait_hours=0)
    stop = await consent.stopped(world.ledger, await night.intake(), "run-1")

    assert "guard.wait_hours is 0" in str(stop)
    (decision,) = await world.ledger.decisions.find()
    assert (decision.answer, decision.depth) == ("expired", 2)
    assert await world.ledger.decisions.current() == []


async def test_a_run_that_does_not_wait_says_how_to_answer(world: World, tmp_path: Path) -> None:
    """The whole commands, the number and the time."""
    seed(world, 2)
    night = Night(world, tmp_path)
    asked = await night.ask(wanted=1)
    text = str(consent.left_open(asked, await night.intake()))

    assert f"`retirement approve {asked.id} --approver NAME --reason WHY` (with `--at-most N`" in text
    assert f"`retirement reject {asked.id} " in text
    assert f"until {asked.decision.expires_at:%Y-%m-%d %H:%M} UTC; the next queue run acts on it" in text


async def test_a_clock_that_goes_back_lets_no_more_learners_through_than_were_agreed_to(
    world: World, tmp_path: Path
) -> None:
    """Learners begun under the answer count by the order of the entries, and those before it do not."""
    seed(world, 4)
    night = Night(world, tmp_path)
    asked = await night.ask(wanted=1)
    await world.retire(night.site, "dana-3")
    await night.say(asked, at_most=1)
    world.calendar.pass_by(minutes=-30)
    (first,) = await night.names(await night.act())
    assert (await world.retire(night.site, first)).ending is Ending.RETIRED

    assert (first, await night.standing()) == ("dana-0", None)
