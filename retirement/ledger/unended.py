"""What the ledger knows of retirements that have not ended, and of the LMS states that runs have met.

Both are asked for to find rows that today's pipeline says nothing of.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import aliased

from retirement.errors import Ending
from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.tables import Attempt, Entry, LearnerRecord
from retirement.ledger.transaction import Transaction
from retirement.pipeline import ABORTED, COMPLETE, PENDING

#: Endings after which the learner keeps the account.
TAKEN_BACK = (Ending.RESCINDED.value, "cancelled")
#: Endings after which there is nothing left to do; learners who are `unproved` are asked about by themselves.
OVER = (Ending.RETIRED.value, Ending.UNPROVED.value, *TAKEN_BACK)
#: What a run may have noted of its row at the end, where the row is not waiting any more.
_AWAY = (ABORTED, COMPLETE, "gone")
#: An attempt that proves its step.
_PROVED = (Attempt.outcome.is_not(None), Attempt.voided_at.is_(None))


class Retirement(Protocol):
    """What has to be known of a retirement to say whether it has ended retired."""

    @property
    def user_id(self) -> int:
        """The account's id in the LMS."""

    @property
    def retirement_id(self) -> int:
        """The id of the LMS row; a later request has a higher one."""

    @property
    def retired_at(self) -> datetime | str | None:
        """When it ended retired."""

    @property
    def finished(self) -> Mapping[str, str]:
        """The outcome of each proved step."""


R = TypeVar("R", bound=Retirement)


def not_retired(retirements: Iterable[R]) -> list[R]:
    """Those of several retirements that keep an answer about all of them from being "retired".

    A request under which no step was proved counts no more once a later one of the same account has ended retired:
    the learner took it back and asked again, or its row was deleted.
    """
    listed = list(retirements)
    last: dict[int, int] = {}
    for each in listed:
        if each.retired_at:
            last[each.user_id] = max(each.retirement_id, last.get(each.user_id, 0))
    return [each for each in listed if not each.retired_at and (each.finished or not _is_before(each, last))]


def _is_before(retirement: Retirement, last: Mapping[int, int]) -> bool:
    return retirement.user_id in last and retirement.retirement_id < last[retirement.user_id]


class Unended:
    """Ask which retirements are open, and which states they may be in."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def retirements(self) -> list[LearnerRecord]:
        """The newest retirement of each learner that has begun and not ended, without its attempts.

        A learner who never left PENDING is left out: such a request may be taken back at any time.
        """
        return await self._access.read(lambda tx: tx.rows(LearnerRecord, *_open()))

    async def replaced(self) -> list[LearnerRecord]:
        """Retirements that have begun and not ended retired, and that a later request of the learner has replaced.

        Their attempts are left out. The LMS has one row for each account, so no list of rows shows them.
        """
        return await self._access.read(lambda tx: tx.rows(LearnerRecord, *_replaced()))

    async def states(self) -> set[str]:
        """Names of LMS states: those in which runs have left rows, and those of every pipeline that runs had."""
        return await self._access.read(_states)


def _open() -> list[ColumnElement[bool]]:
    later = aliased(LearnerRecord)
    same = and_(later.user_id == LearnerRecord.user_id, later.retirement_id > LearnerRecord.retirement_id)
    mine = and_(Attempt.user_id == LearnerRecord.user_id, Attempt.retirement_id == LearnerRecord.retirement_id)
    state, ending = LearnerRecord.state, LearnerRecord.ending
    # A request that was taken back, or a row that was set to ABORTED, when steps had ended: half erased.
    half = and_(ending.in_(TAKEN_BACK), _has_attempt(mine, *_PROVED))
    waits = and_(ending.not_in(OVER), or_(state.is_(None), state.not_in(_AWAY)))
    has_begun = or_(and_(state.is_not(None), state != PENDING), _has_attempt(mine))
    return [~exists().where(same), LearnerRecord.retired_at.is_(None), or_(ending.is_(None), waits, half), has_begun]


def _has_attempt(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is such an attempt, looked up for each learner: of EXISTS below OR PostgreSQL may read them all."""
    return select(Attempt.id).where(*conditions).limit(1).scalar_subquery().is_not(None)


def _replaced() -> list[ColumnElement[bool]]:
    later = aliased(LearnerRecord)
    same = and_(later.user_id == LearnerRecord.user_id, later.retirement_id > LearnerRecord.retirement_id)
    mine = and_(Attempt.user_id == LearnerRecord.user_id, Attempt.retirement_id == LearnerRecord.retirement_id)
    return [exists().where(same), LearnerRecord.retired_at.is_(None), exists().where(and_(mine, *_PROVED))]


def _states(tx: Transaction) -> set[str]:
    states = set(tx.connection.scalars(select(LearnerRecord.state).distinct()))
    # One learner for each pipeline: every run of a pipeline names the same states.
    first = select(func.min(LearnerRecord.user_id)).group_by(LearnerRecord.pipeline)
    began = (Entry.kind == "run.began", Entry.user_id.in_(tx.connection.scalars(first).all()))
    for event in map(event_of, tx.rows(Entry, *began)):
        states.update(event.facts.get("steps", ()), event.facts.get("ends", ()))
    return {state for state in states if state and state != "gone"}
