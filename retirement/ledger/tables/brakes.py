"""What keeps runs from acting: holds, breakers, pauses."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.columns import Items
from retirement.ledger.tables.row import ALWAYS, Row


class Hold(Row, kw_only=True):
    """One hold, on a learner or on every learner of an organisation; `service` None means on all services.

    It holds through the day `until`, in UTC.
    """

    __tablename__ = "hold"
    typed_by: ClassVar[tuple[str, ...]] = ("placed_by", "released_by")
    matter: ClassVar[tuple[str, ...]] = ("id", "org", "service", "until")

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

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """Its last day, while it is not released."""
        return "" if told["released_at"] else str(told["until"])

    @property
    def sentence(self) -> str:
        """What it does, for reports: nothing personal."""
        return f"kept until {self.until} by hold {self.id}"

    def is_on(self, user_id: int, orgs: Collection[str]) -> bool:
        """Whether it is on this learner, or on one of these organisations, which are theirs; case does not matter."""
        if self.org is None:
            return self.user_id == user_id
        return self.org.casefold() in {org.casefold() for org in orgs}


class Breaker(Row, kw_only=True):
    """The state of one service. `retry_at` is None while closed, and where only an operator closes it.

    `wait` is in seconds. `failed` lists the user ids that failed at it since its last success.
    """

    __tablename__ = "breaker"
    typed_by: ClassVar[tuple[str, ...]] = ("changed_by",)
    matter: ClassVar[tuple[str, ...]] = ("service",)

    service: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    since: Mapped[datetime]
    retry_at: Mapped[datetime | None] = mapped_column(default=None)
    wait: Mapped[float]
    reason: Mapped[str]
    by: Mapped[str] = mapped_column("changed_by")
    failed: Mapped[tuple[int, ...]] = mapped_column("failing", Items)  #: learners, since its last success
    probe_until: Mapped[datetime | None] = mapped_column(default=None)

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """While it is open, or tries."""
        return "" if told["state"] == "closed" else ALWAYS


class Pause(Row, kw_only=True):
    """A schedule that is paused: its scheduled runs call no service."""

    __tablename__ = "pause"
    typed_by: ClassVar[tuple[str, ...]] = ("paused_by",)
    matter: ClassVar[tuple[str, ...]] = ("schedule",)

    schedule: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    reason: Mapped[str]
    by: Mapped[str] = mapped_column("paused_by")

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """As long as it is there."""
        return ALWAYS

    @property
    def sentence(self) -> str:
        """Since when it stands and why, for reports; what a person typed names no learner."""
        return f"paused since {self.since:%Y-%m-%d %H:%M} UTC by {self.by}: {self.reason}"
