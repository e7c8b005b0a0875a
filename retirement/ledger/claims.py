"""Claims: what was taken from the LMS' partner queue stays here, sealed, until every partner has it.

The LMS marks learners as reported while it answers, so an answer that nobody kept is lost for ever. Hence an
intent before the call, the sealed answer after it, and a claim that says so where the answer was lost.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from retirement.errors import LedgerError, StateConflict
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core

BEGUN, SEALED, LOST, DELIVERED = "begun", "sealed", "lost", "delivered"


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim. One that stays `begun` is of a run that died around its call."""

    id: int
    state: str
    began_at: datetime
    user_ids: tuple[int, ...]
    reason: str | None
    ended_at: datetime | None


class Claims(Core):
    """Begin, seal, open and end claims."""

    async def claim_began(self) -> int:
        """Registers the intent to claim, before the call; returns the number of the claim."""
        row = {"state": BEGUN, "user_ids": "[]", "sealed": None, "reason": None, "ended_at": None}

        def begin(book: Book) -> int:
            whole = row | {"id": book.next_id, "began_at": book.at}
            return book.enter("claim.began", New(tables.partner_claim, whole), facts={})

        return await self.write(begin)

    async def claim_sealed(self, claim_id: int, plain: bytes, user_ids: Iterable[int]) -> None:
        """Keeps what was claimed, encrypted. Raises `StateConflict` unless the claim has just begun."""
        changes = {"state": SEALED, "sealed": self.digests.seal(plain), "user_ids": chain.canonical(sorted(user_ids))}
        await self.write(lambda book: _turn(book, claim_id, (BEGUN,), changes))

    async def claim_lost(self, claim_id: int, reason: str) -> None:
        """Says that what was claimed never arrived. Raises `StateConflict` unless the claim has just begun."""
        changes = {"state": LOST, "reason": reason}
        await self.write(lambda book: _turn(book, claim_id, (BEGUN,), changes | {"ended_at": book.at}))

    async def claim_delivered(self, claim_id: int) -> None:
        """Deletes what was sealed, since the partners have it. Raises `StateConflict` unless it is sealed."""
        changes = {"state": DELIVERED, "sealed": None}
        await self.write(lambda book: _turn(book, claim_id, (SEALED,), changes | {"ended_at": book.at}))

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
        if row is None or row["state"] != SEALED:
            raise StateConflict(f"claim {claim_id} holds nothing to open")
        if row["sealed"] is None:
            raise LedgerError(f"claim {claim_id} has lost what it sealed; `retirement ledger verify` says more")
        return self.digests.unseal(bytes(row["sealed"]))


def _turn(book: Book, claim_id: int, states: tuple[str, ...], changes: Mapping[str, Any]) -> None:
    row = book.row(tables.partner_claim, claim_id)
    if row is None or row["state"] not in states:
        where = "unknown" if row is None else row["state"]
        raise StateConflict(f"claim {claim_id} is {where}, and not {' or '.join(states)}")
    book.enter(f"claim.{changes['state']}", Changed(tables.partner_claim, {**row, **changes}), facts={})


def _claim(row: Mapping[str, Any]) -> Claim:
    return Claim(
        id=row["id"],
        state=row["state"],
        began_at=chain.read(row["began_at"]),
        user_ids=tuple(json.loads(row["user_ids"])),
        reason=row["reason"],
        ended_at=chain.read_or_none(row["ended_at"]),
    )
