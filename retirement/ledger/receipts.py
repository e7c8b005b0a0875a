"""Receipts: what a service gave us to ask about later, where it will erase and has not yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from retirement.errors import ConfigError
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core


@dataclass(frozen=True, slots=True)
class Given:
    """What a service gave with an outcome, and how long to wait before it is asked; None: nobody asks."""

    reference: str
    ask_after: timedelta | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A job, a regulation or the like at a service, never personal; `result` None until it is settled.

    `operation` is that of the connector that is asked, None where nobody asks it. `verdict` is what the last
    question came to, `confirmed_at` when the service first confirmed. `evidence` is what a person gave.
    """

    id: int
    user_id: int
    retirement_id: int
    step: str
    service: str
    operation: str | None
    reference: str
    received_at: datetime
    next_check_at: datetime | None
    checked_at: datetime | None
    verdict: str | None
    confirmed_at: datetime | None
    evidence: str | None
    evidence_by: str | None
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
        about = {"user_id": user_id, "retirement_id": retirement_id, "step": step, "service": service}

        def add(book: Book) -> int:
            if book.row(tables.learner, user_id, retirement_id) is None:
                raise ConfigError(f"the ledger has no retirement {retirement_id} of learner {user_id}")
            row = receipt_row(book, about, reference, next_check_at)
            return book.enter("receipt.added", New(tables.receipt, row), user_id=user_id, facts={"step": step})

        return await self.write(add)

    async def receipt_checked(
        self,
        receipt_id: int,
        *,
        result: str | None,
        next_check_at: datetime | None = None,
        verdict: str | None = None,
        confirmed: bool = False,
        evidence: tuple[str, str] | None = None,
    ) -> None:
        """Says what asking came to; without a result it is asked again. Raises `ConfigError` for an unknown one.

        One that is settled stays as it is. `confirmed`: the service says for the first time that it is done.
        `evidence` is what a person gave, and who.
        """
        changes: dict[str, Any] = {"result": result, "verdict": verdict}
        changes["next_check_at"] = chain.written(next_check_at) if next_check_at else None
        if evidence:
            changes["evidence"], changes["evidence_by"] = evidence

        def check(book: Book) -> None:
            row = book.row(tables.receipt, receipt_id)
            if row is None:
                raise ConfigError(f"there is no receipt {receipt_id}")
            if row["result"] is not None:
                return  # somebody has settled it meanwhile, and what is settled stays so
            after = row | changes | {"checked_at": book.at}
            if confirmed:
                after["confirmed_at"] = row["confirmed_at"] or book.at
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


def receipt_row(book: Book, about: Mapping[str, Any], reference: str, ask_at: datetime | None) -> dict[str, Any]:
    """A new receipt; `about` are its user id, retirement, step, service and, where one can ask, operation."""
    row: dict[str, Any] = {column.name: None for column in tables.receipt.columns}
    row |= {**about, "id": book.next_id, "reference": reference, "received_at": book.at}
    return row | {"next_check_at": chain.written(ask_at) if ask_at else None}


def _receipt(row: Mapping[str, Any]) -> Receipt:
    return Receipt(
        id=row["id"],
        user_id=row["user_id"],
        retirement_id=row["retirement_id"],
        step=row["step"],
        service=row["service"],
        operation=row["operation"],
        reference=row["reference"],
        received_at=chain.read(row["received_at"]),
        next_check_at=chain.read_or_none(row["next_check_at"]),
        checked_at=chain.read_or_none(row["checked_at"]),
        verdict=row["verdict"],
        confirmed_at=chain.read_or_none(row["confirmed_at"]),
        evidence=row["evidence"],
        evidence_by=row["evidence_by"],
        result=row["result"],
    )
