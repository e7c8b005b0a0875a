"""Runs of the queue, and what they ask a person."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal

from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.columns import Counts, Items, Words
from retirement.ledger.tables.row import Row

#: What a person answered a guard, or that the time to answer ended.
Answer = Literal["approved", "rejected", "expired"]


#: How a person answered: by the form on a run's page, or by a command.
Way = Literal["form", "command"]


class Decision(Row, kw_only=True):
    """What a guard asked a person, and the answer; `answer` None until there is one."""

    __tablename__ = "decision"
    typed_by: ClassVar[tuple[str, ...]] = ("approver",)
    matter: ClassVar[tuple[str, ...]] = ("id", "answer", "at_most")

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str]
    asked_at: Mapped[datetime]
    trips: Mapped[tuple[str, ...]] = mapped_column(Items)
    depth: Mapped[int]
    expires_at: Mapped[datetime]
    answer: Mapped[Answer | None] = mapped_column(Words, default=None)
    approver: Mapped[str | None] = mapped_column(default=None)
    reason: Mapped[str | None] = mapped_column(default=None)
    at_most: Mapped[int | None] = mapped_column(default=None)
    decided_at: Mapped[datetime | None] = mapped_column(default=None)

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """A run acts on the answer, and not on why it was given."""
        return ""


class Question(Row, kw_only=True):
    """The learners that a decision of the same number is about, and what became of question and answer.

    `run_id` is the run that asks now, which is another than the decision's where that one died. `wanted` is how
    many learners it would retire. A yes counts until `counts_until`; `used_by` is the last run that acted on it.
    """

    __tablename__ = "question"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_ids: Mapped[tuple[int, ...]] = mapped_column(Items)
    wanted: Mapped[int]
    run_id: Mapped[str]
    answered_by: Mapped[Way | None] = mapped_column(Words, default=None)
    counts_until: Mapped[datetime | None] = mapped_column(default=None)
    used_by: Mapped[str | None] = mapped_column(default=None)
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class QueueRun(Row, kw_only=True):
    """One run of the queue; `ended_at` None while it runs, or when it died."""

    __tablename__ = "queue_run"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    began_at: Mapped[datetime]
    depth: Mapped[int]
    batch: Mapped[int]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    endings: Mapped[Mapping[str, int] | None] = mapped_column("counts", Counts, default=None)
    seconds: Mapped[float | None] = mapped_column(default=None)

    @property
    def counts(self) -> Mapping[str, int]:
        """Learners by ending; none while it runs."""
        return self.endings or {}
