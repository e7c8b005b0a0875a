"""What the ledger stores: the chain of entries, the evidence that is a projection of it, and the leases.

A class is a row, and its attributes are the columns; what they are in the database is in `columns`. Nothing
personal has a column: a learner is the user id of the LMS, and keyed digests answer questions about an e-mail
or a username. A row that was read is a copy: changing it changes nothing, `Transaction.enter` does.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from datetime import date, datetime
from typing import Any, ClassVar, Literal, cast

from sqlalchemy import Float, ForeignKeyConstraint, Index, Table, text
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column

from retirement.ledger.columns import NUMBER, Counts, Day, Items, Time, Words, plain

#: The revision of `migrations/versions` that these tables are at.
SCHEMA = "0010"

#: What a person answered a guard, or that the time to answer ended.
Answer = Literal["approved", "rejected", "expired"]

#: How a person answered: by the form on a run's page, or by a command.
Way = Literal["form", "command"]


class Row(MappedAsDataclass, DeclarativeBase):
    """A row of the ledger."""

    type_annotation_map: ClassVar[Mapping[Any, Any]] = {
        int: NUMBER,
        str: Words,
        datetime: Time,
        date: Day,
        float: Float(53),
    }


class Entry(Row, kw_only=True):
    """One entry of the chain (see `chain`), all as it is stored. Nothing is ever changed or deleted here."""

    __tablename__ = "event"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str]
    kind: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(index=True)
    body: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


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


class Hold(Row, kw_only=True):
    """One hold, on a learner or on every learner of an organisation; `service` None means on all services.

    It holds through the day `until`, in UTC.
    """

    __tablename__ = "hold"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[int | None]
    org: Mapped[str | None]
    service: Mapped[str | None]
    basis: Mapped[str]
    until: Mapped[date]
    by: Mapped[str] = mapped_column("placed_by")
    placed_at: Mapped[datetime]
    released_by: Mapped[str | None] = mapped_column(default=None)
    released_at: Mapped[datetime | None] = mapped_column(default=None)
    release_reason: Mapped[str | None] = mapped_column(default=None)

    @property
    def sentence(self) -> str:
        """What it does, for reports: nothing personal."""
        return f"kept until {self.until} by hold {self.id}"

    def is_on(self, user_id: int, orgs: Collection[str]) -> bool:
        """Whether it is on this learner, or on one of these organisations, which are theirs; case does not matter."""
        if self.org is None:
            return self.user_id == user_id
        return self.org.casefold() in {org.casefold() for org in orgs}


class Decision(Row, kw_only=True):
    """What a guard asked a person, and the answer; `answer` None until there is one."""

    __tablename__ = "decision"

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


class Breaker(Row, kw_only=True):
    """The state of one service. `retry_at` is None while closed, and where only an operator closes it.

    `wait` is in seconds. `failed` lists the user ids that failed at it since its last success.
    """

    __tablename__ = "breaker"

    service: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    since: Mapped[datetime]
    retry_at: Mapped[datetime | None] = mapped_column(default=None)
    wait: Mapped[float]
    reason: Mapped[str]
    by: Mapped[str] = mapped_column("changed_by")
    failed: Mapped[tuple[int, ...]] = mapped_column("failing", Items)
    probe_until: Mapped[datetime | None] = mapped_column(default=None)

    @property
    def failing(self) -> int:
        """How many learners failed at it since its last success."""
        return len(self.failed)


class Pause(Row, kw_only=True):
    """A schedule that is paused: its scheduled runs call no service."""

    __tablename__ = "pause"

    schedule: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    reason: Mapped[str]
    by: Mapped[str] = mapped_column("paused_by")

    @property
    def sentence(self) -> str:
        """Since when it stands and why, for reports; what a person typed names no learner."""
        return f"paused since {self.since:%Y-%m-%d %H:%M} UTC by {self.by}: {self.reason}"


class Permission(Row, kw_only=True):
    """What one person may do in one place: the whole system (`instance` is ""), or an organisation.

    A person is the `sub` of a provider (`issuer`), never a name or an address. `actions` are those of `permitted`.
    """

    __tablename__ = "permission"

    domain: Mapped[str] = mapped_column(primary_key=True)
    instance: Mapped[str] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    actions: Mapped[tuple[str, ...]] = mapped_column(Items)
    since: Mapped[datetime]


class Claim(Row, kw_only=True):
    """Learners claimed from the LMS' partner queue; `sealed` is encrypted, and deleted with its key once delivered.

    One that stays `begun` is of a run that died around its call.
    """

    __tablename__ = "partner_claim"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str]
    began_at: Mapped[datetime]
    user_ids: Mapped[tuple[int, ...]] = mapped_column(Items)
    sealed: Mapped[bytes | None] = mapped_column(default=None, repr=False)
    reason: Mapped[str | None] = mapped_column(default=None)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)


class ParcelKey(Row, kw_only=True):
    """The key of what a claim has sealed, itself sealed under the key of the ledger; deleted at the delivery.

    A claim without one is of an earlier release, and sealed under the key of the ledger.
    """

    __tablename__ = "parcel_key"

    claim: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[bytes] = mapped_column(repr=False)


class LeaseRow(Row, kw_only=True):
    """Who works on what right now. Coordination and not evidence: no entry tells of it, and `fence` only grows."""

    __tablename__ = "lease"

    scope: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    what: Mapped[str]
    fence: Mapped[int]
    acquired_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SiteRow(Row, kw_only=True):
    """The site that the ledger belongs to: one row; `name` is what the configuration calls it."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    since: Mapped[datetime]


class SignedRow(Row, kw_only=True):
    """A head that was signed: see `heads`. No evidence, for it speaks about the chain and not in it.

    `peaks` are the roots of the whole parts of the tree, from which the next root is made.
    """

    __tablename__ = "signed_head"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str]
    at: Mapped[str]
    root: Mapped[str]
    peaks: Mapped[tuple[str, ...]] = mapped_column(Items)
    key: Mapped[str]
    signature: Mapped[str]


metadata = Row.metadata


def table_of(kind: type[Row]) -> Table:
    """The table of a class of rows."""
    return cast(Table, kind.__table__)


#: The chain, as it is stored.
event = plain(table_of(Entry))
_NO_EVIDENCE = ("event", "lease", "signed_head")
#: The tables whose every row is the replay of the chain, as they are stored.
EVIDENCE = {each.name: plain(each) for each in metadata.sorted_tables if each.name not in _NO_EVIDENCE}
