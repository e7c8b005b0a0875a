"""Claims: what was taken from the LMS' partner queue stays here, sealed, until every partner has it.

The LMS marks learners as reported while it answers, so an answer that nobody kept is lost for ever. Hence an
intent before the call, the sealed answer after it, and a claim that says so where the answer was lost. Who was
put into the queue and is in no claim is `unreported`; what asking about them came to is a receipt.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, func, select

from retirement.errors import LedgerError, StateConflict
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core

BEGUN, SEALED, LOST, WRITTEN, DELIVERED = "begun", "sealed", "lost", "written", "delivered"

#: What the receipts of `unreported` learners refer to, and the results after which they are no question any more.
PARTNER_REPORT = "partner report"
NOTHING, GONE = "nothing to report", "gone from the LMS"
#: The LMS has them in its queue once more, so the next claim settles it.
QUEUED_AGAIN = "queued again"

_attempts, _receipts = tables.attempt, tables.receipt


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim. One that stays `begun` is of a run that died around its call."""

    id: int
    state: str
    began_at: datetime
    user_ids: tuple[int, ...]
    reason: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unreported:
    """A learner whom a step put into the partner queue, and who is in no claim that was kept.

    `asked` is the receipt of a question to the LMS whose answer is not in the ledger: it may have been lost.
    """

    user_id: int
    retirement_id: int
    step: str
    queued_at: datetime
    asked: int | None


class Claims(Core):
    """Begin, seal, open and end claims."""

    async def claim_began(self) -> int:
        """Registers the intent to claim, before the call; returns the number of the claim."""
        row = {"state": BEGUN, "user_ids": "[]", "sealed": None, "reason": None, "ended_at": None}

        def begin(book: Book) -> int:
            whole = row | {"id": book.next_id, "began_at": book.at}
            return book.enter("claim.began", New(tables.partner_claim, whole), facts={})

        return await self.write(begin)

    async def claim_sealed(
        self, claim_id: int, plain: bytes, user_ids: Iterable[int], *, apart: tuple[bytes, Iterable[int]] | None = None
    ) -> None:
        """Keeps what was claimed, encrypted. Raises `StateConflict` unless the claim has just begun.

        `apart` is the part of it that nobody can read, which becomes a claim of its own in the same transaction.
        """
        changes = {"state": SEALED, "sealed": self.digests.seal(plain), "user_ids": chain.canonical(sorted(user_ids))}
        odd = apart and {"sealed": self.digests.seal(apart[0]), "user_ids": chain.canonical(sorted(apart[1]))}

        def seal(book: Book) -> None:
            _turn(book, claim_id, (BEGUN,), changes)
            if odd:
                row = {"id": book.next_id, "state": SEALED, "began_at": book.at, "reason": None, "ended_at": None}
                book.enter("claim.parted", New(tables.partner_claim, row | odd), facts={"claim": claim_id})

        await self.write(seal)

    async def claim_lost(self, claim_id: int, reason: str) -> None:
        """Says that nothing of the claim arrived, and why. Raises `StateConflict` unless it has just begun."""
        changes = {"state": LOST, "reason": reason}
        await self.write(lambda book: _turn(book, claim_id, (BEGUN,), changes | {"ended_at": book.at}))

    async def claim_written(self, claim_id: int, files: Mapping[str, int]) -> None:
        """Says that these files are there, with so many learners each; what was sealed is kept until the LMS knows.

        Raises `StateConflict` unless the claim is sealed.
        """
        facts = {"files": dict(files)}
        await self.write(lambda book: _turn(book, claim_id, (SEALED,), {"state": WRITTEN}, facts))

    async def claim_delivered(self, claim_id: int) -> None:
        """Deletes what was sealed, since the partners have it. Raises `StateConflict` unless it is sealed."""
        changes = {"state": DELIVERED, "sealed": None}
        await self.write(lambda book: _turn(book, claim_id, (SEALED, WRITTEN), changes | {"ended_at": book.at}))

    async def claims(self, *, state: str | None = None) -> list[Claim]:
        """Every claim, or those in one state, oldest first."""
        statement = select(*(each for each in tables.partner_claim.c if each.name != "sealed"))
        statement = statement.order_by(tables.partner_claim.c.id)
        if state is not None:
            statement = statement.where(tables.partner_claim.c.state == state)
        return [_claim(row) for row in await self.read(lambda book: book.rows(statement))]

    async def open_claim(self, claim_id: int) -> bytes:
        """What was sealed. Raises `StateConflict` where nothing is, `LedgerError` where the key is another one."""
        row = await self.read(lambda book: book.row(tables.partner_claim, claim_id))
        if row is None or row["state"] not in (SEALED, WRITTEN):
            raise StateConflict(f"claim {claim_id} holds nothing to open")
        if row["sealed"] is None:
            raise LedgerError(f"claim {claim_id} has lost what it sealed; `retirement ledger verify` says more")
        return self.digests.unseal(bytes(row["sealed"]))

    async def unreported(self, operation: str) -> list[Unreported]:
        """Whom the steps of this operation have put into the partner queue and no claim has, by user id.

        Without those whose question is settled by a receipt.
        """
        return await self.read(lambda book: _unreported(book, operation))


def _unreported(book: Book, operation: str) -> list[Unreported]:
    about = and_(
        _receipts.c.user_id == _attempts.c.user_id,
        _receipts.c.retirement_id == _attempts.c.retirement_id,
        _receipts.c.reference == PARTNER_REPORT,
    )
    asked = select(func.max(_receipts.c.id)).where(about, _receipts.c.result.is_(None)).scalar_subquery()
    key = (_attempts.c.user_id, _attempts.c.retirement_id, _attempts.c.step)
    proved = (_attempts.c.outcome.is_not(None), _attempts.c.voided_at.is_(None))
    settled = exists().where(about, _receipts.c.result.in_([NOTHING, GONE]))
    statement = select(*key, func.max(_attempts.c.ended_at).label("queued_at"), asked.label("asked"))
    statement = statement.where(_attempts.c.operation == operation, *proved, ~settled).group_by(*key).order_by(*key)
    kept = select(tables.partner_claim.c.user_ids).where(
        tables.partner_claim.c.state.in_([SEALED, WRITTEN, DELIVERED]), tables.partner_claim.c.user_ids != "[]"
    )
    reported = {user_id for row in book.rows(kept) for user_id in json.loads(row["user_ids"])}
    return [
        Unreported(**row | {"queued_at": chain.read(row["queued_at"])})
        for row in book.rows(statement)
        if row["user_id"] not in reported
    ]


def _turn(
    book: Book,
    claim_id: int,
    states: tuple[str, ...],
    changes: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
) -> None:
    row = book.row(tables.partner_claim, claim_id)
    if row is None or row["state"] not in states:
        where = "unknown" if row is None else row["state"]
        raise StateConflict(f"claim {claim_id} is {where}, and not {' or '.join(states)}")
    book.enter(f"claim.{changes['state']}", Changed(tables.partner_claim, {**row, **changes}), facts=facts or {})


def _claim(row: Mapping[str, Any]) -> Claim:
    return Claim(
        id=row["id"],
        state=row["state"],
        began_at=chain.read(row["began_at"]),
        user_ids=tuple(json.loads(row["user_ids"])),
        reason=row["reason"],
        ended_at=chain.read_or_none(row["ended_at"]),
    )
