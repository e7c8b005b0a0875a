"""Decisions: what a guard asked a person about which learners, the answer, and the runs that acted on it.

A question outlives the run that asked: another run asks it again under the same number. The first answer counts;
later ones are entered as well, and change nothing. Where two different people are needed, the first yes leaves the
question open (see `people`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement

from retirement.errors import ConfigError, RetirementError, StateConflict
from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.people import Subject, Yes, of_another, same_person
from retirement.ledger.tables import Answer, Decision, Entry, Question, Way
from retirement.ledger.transaction import Change, Changed, New, Transaction

#: An answer that came after another one, or after the time to answer.
LATE = "decision.late"
#: The answer that counts.
MADE = "decision.made"
#: A yes that waits for that of another person, and a second one of the same person.
FIRST, SAME = "decision.first", "decision.same"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a person can answer, and what came of it; `yeses` wait for that of another person."""

    decision: Decision
    question: Question
    yeses: tuple[Yes, ...] = ()

    @property
    def id(self) -> int:
        """The number of both."""
        return self.decision.id

    def is_open(self, now: datetime) -> bool:
        """Whether an answer would count."""
        return self.decision.answer is None and now <= self.decision.expires_at

    def counts(self, now: datetime) -> bool:
        """Whether a run may act on the answer."""
        until = self.question.counts_until
        return until is not None and now < until


@dataclass(frozen=True, slots=True)
class Said:
    """What a person answered; `at_most` learners on a yes. Without `approver`: the time to answer ended."""

    answer: Answer
    approver: str | None
    reason: str
    at_most: int | None = None
    by: Way | None = None


class Decisions:
    """Register questions of guards, their answers, and who acted on them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def ask(
        self,
        run_id: str,
        *,
        trips: Sequence[str],
        depth: int,
        expires_at: datetime,
        about: Collection[int] = (),
        wanted: int = 0,
    ) -> int:
        """Registers what a guard asks a person; returns the number of the decision.

        `about` are the learners of the question, by user id, and `wanted` how many of them the run would retire.
        Without them it is a guard's stop that no person is asked about.
        """

        def ask(tx: Transaction) -> int:
            number = tx.next_id
            asked = Decision(
                id=number,
                run_id=run_id,
                asked_at=tx.now,
                trips=tuple(trips),
                depth=depth,
                expires_at=expires_at,
            )
            changes: list[Change] = [New(asked)]
            if about:
                changes.append(New(Question(id=number, user_ids=tuple(sorted(about)), wanted=wanted, run_id=run_id)))
            return tx.enter("decision.asked", *changes, facts={"run_id": run_id})

        return await self._access.write(ask)

    async def answer(
        self, decision_id: int, said: Said, *, counts_for: timedelta = timedelta(), two_people: bool = False
    ) -> Decision:
        """Registers the answer, on which runs may act for so long.

        With `two_people` a first yes leaves the decision without an answer, and that of another person, as observed,
        makes it. The same answer again changes nothing. Another one, and one that comes after the time to answer, is
        entered too, and then `StateConflict` says what counts; a second yes of one person is entered and raises
        `SamePerson`. Raises `ConfigError` for an unknown decision.
        """

        def decide(tx: Transaction) -> tuple[Decision, RetirementError | None]:
            asked = tx.row(Decision, decision_id)
            if asked is None:
                raise ConfigError(f"there is no decision {decision_id}")
            question = tx.row(Question, decision_id)
            why = _too_late(asked, question, said, tx.now)
            if not why:
                return _taken(tx, asked, question, said, tx.now + counts_for, two_people=two_people)
            if _is_same(asked, question, said):
                return asked, None
            if said.approver is not None:
                tx.enter(LATE, facts={"decision": asked.id, "run_id": asked.run_id, **_facts(said)})
            return asked, StateConflict(why)

        decision, conflict = await self._access.write(decide)
        if conflict:
            raise conflict
        return decision

    async def take_up(self, decision_id: int, run_id: str) -> Asked:
        """Registers that another run asks an open question now. Raises `StateConflict` where it is open no more."""

        def take_up(tx: Transaction) -> Asked:
            asked = _asked(tx, decision_id)
            if not asked.is_open(tx.now):
                raise StateConflict(f"question {decision_id} is open no more")
            if asked.question.run_id == run_id:
                return asked
            question = replace(asked.question, run_id=run_id)
            facts = {"run_id": run_id, "before": asked.question.run_id}
            tx.enter("decision.taken_up", Changed(question), facts=facts)
            return replace(asked, question=question)

        return await self._access.write(take_up)

    async def use(self, decision_id: int, run_id: str) -> Asked:
        """Registers that a run acts on an answer. Raises `StateConflict` where the answer counts no more."""

        def use(tx: Transaction) -> Asked:
            asked = _asked(tx, decision_id)
            if not asked.counts(tx.now):
                raise StateConflict(f"the answer to question {decision_id} counts no more")
            question = replace(asked.question, used_by=run_id, used_at=tx.now)
            tx.enter("decision.used", Changed(question), facts={"run_id": run_id})
            return replace(asked, question=question)

        return await self._access.write(use)

    async def find(self, *, run_id: str | None = None, open_only: bool = False) -> list[Decision]:
        """The decisions, oldest first: all, those of one run, those without an answer."""
        conditions: list[ColumnElement[bool]] = []
        if run_id is not None:
            conditions.append(Decision.run_id == run_id)
        if open_only:
            conditions.append(Decision.answer.is_(None))
        return await self._access.read(lambda tx: tx.rows(Decision, *conditions))

    async def one(self, decision_id: int) -> Asked:
        """A question by its number. Raises `ConfigError` for an unknown one."""
        return await self._access.read(lambda tx: _asked(tx, decision_id))

    async def of_run(self, run_id: str) -> Asked | None:
        """The newest question that a run asks, or has asked."""

        def look(tx: Transaction) -> Asked | None:
            first = [each.id for each in tx.rows(Decision, Decision.run_id == run_id)]
            found = tx.rows(Question, (Question.run_id == run_id) | Question.id.in_(first))
            return _asked(tx, found[-1].id) if found else None

        return await self._access.read(look)

    async def begun_since(self, decision_id: int) -> frozenset[int]:
        """The learners on whom runs have begun after the answer, by the order of the entries: a clock may go back."""
        return await self._access.read(lambda tx: _begun_since(tx, decision_id))

    async def current(self) -> list[Asked]:
        """The questions without an answer, in time or not, and the answers on which a run may act, oldest first."""

        def look(tx: Transaction) -> list[Asked]:
            open_ones = [each.id for each in tx.rows(Decision, Decision.answer.is_(None))]
            found = tx.rows(Question, (Question.counts_until > tx.now) | Question.id.in_(open_ones))
            return [_asked(tx, each.id) for each in found]

        return await self._access.read(look)


def question_scope(decision_id: int) -> str:
    """The scope of the lease that a run has while it waits for an answer: as long as it is live, so is the run."""
    return f"question:{decision_id}"


def _begun_since(tx: Transaction, decision_id: int) -> frozenset[int]:
    later = tx.rows(Entry, Entry.seq > decision_id, Entry.kind.in_([MADE, "run.began"]))
    numbers = (each.seq for each in later if each.kind == MADE and _is_about(each, decision_id))
    answered = next(numbers, None)
    return frozenset(each.user_id for each in later if answered and each.seq > answered and each.user_id is not None)


def _is_about(entry: Entry, decision_id: int) -> bool:
    rows = event_of(entry).rows
    return any((table, key) == (Decision.__tablename__, [decision_id]) for table, key, _ in rows)


def _asked(tx: Transaction, decision_id: int) -> Asked:
    decision, question = tx.row(Decision, decision_id), tx.row(Question, decision_id)
    if decision is None or question is None:
        raise ConfigError(f"there is no question {decision_id}")
    return Asked(decision, question, () if decision.answer else tuple(_yeses(tx, decision_id)))


def _yeses(tx: Transaction, decision_id: int) -> list[Yes]:
    return Subject(FIRST, "decision", decision_id).yeses(tx)


def _taken(
    tx: Transaction, asked: Decision, question: Question | None, said: Said, until: datetime, *, two_people: bool
) -> tuple[Decision, RetirementError | None]:
    """Enters the answer that counts, or a yes that needs another; once there is one, nothing less than two count."""
    given = _yeses(tx, asked.id) if said.answer == "approved" else []
    if said.answer != "approved" or not (two_people or given):
        return _made(tx, asked, question, said, until), None
    seen = tx.observed.facts
    if first := of_another(given, seen):
        numbers = [each for each in (first.facts["at_most"], said.at_most) if each is not None]
        both = replace(said, at_most=min(numbers, default=None))
        return _made(tx, asked, question, both, until, first=first.seq), None
    facts = {"decision": asked.id, "run_id": asked.run_id, "by": said.approver} | _yes_facts(said)
    same = same_person(given, seen, f"question {asked.id}")
    if not same:
        tx.enter(FIRST, facts=facts)
    elif not any(each.repeats(facts) for each in given):  # a run that died after it had read a form reads it again
        tx.enter(SAME, facts=facts)
    return asked, same


def _yes_facts(said: Said) -> dict[str, object]:
    return {"reason": said.reason, "at_most": said.at_most, "way": said.by}


def _made(
    tx: Transaction,
    asked: Decision,
    question: Question | None,
    said: Said,
    until: datetime,
    *,
    first: int | None = None,
) -> Decision:
    """Enters the answer that counts."""
    made = replace(
        asked, answer=said.answer, approver=said.approver, reason=said.reason, at_most=said.at_most, decided_at=tx.now
    )
    changes: list[Change] = [Changed(made)]
    if question:
        counts_until = until if said.approver is not None else None
        changes.append(Changed(replace(question, answered_by=said.by, counts_until=counts_until)))
    both = {} if first is None else {"first": first}
    tx.enter(MADE, *changes, facts={"run_id": asked.run_id, **both})
    return made


def _too_late(asked: Decision, question: Question | None, said: Said, now: datetime) -> str:
    """Why an answer does not count, "" where it does."""
    if asked.answer:
        return _first(asked, question)
    if said.answer != "expired" and now > asked.expires_at:
        return f"decision {asked.id} was to be answered until {_minute(asked.expires_at)}"
    return ""


def _first(asked: Decision, question: Question | None) -> str:
    """The answer that counts, in a sentence."""
    if asked.answer == "expired":
        return f"decision {asked.id} has expired already: it was to be answered until {_minute(asked.expires_at)}"
    by = f" by {question.answered_by}" if question and question.answered_by else ""
    when = _minute(asked.decided_at) if asked.decided_at else "an unknown time"
    return f"decision {asked.id} was {asked.answer} already, by {asked.approver} at {when}{by}"


def _is_same(asked: Decision, question: Question | None, said: Said) -> bool:
    """Whether this is the answer that counts, given once more: a run died after it had read a form."""
    stored = (asked.answer, asked.approver, asked.reason, asked.at_most, question and question.answered_by)
    return stored == (said.answer, said.approver, said.reason, said.at_most, said.by)


def _facts(said: Said) -> dict[str, object]:
    return {"answer": said.answer, "approver": said.approver} | _yes_facts(said)


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
