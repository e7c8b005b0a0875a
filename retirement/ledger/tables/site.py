"""Whose ledger it is, who may do what, and who works on what right now."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.columns import Items
from retirement.ledger.tables.row import Row


class SiteRow(Row, kw_only=True):
    """The site that the ledger belongs to: one row; `name` is what the configuration calls it."""

    __tablename__ = "site"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    since: Mapped[datetime]


class BoundKey(Row, kw_only=True):
    """The key that the ledger belongs to: one row, of which only the check value says anything. No evidence."""

    __tablename__ = "bound_key"
    is_evidence: ClassVar[bool] = False

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    check_value: Mapped[str]


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


class LeaseRow(Row, kw_only=True):
    """Who works on what right now. Coordination and not evidence: no entry tells of it, and `fence` only grows."""

    __tablename__ = "lease"
    is_evidence: ClassVar[bool] = False

    scope: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    what: Mapped[str]
    fence: Mapped[int]
    acquired_at: Mapped[datetime]
    expires_at: Mapped[datetime]
