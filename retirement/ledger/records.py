"""What the ledger knows of a learner: the answers to an operator's questions."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, select

from retirement.ledger import chain, tables
from retirement.ledger.book import Book
from retirement.ledger.core import Core

_learners, _attempts, _events = tables.learner, tables.attempt, tables.event

#: How many learners one statement asks for.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one step. Neither outcome nor error: it is under way, or its run died in it."""

    id: int
    step: str
    service: str
    operation: str
    began_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None  #: the class of the error
    reason: str | None
    voided_at: datetime | None
    void_reason: str | None


@dataclass(frozen=True, slots=True)
class LearnerRecord:
    """One retirement, its last run and every attempt. `ending` is None while a run is under way, or has died."""

    user_id: int
    retirement_id: int
    requested_at: datetime
    due_at: datetime
    pipeline: str
    key_id: str
    first_seen_at: datetime
    began_at: datetime
    ending: str | None
    reason: str | None
    state: str | None  #: the LMS' state when the last run ended
    ended_at: datetime | None
    retired_at: datetime | None
    attempts: tuple[Attempt, ...]

    @property
    def finished(self) -> dict[str, str]:
        """The outcome of each step that is proved and not voided."""
        return {each.step: each.outcome for each in self.attempts if each.outcome and not each.voided_at}


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the chain, read."""

    seq: int
    at: datetime
    kind: str
    user_id: int | None
    facts: Mapping[str, Any]
    rows: Sequence[Any]  #: as in `chain`
    hash: str


class Records(Core):
    """Ask for learners and for events."""

    def domain_digest(self, email: str) -> str | None:
        """The digest of an e-mail's domain, to count by; None where it has none."""
        return self.digests.domain(email)

    async def by_email(self, email: str) -> list[LearnerRecord]:
        """Every retirement of whoever had that e-mail, under the present key."""
        return await self._digested(_learners.c.email_digest, self.digests.email(email))

    async def by_username(self, username: str) -> list[LearnerRecord]:
        """Every retirement of whoever had that username, under the present key."""
        return await self._digested(_learners.c.username_digest, self.digests.username(username))

    async def _digested(self, column: ColumnElement[Any], digest: str | None) -> list[LearnerRecord]:
        if digest is None:
            return []
        return await self.read(lambda book: _find(book, column == digest))

    async def record(self, user_id: int) -> LearnerRecord | None:
        """The newest retirement of a learner, None where there never was one."""
        found = await self.read(lambda book: _find(book, _learners.c.user_id == user_id))
        return found[-1] if found else None

    async def retirements(self, user_ids: Collection[int]) -> list[LearnerRecord]:
        """Every retirement of these learners, a second request as one of its own."""
        return await self.read(lambda book: _find(book, _learners.c.user_id.in_(list(user_ids))))

    async def records(
        self,
        *,
        endings: Collection[str] | None = None,
        step: str | None = None,
        error: str | None = None,
        since: datetime | None = None,
    ) -> list[LearnerRecord]:
        """The newest retirement of each learner, by user id: all, or those whose last run fits.

        `endings` are how it ended, `step` and `error` (a class) what it failed with, `since` when it was last
        active at the earliest.
        """
        later = _learners.alias("later")
        same = and_(later.c.user_id == _learners.c.user_id, later.c.retirement_id > _learners.c.retirement_id)
        conditions: list[ColumnElement[bool]] = [~exists().where(same)]
        if endings is not None:
            conditions.append(_learners.c.ending.in_(list(endings)))
        if step is not None or error is not None:
            conditions.append(_failure(step, error))
        if since is not None:
            active = func.coalesce(_learners.c.ended_at, _learners.c.began_at)
            conditions.append(active >= chain.written(since))
        return await self.read(lambda book: _find(book, *conditions))

    async def open_runs(self) -> list[LearnerRecord]:
        """Retirements whose last run has no end: it is under way, or it died."""
        return await self.read(lambda book: _find(book, _learners.c.ending.is_(None)))

    async def events(
        self, *, user_id: int | None = None, kind: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Event]:
        """Entries of the chain in their order, from the one after `after`."""
        statement = select(_events).where(_events.c.seq > after).order_by(_events.c.seq).limit(limit)
        if user_id is not None:
            statement = statement.where(_events.c.user_id == user_id)
        if kind is not None:
            statement = statement.where(_events.c.kind == kind)
        return [event_of(row) for row in await self.read(lambda book: book.rows(statement))]

    async def trail(self, user_id: int, retirement_id: int, kinds: Collection[str]) -> list[Event]:
        """Entries of these kinds about one retirement, newest first."""
        mine = (_events.c.user_id == user_id, _events.c.kind.in_(list(kinds)))
        statement = select(_events).where(*mine).order_by(_events.c.seq.desc())
        found = [event_of(row) for row in await self.read(lambda book: book.rows(statement))]
        return [each for each in found if each.facts.get("retirement") == retirement_id]

    async def note(self, kind: str, body: Mapping[str, Any], user_id: int | None = None) -> int:
        """Enters a plain event, which changes no row; returns its number. Nothing personal belongs into it."""
        return await self.write(lambda book: book.enter(kind, user_id=user_id, facts=dict(body)))


def _failure(step: str | None, error: str | None) -> ColumnElement[bool]:
    conditions = [
        _attempts.c.user_id == _learners.c.user_id,
        _attempts.c.retirement_id == _learners.c.retirement_id,
        _attempts.c.fence == _learners.c.fence,
        _attempts.c.error.is_not(None),
    ]
    if step is not None:
        conditions.append(_attempts.c.step == step)
    if error is not None:
        conditions.append(_attempts.c.error == error)
    return exists().where(*conditions)


def _find(book: Book, *conditions: ColumnElement[bool]) -> list[LearnerRecord]:
    statement = select(_learners).where(*conditions).order_by(_learners.c.user_id, _learners.c.retirement_id)
    found = book.rows(statement)
    attempts: dict[tuple[int, int], list[Attempt]] = {}
    user_ids = sorted({row["user_id"] for row in found})
    for first in range(0, len(user_ids), _AT_ONCE):
        some = user_ids[first : first + _AT_ONCE]
        for row in book.rows(select(_attempts).where(_attempts.c.user_id.in_(some)).order_by(_attempts.c.id)):
            attempts.setdefault((row["user_id"], row["retirement_id"]), []).append(_attempt(row))
    return [_record(row, attempts.get((row["user_id"], row["retirement_id"]), [])) for row in found]


def _record(row: Mapping[str, Any], attempts: Sequence[Attempt]) -> LearnerRecord:
    return LearnerRecord(
        user_id=row["user_id"],
        retirement_id=row["retirement_id"],
        requested_at=chain.read(row["requested_at"]),
        due_at=chain.read(row["due_at"]),
        pipeline=row["pipeline"],
        key_id=row["key_id"],
        first_seen_at=chain.read(row["first_seen_at"]),
        began_at=chain.read(row["began_at"]),
        ending=row["ending"],
        reason=row["reason"],
        state=row["state"],
        ended_at=chain.read_or_none(row["ended_at"]),
        retired_at=chain.read_or_none(row["retired_at"]),
        attempts=tuple(attempts),
    )


def _attempt(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        id=row["id"],
        step=row["step"],
        service=row["service"],
        operation=row["operation"],
        began_at=chain.read(row["began_at"]),
        ended_at=chain.read_or_none(row["ended_at"]),
        outcome=row["outcome"],
        error=row["error"],
        reason=row["reason"],
        voided_at=chain.read_or_none(row["voided_at"]),
        void_reason=row["void_reason"],
    )


def event_of(row: Mapping[str, Any]) -> Event:
    """A stored entry, read."""
    body = json.loads(row["body"])
    at = chain.read(row["at"])
    return Event(row["seq"], at, row["kind"], row["user_id"], body["facts"], body["rows"], row["hash"])
