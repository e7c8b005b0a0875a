"""What the ledger knows of a learner: the answers to an operator's questions."""

from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import ColumnElement, and_, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from retirement.errors import StateConflict
from retirement.learner import Learner
from retirement.ledger.access import Access
from retirement.ledger.digests import Digests
from retirement.ledger.events import event_of
from retirement.ledger.history import History, history_since
from retirement.ledger.learner_lease import LearnerLease
from retirement.ledger.leases import Leases
from retirement.ledger.runs import End, Run, begin, close, rows_before
from retirement.ledger.tables import Attempt, Entry, LearnerRecord
from retirement.ledger.transaction import Transaction
from retirement.process import counted, in_parts

#: How many learners one statement asks for: it takes some ten thousand values at most, and fewer in SQLite.
_AT_ONCE = 500
#: A run of a learner that a person asks for at the door; that it was not started; how long one is enough.
_ASKED, _UNASKED = "run.asked", "run.unasked"
ONE_RUN = timedelta(minutes=1)


class Learners:
    """Take the right to work on a learner, and ask what is known of them."""

    def __init__(self, access: Access, leases: Leases) -> None:
        self._access = access
        self._leases = leases

    async def lease(
        self,
        learner: Learner,
        *,
        due_at: datetime,
        pipeline: str | None,
        steps: Sequence[str] = (),
        ends: Sequence[str] = (),
    ) -> LearnerLease:
        """Takes a learner and enters that a run has begun; `pipeline` names the pipeline of that run.

        `steps` are the start states of its steps, by which they are named, and `ends` their end states.
        None: this run takes no steps, so what the ledger knows of the last pipeline stays.
        Raises `BusyElsewhere` while another run has the learner, and `LedgerError`.
        """
        run = Run(learner, due_at, pipeline, steps, ends)
        began = await self._leases.keep(lambda tx: begin(tx, self._access, run), lambda began: began.lease)
        return LearnerLease(self._access, self._leases, learner, began)

    async def close_run(self, user_id: int, retirement_id: int, *, ending: str, reason: str, state: str) -> bool:
        """Enters the end of a run that died without one; False where it has one by now, or is alive."""
        end = End(ending, reason, state)
        return await self._access.write(lambda tx: close(tx, user_id, retirement_id, end))

    async def ask_for_run(self, user_id: int) -> int:
        """Enters that a person asks for a run of this learner, which another process then begins; the entry.

        Raises `StateConflict` where one was asked for a moment ago: it has begun nothing yet that would show.
        """

        def enter(tx: Transaction) -> int:
            before = tx.rows(Entry, Entry.kind.in_((_ASKED, _UNASKED)), Entry.user_id == user_id)
            failed = {event_of(each).facts["asked"] for each in before if each.kind == _UNASKED}
            open_ones = [each for each in before if each.kind == _ASKED and each.seq not in failed]
            if any(tx.now - event_of(each).at < ONE_RUN for each in open_ones):
                raise StateConflict("a run of this learner was asked for a moment ago")
            return tx.enter(_ASKED, user_id=user_id, facts={})

        return await self._access.write(enter)

    async def unask_for_run(self, user_id: int, asked: int) -> None:
        """Enters that the run of that entry was not started, so that another one may be asked for at once."""
        await self._access.write(lambda tx: tx.enter(_UNASKED, user_id=user_id, facts={"asked": asked}))

    def domain_digest(self, email: str) -> str | None:
        """The digest of an e-mail's domain, to count by; None where it has none."""
        return self._access.digests.domain(email)

    async def by_email(self, email: str) -> list[LearnerRecord]:
        """Every retirement of the learner who had that e-mail, under any of the keys."""
        return await self._digested(LearnerRecord.email_digest, [each.email(email) for each in self._keys])

    async def by_username(self, username: str) -> list[LearnerRecord]:
        """Every retirement of the learner who had that username, under any of the keys."""
        return await self._digested(LearnerRecord.username_digest, [each.username(username) for each in self._keys])

    async def unknown_keys(self) -> dict[str, int]:
        """Retirements by the id of their key, where no key here is that one: no look-up finds them."""
        ids = [each.key_id for each in self._keys]
        statement = select(LearnerRecord.key_id, func.count()).where(LearnerRecord.key_id.not_in(ids))
        statement = statement.group_by(LearnerRecord.key_id).order_by(LearnerRecord.key_id)
        rows = await self._access.read(lambda tx: tx.connection.execute(statement).all())
        return {each.key_id: each[1] for each in rows}

    @property
    def _keys(self) -> tuple[Digests, ...]:
        return self._access.digests.every

    async def _digested(
        self, column: InstrumentedAttribute[str | None], digests: Sequence[str | None]
    ) -> list[LearnerRecord]:
        found = [each for each in digests if each is not None]
        return await self._access.read(lambda tx: _find(tx, column.in_(found))) if found else []

    async def newest(self, user_id: int) -> LearnerRecord | None:
        """The newest retirement of a learner, None where there never was one."""
        found = await self._access.read(lambda tx: _find(tx, LearnerRecord.user_id == user_id))
        return found[-1] if found else None

    async def retirements(self, user_ids: Collection[int]) -> list[LearnerRecord]:
        """Every retirement of these learners, a second request as one of its own."""
        parts = [*in_parts(sorted(set(user_ids)), _AT_ONCE)]
        return await self._access.read(lambda tx: [each for part in parts for each in _find_among(part, (), tx)])

    async def requested_at(self, user_ids: Collection[int]) -> dict[tuple[int, int], datetime]:
        """When each retirement of these learners was asked for, by user id and retirement id."""
        found: dict[tuple[int, int], datetime] = {}
        for some in in_parts(sorted(set(user_ids)), _AT_ONCE):
            found |= await self._access.read(partial(_requested_at, some))
        return found

    async def find(
        self,
        *,
        endings: Collection[str] | None = None,
        step: str | None = None,
        error: str | None = None,
        since: datetime | None = None,
        tried_since: datetime | None = None,
    ) -> list[LearnerRecord]:
        """The newest retirement of each learner, by user id: all, or those whose last run fits.

        `endings` are how it ended, `step` and `error` (a class) what it failed with, `since` when it was last
        active at the earliest. `tried_since`: a step of any run came to an end then or later, whenever the run began
        and whether or not it has ended.
        """
        conditions = _newest(endings, since)
        if step is not None or error is not None:
            conditions.append(_failure(step, error))
        if tried_since is not None:
            conditions.append(_tried(tried_since))
        return await self._access.read(lambda tx: _find(tx, *conditions))

    async def each(
        self, *, endings: Collection[str] | None = None, since: datetime | None = None, at_once: int = 100
    ) -> AsyncGenerator[LearnerRecord, None]:
        """What `find` finds, `at_once` at a time: attempts of all learners would fill the memory.

        Who does not fit any more when their turn comes is left out.
        """
        conditions = _newest(endings, since)
        ids = select(LearnerRecord.user_id).where(*conditions).order_by(LearnerRecord.user_id)
        user_ids = await self._access.read(lambda tx: tx.connection.scalars(ids).all())
        with counted("retirements of the ledger that were looked at", len(user_ids)) as count:
            for some in in_parts(user_ids, at_once):
                for record in await self._access.read(partial(_find_among, some, conditions)):
                    yield record
                count.done += len(some)

    async def rows_before(self, record: LearnerRecord) -> dict[str, datetime]:
        """When the LMS row had last changed before each step was proved; as `LearnerLease.row_before`."""
        return await self._access.read(lambda tx: rows_before(tx, record))

    async def open_runs(self) -> list[LearnerRecord]:
        """Retirements whose last run has no end: it is under way, or it died."""
        return await self._access.read(lambda tx: _find(tx, LearnerRecord.ending.is_(None)))

    async def history(self, since: datetime) -> History:
        """How many learners were first seen and how many retired, each day since then."""
        return await self._access.read(lambda tx: history_since(tx, since))


def _newest(endings: Collection[str] | None, since: datetime | None) -> list[ColumnElement[bool]]:
    """The newest retirement of each learner: all, or those whose last run ended so, or was active since then."""
    later = aliased(LearnerRecord)
    same = and_(later.user_id == LearnerRecord.user_id, later.retirement_id > LearnerRecord.retirement_id)
    conditions: list[ColumnElement[bool]] = [~exists().where(same)]
    if endings is not None:
        conditions.append(LearnerRecord.ending.in_(list(endings)))
    if since is not None:
        conditions.append(func.coalesce(LearnerRecord.ended_at, LearnerRecord.began_at) >= since)
    return conditions


def _tried(since: datetime) -> ColumnElement[bool]:
    same = and_(Attempt.user_id == LearnerRecord.user_id, Attempt.retirement_id == LearnerRecord.retirement_id)
    return exists().where(same, Attempt.ended_at >= since)


def _failure(step: str | None, error: str | None) -> ColumnElement[bool]:
    conditions = [
        Attempt.user_id == LearnerRecord.user_id,
        Attempt.retirement_id == LearnerRecord.retirement_id,
        Attempt.fence == LearnerRecord.fence,
        Attempt.error.is_not(None),
    ]
    if step is not None:
        conditions.append(Attempt.step == step)
    if error is not None:
        conditions.append(Attempt.error == error)
    return exists().where(*conditions)


def _requested_at(user_ids: Sequence[int], tx: Transaction) -> dict[tuple[int, int], datetime]:
    columns = select(LearnerRecord.user_id, LearnerRecord.retirement_id, LearnerRecord.requested_at)
    rows = tx.connection.execute(columns.where(LearnerRecord.user_id.in_(user_ids)))
    return {(row[0], row[1]): row[2] for row in rows}


def _find_among(
    user_ids: Sequence[int], conditions: Sequence[ColumnElement[bool]], tx: Transaction
) -> list[LearnerRecord]:
    return _find(tx, LearnerRecord.user_id.in_(user_ids), *conditions)


def _find(tx: Transaction, *conditions: ColumnElement[bool]) -> list[LearnerRecord]:
    found = tx.rows(LearnerRecord, *conditions)
    attempts: dict[tuple[int, int], list[Attempt]] = {}
    user_ids = sorted({record.user_id for record in found})
    for some in in_parts(user_ids, _AT_ONCE):
        for each in tx.rows(Attempt, Attempt.user_id.in_(some)):
            attempts.setdefault((each.user_id, each.retirement_id), []).append(each)
    for record in found:
        record.attempts = tuple(attempts.get((record.user_id, record.retirement_id), []))
    return found
