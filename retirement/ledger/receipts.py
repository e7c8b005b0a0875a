"""Receipts: what a service gave us to ask about later, where it will erase and has not yet."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select

from retirement.errors import ConfigError
from retirement.ledger.access import Access
from retirement.ledger.tables import LearnerRecord, Receipt
from retirement.ledger.transaction import Changed, New, Piece, Transaction


@dataclass(frozen=True, slots=True)
class Given:
    """What a service gave with an outcome, and how long to wait before it is asked; None: it is not asked."""

    reference: str
    ask_after: timedelta | None


@dataclass(frozen=True, slots=True)
class Due:
    """A receipt to ask about, by its number, and whose retirement it is of."""

    id: int
    user_id: int
    retirement_id: int


#: Of a receipt that a service can be asked about.
_HAS_QUESTION = (Receipt.operation.is_not(None), Receipt.operation != "")


class Receipts:
    """Keep, list and settle receipts."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(
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

        def add(tx: Transaction) -> int:
            if tx.row(LearnerRecord, user_id, retirement_id) is None:
                raise ConfigError(f"the ledger has no retirement {retirement_id} of learner {user_id}")
            receipt = Receipt(
                id=tx.next_id,
                user_id=user_id,
                retirement_id=retirement_id,
                step=step,
                service=service,
                reference=reference,
                received_at=tx.now,
                next_check_at=next_check_at,
            )
            return tx.enter("receipt.added", New(receipt), user_id=user_id, facts={"step": step})

        return await self._access.write(add)

    async def checked(
        self,
        receipt_id: int,
        *,
        result: str | None,
        next_check_at: datetime | None = None,
        verdict: str | None = None,
        confirmed: bool = False,
        evidence: tuple[str, str] | None = None,
    ) -> bool:
        """Says what asking came to; without a result it is asked again. Raises `ConfigError` for an unknown one.

        `confirmed`: the service says for the first time that it is done. `evidence` is what a person gave, and who.
        One that is settled stays as it is, which is False; evidence that came later is entered all the same.
        """

        def check(tx: Transaction) -> bool:
            receipt = tx.row(Receipt, receipt_id)
            if receipt is None:
                raise ConfigError(f"there is no receipt {receipt_id}")
            if receipt.result is not None:  # it was settled meanwhile, and what is settled stays so
                _enter_late(tx, receipt, evidence)
                return False
            after = replace(receipt, result=result, verdict=verdict, next_check_at=next_check_at, checked_at=tx.now)
            if evidence:
                after.evidence, after.evidence_by = evidence
            if confirmed:
                after.confirmed_at = receipt.confirmed_at or tx.now
            tx.enter("receipt.checked", Changed(after), user_id=receipt.user_id, facts={"step": receipt.step})
            return True

        return await self._access.write(check)

    async def find(self, *, user_id: int | None = None, open_only: bool = False) -> list[Receipt]:
        """The receipts, oldest first: all, those of one learner, those without a result."""
        conditions = _about(user_id, open_only=open_only)
        return await self._access.read(lambda tx: tx.rows(Receipt, *conditions))

    async def due(self, *, user_id: int | None, by: datetime | None) -> list[Due]:
        """Those that are open and have a question that is due by then, oldest first; None: whether it is due or not.

        Without what they hold: of a hundred thousand that would fill the memory.
        """
        conditions = [*_about(user_id, open_only=True), *_HAS_QUESTION, *([Receipt.next_check_at <= by] if by else [])]
        statement = select(Receipt.id, Receipt.user_id, Receipt.retirement_id).where(*conditions).order_by(Receipt.id)
        return await self._access.read(lambda tx: [Due(*row) for row in tx.connection.execute(statement)])

    async def still_open(self, receipt_ids: Collection[int]) -> list[Receipt]:
        """Those of these receipts that are not settled by now, oldest first; some hundred at a time."""
        conditions = (Receipt.id.in_(list(receipt_ids)), Receipt.result.is_(None))
        return await self._access.read(lambda tx: tx.rows(Receipt, *conditions))

    async def asked(self, piece: Piece, *, user_id: int | None, open_only: bool) -> list[Receipt]:
        """Some of those that services are asked about, oldest first."""
        conditions = [*_about(user_id, open_only=open_only), *_HAS_QUESTION]
        return await self._access.read(lambda tx: tx.rows(Receipt, *conditions, piece=piece))


def _about(user_id: int | None, *, open_only: bool) -> list[ColumnElement[bool]]:
    of_learner = [] if user_id is None else [Receipt.user_id == user_id]
    return [*of_learner, *([Receipt.result.is_(None)] if open_only else [])]


def _enter_late(tx: Transaction, receipt: Receipt, evidence: tuple[str, str] | None) -> None:
    """Enters what a person gave after another answer; the same once more is a run that died after it had read it."""
    if evidence and evidence != (receipt.evidence, receipt.evidence_by):
        given, by = evidence
        facts = {"receipt": receipt.id, "step": receipt.step, "evidence": given, "by": by}
        tx.enter("receipt.late", user_id=receipt.user_id, facts=facts)
