"""Claims: what was taken from the LMS' partner queue stays here, sealed, until every partner has it.

The LMS marks learners as reported while it answers, so an answer that was not kept is lost for ever. Hence an
intent before the call, the sealed answer after it, and a claim that says so where the answer was lost. Who was
put into the queue and is in no claim is `unreported`; what asking about them came to is a receipt.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, exists, func, select

from retirement.errors import LedgerError, StateConflict
from retirement.ledger.access import Access
from retirement.ledger.digests import Parcel
from retirement.ledger.parcels import destroy_key, keep_key
from retirement.ledger.tables import Attempt, Claim, ParcelKey, Receipt
from retirement.ledger.transaction import Change, Changed, New, Piece, Transaction

BEGUN, SEALED, LOST, WRITTEN, DELIVERED = "begun", "sealed", "lost", "written", "delivered"

#: Of these the rows were kept, or have been.
KEPT = (SEALED, WRITTEN, DELIVERED)
#: Claims that are in memory at a time where all are looked through.
_AT_ONCE = 20
#: Part of a claim: what to seal, and the user ids that are in it.
Part = tuple[bytes, Iterable[int]]

#: What the receipts of `unreported` learners refer to, and the results after which they are no question any more.
PARTNER_REPORT = "partner report"
NOTHING, GONE = "nothing to report", "gone from the LMS"
#: The LMS has them in its queue once more, so the next claim settles it.
QUEUED_AGAIN = "queued again"


@dataclass(frozen=True, slots=True)
class Unreported:
    """A learner who was put into the partner queue by a step, and is in no claim that was kept.

    `asked` is the receipt of a question to the LMS whose answer is not in the ledger: it may have been lost.
    """

    user_id: int
    retirement_id: int
    step: str
    queued_at: datetime
    asked: int | None


class Claims:
    """Begin, seal, open and end claims."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def begin(self) -> int:
        """Registers the intent to claim, before the call; returns the number of the claim."""

        site = self._access.location.site

        def begin(tx: Transaction) -> int:
            claim = Claim(id=tx.next_id, state=BEGUN, began_at=tx.now, user_ids=())
            return tx.enter("claim.began", New(claim), facts={"site": site} if site else {})

        return await self._access.write(begin)

    async def seal(
        self, claim_id: int, plain: bytes, user_ids: Iterable[int], *, apart: Callable[[], Iterable[Part]] | None = None
    ) -> None:
        """Keeps what was claimed, encrypted under a key of its own.

        Raises `StateConflict` unless the claim has just begun. `apart` makes further parts of the same answer, each of
        which becomes a claim of its own in the same transaction; it may be asked twice.
        """
        whole, ids = self._access.digests.pack(plain), tuple(sorted(user_ids))

        def seal(tx: Transaction) -> None:
            claim = replace(_claim(tx, claim_id, BEGUN), state=SEALED, sealed=whole.sealed, user_ids=ids)
            _turn(tx, claim, keep_key(tx, claim_id, whole))
            for part, theirs in apart() if apart else ():
                _part(tx, claim_id, self._access.digests.pack(part), tuple(sorted(theirs)))

        await self._access.write(seal)

    async def lost(self, claim_id: int, reason: str) -> None:
        """Says that nothing of the claim arrived, and why. Raises `StateConflict` unless it has just begun."""

        def lose(tx: Transaction) -> None:
            _turn(tx, replace(_claim(tx, claim_id, BEGUN), state=LOST, reason=reason, ended_at=tx.now))

        await self._access.write(lose)

    async def written(self, claim_id: int, files: Mapping[str, int]) -> None:
        """Says that these files are there, with so many learners each; what was sealed is kept until the LMS knows.

        Raises `StateConflict` unless the claim is sealed.
        """

        def write(tx: Transaction) -> None:
            _turn(tx, replace(_claim(tx, claim_id, SEALED), state=WRITTEN), facts={"files": dict(files)})

        await self._access.write(write)

    async def parted(self, claim_id: int, done: Part, rest: Part) -> None:
        """Puts the rows that cannot be delivered yet into a claim of their own, and leaves those that are delivered.

        Each part is what to seal and its user ids. Raises `StateConflict` unless the claim is sealed.
        """
        (ours, our_ids), (theirs, their_ids) = (
            (self._access.digests.pack(plain), tuple(sorted(user_ids))) for plain, user_ids in (done, rest)
        )

        def part(tx: Transaction) -> None:
            claim = replace(_claim(tx, claim_id, SEALED), sealed=ours.sealed, user_ids=our_ids)
            _turn(tx, claim, keep_key(tx, claim_id, ours))
            _part(tx, claim_id, theirs, their_ids)

        await self._access.write(part)

    async def delivered(self, claim_id: int) -> None:
        """Deletes what was sealed, and its key, since the partners have it.

        Raises `StateConflict` unless it is sealed.
        """

        def deliver(tx: Transaction) -> None:
            claim = _claim(tx, claim_id, SEALED, WRITTEN)
            _turn(tx, replace(claim, state=DELIVERED, sealed=None, ended_at=tx.now), *destroy_key(tx, claim_id))

        await self._access.write(deliver)

    async def numbers(self, state: str) -> list[int]:
        """The numbers of the claims in one state, oldest first: what they hold is not read."""
        wanted = select(Claim.id).where(Claim.state == state).order_by(Claim.id)
        return await self._access.read(lambda tx: list(tx.connection.scalars(wanted)))

    async def one(self, claim_id: int) -> Claim:
        """The claim of a number. Raises `LedgerError` where it is gone."""
        claim = await self.named(claim_id)
        if claim is None:
            raise LedgerError(f"claim {claim_id} is not there any more; `retirement ledger verify` says more")
        return claim

    async def also_in(self, user_ids: Collection[int], *, but: int, open_only: bool) -> set[int]:
        """Those of the learners who are in another claim: in an earlier one that was kept, or in one that is open."""
        states = [SEALED] if open_only else KEPT
        wanted = [Claim.state.in_(states), Claim.id != but if open_only else Claim.id < but]
        theirs = frozenset(user_ids)

        def look(tx: Transaction) -> set[int]:
            found = tx.connection.execution_options(yield_per=_AT_ONCE).scalars(select(Claim.user_ids).where(*wanted))
            return {user_id for each in found for user_id in theirs.intersection(each)}

        return await self._access.read(look)

    async def newest(self, piece: Piece) -> list[Claim]:
        """Some claims, the newest first."""
        return await self._access.read(lambda tx: tx.rows(Claim, piece=piece, order=(Claim.id.desc(),)))

    async def named(self, claim_id: int) -> Claim | None:
        """A claim, None where there is none of that number."""
        return await self._access.read(lambda tx: tx.row(Claim, claim_id))

    async def unseal(self, claim_id: int) -> bytes:
        """What was sealed. Raises `StateConflict` where nothing is, `LedgerError` where the key is another one."""
        claim, own = await self._access.read(lambda tx: (tx.row(Claim, claim_id), tx.row(ParcelKey, claim_id)))
        if claim is None or claim.state not in (SEALED, WRITTEN):
            raise StateConflict(f"claim {claim_id} holds nothing to open")
        if claim.sealed is None:
            raise LedgerError(f"claim {claim_id} has lost what it sealed; `retirement ledger verify` says more")
        digests = self._access.digests
        # Without a key of its own it is of an earlier release.
        return digests.unpack(Parcel(own.key, claim.sealed)) if own else digests.unseal(claim.sealed)

    async def unreported(self, operation: str) -> list[Unreported]:
        """Learners who were put into the partner queue by this operation and are in no claim, by user id.

        Without those whose question is settled by a receipt.
        """
        return await self._access.read(lambda tx: _unreported(tx, operation))


def _unreported(tx: Transaction, operation: str) -> list[Unreported]:
    about = and_(
        Receipt.user_id == Attempt.user_id,
        Receipt.retirement_id == Attempt.retirement_id,
        Receipt.reference == PARTNER_REPORT,
    )
    asked = select(func.max(Receipt.id)).where(about, Receipt.result.is_(None)).scalar_subquery()
    key = (Attempt.user_id, Attempt.retirement_id, Attempt.step)
    proved = (Attempt.outcome.is_not(None), Attempt.voided_at.is_(None))
    settled = exists().where(about, Receipt.result.in_([NOTHING, GONE]))
    statement = select(*key, func.max(Attempt.ended_at), asked)
    statement = statement.where(Attempt.operation == operation, *proved, ~settled).group_by(*key).order_by(*key)
    reported = {user_id for user_ids in _kept(tx) for user_id in user_ids}
    return [Unreported(*row) for row in tx.connection.execute(statement) if row[0] not in reported]


def _kept(tx: Transaction) -> Iterable[tuple[int, ...]]:
    """The user ids of every claim that was kept."""
    return tx.connection.scalars(select(Claim.user_ids).where(Claim.state.in_(KEPT)))


def _claim(tx: Transaction, claim_id: int, *states: str) -> Claim:
    """A claim in one of these states; raises `StateConflict`."""
    claim = tx.row(Claim, claim_id)
    if claim is None or claim.state not in states:
        where = "unknown" if claim is None else claim.state
        raise StateConflict(f"claim {claim_id} is {where}, and not {' or '.join(states)}")
    return claim


def _part(tx: Transaction, claim_id: int, parcel: Parcel, user_ids: tuple[int, ...]) -> None:
    """Makes a claim of its own of a part of another one."""
    part = Claim(id=tx.next_id, state=SEALED, began_at=tx.now, sealed=parcel.sealed, user_ids=user_ids)
    tx.enter("claim.parted", New(part), keep_key(tx, part.id, parcel), facts={"claim": claim_id})


def _turn(tx: Transaction, after: Claim, *keys: Change, facts: Mapping[str, Any] | None = None) -> None:
    tx.enter(f"claim.{after.state}", Changed(after), *keys, facts=facts or {})
