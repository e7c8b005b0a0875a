"""What a person has said about a queue that a guard stopped: the question, its answer, and the learners of a yes.

Ledger only: how a form is shown and a command asks is elsewhere. One question is open at a time. A run that finds
it open asks it again under the same number, and a run that finds it answered acts on the answer, so that neither
needs the run that asked. A yes covers the learners of its question and no other; those wait for a later run, whose
guards judge them anew.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from retirement.config import GuardSettings
from retirement.errors import ConfigError, GuardStopped, StateConflict
from retirement.learner import Learner
from retirement.ledger import Asked, Ledger, Said
from retirement.privacy import withheld
from retirement.queue.intake import Intake
from retirement.site import Site


@dataclass(frozen=True)
class Consent:
    """A yes: `left` more of these learners may be begun, and those again who were begun under it already."""

    question: int
    user_ids: frozenset[int]
    begun: frozenset[int]
    left: int

    def batch(self, intake: Intake, limit: int) -> list[Learner]:
        """At most `limit` learners of a queue that the yes lets through, least time left first."""
        taken: list[Learner] = []
        left = self.left
        for learner in intake.only(self.user_ids).batch(intake.depth):
            if len(taken) == limit:
                break
            if learner.user_id not in self.begun:
                if not left:
                    continue
                left -= 1
            taken.append(learner)
        return taken


async def consent_of(ledger: Ledger, asked: Asked) -> Consent:
    """What is left of a yes: learners who were begun since then are counted, by whatever run."""
    about = frozenset(asked.question.user_ids)
    begun = about & await ledger.decisions.begun_since(asked.id)
    return Consent(asked.id, about, begun, max((asked.decision.at_most or 0) - len(begun), 0))


async def standing(ledger: Ledger, intake: Intake) -> Asked | None:
    """The newest answer on which this run may act, None where there is none.

    A yes that lets one of those through who wait; a no about all of them on which no run has acted.
    """
    for asked in reversed(await ledger.decisions.current()):
        if asked.counts(ledger.now()) and await _applies(ledger, asked, intake):
            return asked
    return None


async def _applies(ledger: Ledger, asked: Asked, intake: Intake) -> bool:
    if asked.decision.answer == "rejected":
        waiting = {each.user_id for each in intake.waiting}
        return asked.question.used_by is None and waiting <= set(asked.question.user_ids)
    consent = await consent_of(ledger, asked)
    return consent.left > 0 and bool(consent.batch(intake, 1))


async def open_question(ledger: Ledger) -> Asked | None:
    """The question that waits for an answer; those whose time is over are closed. None where none is open."""
    for asked in reversed(await ledger.decisions.current()):
        if asked.is_open(ledger.now()):
            return asked
        if asked.decision.answer is None:
            await close(ledger, asked)
    return None


async def new_question(ledger: Ledger, settings: GuardSettings, intake: Intake, run_id: str, wanted: int) -> Asked:
    """A question of this run about all who wait; `wanted` are those whom it would retire."""
    number = await ledger.decisions.ask(
        run_id,
        trips=[trip.sentence for trip in intake.trips],
        depth=intake.depth,
        expires_at=ledger.now() + timedelta(hours=settings.wait_hours),
        about=[each.user_id for each in intake.waiting],
        wanted=wanted,
    )
    return await ledger.decisions.one(number)


async def taken_up(ledger: Ledger, asked: Asked, run_id: str) -> Asked:
    """The question as this run asks it from here on, unless it was answered meanwhile."""
    with suppress(StateConflict):
        return await ledger.decisions.take_up(asked.id, run_id)
    return await ledger.decisions.one(asked.id)


async def stopped(ledger: Ledger, intake: Intake, run_id: str) -> GuardStopped:
    """The stop of a run that asks no person, once the ledger has it."""
    trips = [trip.sentence for trip in intake.trips]
    number = await ledger.decisions.ask(run_id, trips=trips, depth=intake.depth, expires_at=ledger.now())
    reason = "no person is asked here: guard.wait_hours is 0"
    await ledger.decisions.answer(number, Said("expired", None, reason))
    return GuardStopped(f"{_why(intake)}: nothing was called, and {reason}")


async def act(ledger: Ledger, asked: Asked, intake: Intake, run_id: str) -> Consent:
    """Enters that this run acts on an answer. Raises `GuardStopped` for every answer but a yes that counts."""
    if asked.decision.answer in ("approved", "rejected"):
        try:
            asked = await ledger.decisions.use(asked.id, run_id)
        except StateConflict as conflict:
            raise GuardStopped(f"{_why(intake)}: nothing was called, since {conflict}") from None
    if asked.decision.answer != "approved":
        raise GuardStopped(f"{_why(intake)}: nothing was called, since {_no(asked)}")
    return await consent_of(ledger, asked)


async def close(ledger: Ledger, asked: Asked) -> Asked:
    """The question once its time is over: entered as expired, unless an answer was faster."""
    with suppress(StateConflict):  # a person was faster
        await ledger.decisions.answer(asked.id, Said("expired", None, "no answer came in time"))
    return await ledger.decisions.one(asked.id)


async def answered(
    ledger: Ledger, asked: Asked, said: Said, settings: GuardSettings, about: Collection[Learner]
) -> bool:
    """Enters what a person said, without what would name one of the learners; False where it needs another person.

    Raises `StateConflict` for a late one, and `SamePerson` where the person has said yes already and two are needed.
    """
    approver = withheld(said.approver or "", about)
    kept = Said(said.answer, approver, withheld(said.reason, about), said.at_most, said.by)
    counts_for, two = timedelta(hours=settings.answer_hours), settings.needs_second_person(said.at_most)
    return bool((await ledger.decisions.answer(asked.id, kept, counts_for=counts_for, two_people=two)).answer)


async def nameable(site: Site, asked: Asked) -> list[Learner]:
    """The learners of a question who are in the queue: what a person types must not name them."""
    about = set(asked.question.user_ids)
    listing = await site.lms.rows.queue(site.pipeline.queue_states, 0)
    return [each for each in listing.learners if each.user_id in about]


def number(asked: Asked, at_most: int | None, *, name: str = "at_most") -> int:
    """Learners to retire at most, by default as many as the run asks for. Raises `ConfigError` for too many."""
    wanted, about = at_most or asked.question.wanted, len(asked.question.user_ids)
    if wanted > about:
        raise ConfigError(f"{name}: question {asked.id} is about {about} learners")
    return wanted


def document(asked: Asked) -> dict[str, Any]:
    """What an answer came to: still open after the first of two yeses."""
    until = asked.question.counts_until
    return {
        "question": asked.id,
        "answer": asked.decision.answer or "open",
        "yeses": len(asked.yeses),
        "run": asked.question.used_by,
        "counts_until": until and until.isoformat(),
    }


def how_to_answer(asked: Asked) -> str:
    """The commands that answer a question."""
    return (
        f"`retirement approve {asked.id} --approver NAME --reason WHY` (with `--at-most N` for fewer than "
        f"{asked.question.wanted}) or `retirement reject {asked.id} --approver NAME --reason WHY`, "
        f"until {asked.decision.expires_at:%Y-%m-%d %H:%M} UTC"
    )


def one_of_two(asked: Asked) -> str:
    """What stands between a question and its answer where a first yes is there, "" where none is."""
    if not asked.yeses:
        return ""
    said = " and ".join(f"{each.by} at {each.at:%Y-%m-%d %H:%M} UTC" for each in asked.yeses)
    return f"1 of 2: {said} said yes; it needs another person"


def left_open(asked: Asked, intake: Intake) -> GuardStopped:
    """The stop of a run that does not wait for the answer: the next run acts on it."""
    return GuardStopped(
        f"{_why(intake)}: nothing was called; question {asked.id} waits for an answer in the ledger: "
        f"{how_to_answer(asked)}; the next queue run acts on it"
    )


def _why(intake: Intake) -> str:
    return "; ".join(trip.sentence for trip in intake.trips)


def _no(asked: Asked) -> str:
    if asked.decision.answer is None:
        open_still = "which stays open" + (f" ({one_of_two(asked)})" if asked.yeses else "")
        return f"the run was cancelled, or resumed without an answer to question {asked.id}, {open_still}"
    if asked.decision.answer == "rejected":
        return f"the run was not approved (question {asked.id}: rejected)"
    return f"the run was not approved (question {asked.id}: no answer came in time)"
