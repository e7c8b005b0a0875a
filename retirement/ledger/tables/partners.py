"""Claims of the LMS' partner queue."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.columns import Items
from retirement.ledger.tables.row import Row


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

    @classmethod
    def acted_on_until(cls, told: Mapping[str, Any]) -> str:
        """Its state says what there is to do."""
        return ""


class ParcelKey(Row, kw_only=True):
    """The key of what a claim has sealed, itself sealed under the key of the ledger; deleted at the delivery.

    A claim without one is of an earlier release, and sealed under the key of the ledger.
    """

    __tablename__ = "parcel_key"

    claim: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[bytes] = mapped_column(repr=False)
