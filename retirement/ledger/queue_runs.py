"""Runs of the queue: how deep it was, what became of the batch, and what a guard asked a human."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Select, func, select

from retirement.errors import ConfigError, StateConflict
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core

Answer = Literal["approved", "rejected", "expired"]


@dataclass(frozen=True, slots=True)
class QueueRun:
    """One run of the queue; `ended_at` None while it runs, or when it died."""

    run_id: str
    began_at: datetime
    depth: int
    batch: int
    ended_at: datetime | None
    counts: Mapping[str, int]  #: learners by ending
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a guard asked, and the answer; `answer` None while nobody has given one."""

    id: int
    run_id: str
    asked_at: datetime
    trips: tuple[str, ...]
    depth: int
    expires_at: datetime
    answer: Answer | None
    approver: str | None
    reason: str | None
    at_most: int | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """What is usual here. Days are in UTC; `began_at` is the time of the first entry, None in an empty ledger."""

    began_at: datetime | None
    first_seen: Mapping[date, int]
    retired: Mapping[date, int]
    domains: Mapping[str, int]  #: learners first seen, by the digest of their e-mail's domain


class QueueRuns(Core):
    """Register runs of the queue and decisions, and look back at them."""

    async def queue_began(self, run_id: str, depth: int, batch: int) -> None:
        """Registers that a run has begun. Raises `StateConflict` where it had already."""
        row = {"run_id": run_id, "depth": depth, "batch": batch, "ended_at": None, "counts": None, "seconds": None}

        def begin(book: Book) -> None:
            if book.row(tables.queue_run, run_id):
                raise StateConflict(f"the queue run {run_id} has begun already")
            book.enter("queue.began", New(tables.queue_run, row | {"began_at": book.at}), facts={"run_id": run_id})

        await self.write(begin)

    async def queue_ended(self, run_id: str, counts: Mapping[str, int], seconds: float) -> None:
        """Registers what a run came to. Raises `StateConflict` for one that never began."""
        said = chain.canonical(dict(counts))

        def end(book: Book) -> None:
            row = book.row(tables.queue_run, run_id)
            if row is None:
                raise StateConflict(f"the queue run {run_id} has never begun")
            after = row | {"ended_at": book.at, "counts": said, "seconds": float(seconds)}
            book.enter("queue.ended", Changed(tables.queue_run, after), facts={"run_id": run_id})

        await self.write(end)

    async def queue_runs(self, since: datetime) -> list[QueueRun]:
        """The runs that began then or later, in that order."""
        runs = tables.queue_run
        statement = select(runs).where(runs.c.began_at >= chain.written(since)).order_by(runs.c.began_at, runs.c.run_id)
        return [_queue_run(row) for row in await self.read(lambda book: book.rows(statement))]

    async def ask(self, run_id: str, *, trips: Sequence[str], depth: int, expires_at: datetime) -> int:
        """Registers what a guard asks a human; returns the number of the decision."""
        row: dict[str, Any] = dict.fromkeys(("answer", "approver", "reason", "at_most", "decided_at"))
        row |= {"run_id": run_id, "trips": chain.canonical(list(trips)), "depth": depth}
        row["expires_at"] = chain.written(expires_at)

        def ask(book: Book) -> int:
            whole = row | {"id": book.next_id, "asked_at": book.at}
            return book.enter("decision.asked", New(tables.decision, whole), facts={"run_id": run_id})

        return await self.write(ask)

    async def decide(
        self, decision_id: int, answer: Answer, *, approver: str | None, reason: str, at_most: int | None = None
    ) -> Decision:
        """Registers the answer. Raises `ConfigError` for an unknown decision, `StateConflict` for an answered one."""

        def decide(book: Book) -> Decision:
            row = book.row(tables.decision, decision_id)
            if row is None:
                raise ConfigError(f"there is no decision {decision_id}")
            if row["answer"]:
                raise StateConflict(f"decision {decision_id} was {row['answer']} already")
            after = row | {"answer": answer, "approver": approver, "reason": reason}
            after |= {"at_most": at_most, "decided_at": book.at}
            book.enter("decision.made", Changed(tables.decision, after), facts={"run_id": row["run_id"]})
            return _decision(after)

        return await self.write(decide)

    async def decisions(self, *, run_id: str | None = None, open_only: bool = False) -> list[Decision]:
        """The decisions, oldest first: all, those of one run, those nobody has answered."""
        statement = select(tables.decision).order_by(tables.decision.c.id)
        if run_id is not None:
            statement = statement.where(tables.decision.c.run_id == run_id)
        if open_only:
            statement = statement.where(tables.decision.c.answer.is_(None))
        return [_decision(row) for row in await self.read(lambda book: book.rows(statement))]

    async def history(self, since: datetime) -> History:
        """How many learners were first seen and how many retired, each day since then."""
        learners, text = tables.learner, chain.written(since)
        seen = _per_day(learners.c.first_seen_at).where(learners.c.first_seen_at >= text)
        retired = _per_day(learners.c.retired_at).where(learners.c.retired_at >= text)
        domains = select(learners.c.domain_digest).where(learners.c.first_seen_at >= text)
        first = select(tables.event.c.at).where(tables.event.c.seq == 1)

        def look(book: Book) -> History:
            began = book.connection.execute(first).scalar_one_or_none()
            counted = Counter(row["domain_digest"] for row in book.rows(domains) if row["domain_digest"])
            return History(chain.read_or_none(began), _days(book, seen), _days(book, retired), dict(counted))

        return await self.read(look)


def _per_day(column: Any) -> Select[Any]:
    # The first ten characters of a time are its day.
    day = func.substr(column, 1, 10)
    return select(day.label("day"), func.count().label("learners")).group_by(day).order_by(day)


def _days(book: Book, statement: Select[Any]) -> dict[date, int]:
    return {date.fromisoformat(row["day"]): row["learners"] for row in book.rows(statement)}


def _queue_run(row: Mapping[str, Any]) -> QueueRun:
    return QueueRun(
        run_id=row["run_id"],
        began_at=chain.read(row["began_at"]),
        depth=row["depth"],
        batch=row["batch"],
        ended_at=chain.read_or_none(row["ended_at"]),
        counts=json.loads(row["counts"] or "{}"),
        seconds=row["seconds"],
    )


def _decision(row: Mapping[str, Any]) -> Decision:
    return Decision(
        id=row["id"],
        run_id=row["run_id"],
        asked_at=chain.read(row["asked_at"]),
        trips=tuple(json.loads(row["trips"])),
        depth=row["depth"],
        expires_at=chain.read(row["expires_at"]),
        answer=row["answer"],
        approver=row["approver"],
        reason=row["reason"],
        at_most=row["at_most"],
        decided_at=chain.read_or_none(row["decided_at"]),
    )
