"""The chain of entries, and what speaks about it."""

from typing import ClassVar

from sqlalchemy.orm import Mapped, mapped_column

from retirement.ledger.columns import Items
from retirement.ledger.tables.row import Row


class Entry(Row, kw_only=True):
    """One entry of the chain (see `chain`), all as it is stored. Nothing is ever changed or deleted here."""

    __tablename__ = "event"
    is_evidence: ClassVar[bool] = False

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str]
    kind: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(index=True)
    body: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


class SignedRow(Row, kw_only=True):
    """A head that was signed: see `heads`. No evidence, for it speaks about the chain and not in it.

    `peaks` are the roots of the whole parts of the tree, from which the next root is made.
    """

    __tablename__ = "signed_head"
    is_evidence: ClassVar[bool] = False

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str]
    at: Mapped[str]
    root: Mapped[str]
    peaks: Mapped[tuple[str, ...]] = mapped_column(Items)
    key: Mapped[str]
    signature: Mapped[str]


class HandedHead(Row, kw_only=True):
    """The last signed head that `ledger.head_url` has taken: at most one row. No evidence."""

    __tablename__ = "handed_head"
    is_evidence: ClassVar[bool] = False

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
