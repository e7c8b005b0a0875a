"""Receipts: what a service gave us to ask about later, where it will erase and has not yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from retirement.errors import ConfigError
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core


@dataclass(frozen=True, slots=True)
class Receipt:
    """A job, a regulation or the like at a service, never personal; `result` None until it is known."""

    id: int
    user_id: int
    retirement_id: int
    step: str
    service: str
    reference: str
    received_at: datetime
    next_check_at: datetime | None
    checked_at: datetime | None
    result: str | None


class Receipts(Core):
    """Keep, list and settle receipts."""

    async def add_receipt(
        self,
        *,
        user_id: int,
        retirement_id: int,
        step: str,
        service: str,
        reference: str,
        next_check_at: datetime | None = None,
    ) -> int:
        """Keeps a receipt and returns its number. Raises `ConfigError` for a retirement that was never begun."""
        row = {"user_id": user_id, "retirement_id": retirement_id, "step": step, "service": service}
        row |= {"reference": reference, "checked_at": None, "result": None}
        row["next_check_at"] = chain.written(next_check_at) if next_check_at else None

        def add(book: Book) -> int:
            if book.row(tables.learner, user_id, retirement_id) is None:
                raise ConfigError(f"the ledger has no retirement {retirement_id} of learner {user_id}")
            whole = row | {"id": book.next_id, "received_at": book.at}
            return book.enter("receipt.added", New(tables.receipt, whole), user_id=user_id, facts={"step": step})

        return await self.write(add)

    async def receipt_checked(
        self, receipt_id: int, *, result: str | None, next_check_at: datetime | None = None
    ) -> None:
        """Says what asking came to; without a result it is asked again. Raises `ConfigError` for an unknown one."""
        changes = {"result": result, "next_check_at": chain.written(next_check_at) if next_check_at else None}

        def check(book: Book) -> None:
            row = book.row(tables.receipt, receipt_id)
            if row is None:
                raise ConfigError(f"there is no receipt {receipt_id}")
            after = row | changes | {"checked_at": book.at}
            facts = {"step": row["step"]}
            book.enter("receipt.checked", Changed(tables.receipt, after), user_id=row["user_id"], facts=facts)

        await self.write(check)

    async def receipts(self, *, user_id: int | None = None, open_only: bool = False) -> list[Receipt]:
        """The receipts, oldest first: all, those of one learner, those without a result."""
        statement = select(tables.receipt).order_by(tables.receipt.c.id)
        if user_id is not None:
            statement = statement.where(tables.receipt.c.user_id == user_id)
        if open_only:
            statement = statement.where(tables.receipt.c.result.is_(None))
        return [_receipt(row) for row in await self.read(lambda book: book.rows(statement))]


def _receipt(row: Mapping[str, Any]) -> Receipt:
    return Receipt(
        id=row["id"],
        user_id=row["user_id"],
        retirement_id=row["retirement_id"],
        step=row["step"],
        service=row["service"],
        reference=row["reference"],
        received_at=chain.read(row["received_at"]),
        next_check_at=chain.read_or_none(row["next_check_at"]),
        checked_at=chain.read_or_none(row["checked_at"]),
        result=row["result"],
    )
