"""Retirements of learners: the last run, every attempt, and what services promised."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ForeignKeyConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.tables.row import ALWAYS, Row


class Attempt(Row, kw_only=True):
    """One try at one step: its intent, then what came of it. `fence` is that of the run's lease.

    Neither outcome nor error: it is under way, or its run died in it.
    """

    __tablename__ = "attempt"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int]
    retirement_id: Mapped[int]
    step: Mapped[str]
    service: Mapped[str]
    operation: Mapped[str]
    fence: Mapped[int]
    began_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(default=None)
    error: Mapped[str | None] = mapped_column(default=None)  #: the class of the error
    reason: Mapped[str | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    voided_at: Mapped[datetime | None] = mapped_column(default=None)
    void_reason: Mapped[str | None] = mapped_column(default=None)

    __table_args__ = (
        ForeignKeyConstraint(["user_id", "retirement_id"], ["learner.user_id", "learner.retirement_id"]),
        Index("ix_attempt_retirement", "user_id", "retirement_id"),
    )

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """Its outcome is the evidence, and no text of it is needed for what follows."""
        return ""

    @property
    def is_proved(self) -> bool:
        """Whether it has an outcome that still counts."""
        return bool(self.outcome) and not self.voided_at


def proved(attempts: Iterable[Attempt]) -> dict[str, str]:
    """The outcome of each step that is proved and not voided, by its name."""
    return {each.step: each.outcome for each in attempts if each.outcome and each.is_proved}


class LearnerRecord(Row, kw_only=True):
    """One retirement of one learner, its last run and every attempt; a second request has another row.

    `ending` is None while a run is under way, or has died.
    """

    __tablename__ = "learner"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    retirement_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    requested_at: Mapped[datetime]
    due_at: Mapped[datetime]
    pipeline: Mapped[str]
    email_digest: Mapped[str | None] = mapped_column(index=True, repr=False)
    username_digest: Mapped[str | None] = mapped_column(index=True, repr=False)
    domain_digest: Mapped[str | None] = mapped_column(repr=False)
    key_id: Mapped[str]
    first_seen_at: Mapped[datetime] = mapped_column(index=True)
    fence: Mapped[int]
    began_at: Mapped[datetime]
    ending: Mapped[str | None] = mapped_column(default=None, index=True)
    reason: Mapped[str | None] = mapped_column(default=None)
    state: Mapped[str | None] = mapped_column(default=None)  #: the LMS' state when the last run ended
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    retired_at: Mapped[datetime | None] = mapped_column(default=None, index=True)
    #: No column: every attempt, oldest first, where they were asked for.
    attempts: tuple[Attempt, ...] = field(default=())

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """The ending is the evidence; why is for those who read it soon after."""
        return ""

    @property
    def finished(self) -> dict[str, str]:
        """The outcome of each step that is proved and not voided."""
        return proved(self.attempts)

    @property
    def tried(self) -> frozenset[str]:
        """The steps that were called; none where a run has ended retired, so that nothing is left to prove."""
        return frozenset() if self.retired_at else frozenset(each.step for each in self.attempts)


class Receipt(Row, kw_only=True):
    """A job, a regulation or the like at a service, never personal; `result` None until it is settled.

    `operation` is that of the connector that is asked, None where there is no question to ask. `verdict` is what
    the last question came to, `confirmed_at` when the service first confirmed. `evidence` is what a person gave.
    """

    __tablename__ = "receipt"
    typed_by: ClassVar[tuple[str, ...]] = ("evidence_by",)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int]
    retirement_id: Mapped[int]
    step: Mapped[str]
    service: Mapped[str]
    operation: Mapped[str | None] = mapped_column(default=None)
    reference: Mapped[str]
    received_at: Mapped[datetime]
    next_check_at: Mapped[datetime | None] = mapped_column(default=None)
    checked_at: Mapped[datetime | None] = mapped_column(default=None)
    verdict: Mapped[str | None] = mapped_column(default=None)
    confirmed_at: Mapped[datetime | None] = mapped_column(default=None)
    evidence: Mapped[str | None] = mapped_column(default=None)
    evidence_by: Mapped[str | None] = mapped_column(default=None)
    result: Mapped[str | None] = mapped_column(default=None)

    __table_args__ = (
        ForeignKeyConstraint(["user_id", "retirement_id"], ["learner.user_id", "learner.retirement_id"]),
        Index("ix_receipt_retirement", "user_id", "retirement_id"),
        # Of the open ones only: they are few, and asked for by each command that looks at the whole ledger.
        Index("ix_receipt_open", "id", sqlite_where=text("result IS NULL"), postgresql_where=text("result IS NULL")),
    )

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """While it is open."""
        return ALWAYS if told["result"] is None else ""
