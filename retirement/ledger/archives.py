"""The archive's entries: whom the LMS is about to be asked to forget, and whom it has forgotten."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select

from retirement.errors import LeaseLost
from retirement.ledger import tables
from retirement.ledger.book import Book
from retirement.ledger.core import Core
from retirement.ledger.holds import Hold, active_holds
from retirement.ledger.leases import Lease, is_live, is_ours, learner_scope
from retirement.ledger.records import event_of

#: Plain entries, which change no row; `retirement` is among their facts.
ARCHIVE_ASKED, ARCHIVE_CLEARED = "archive.asked", "archive.cleared"

_BOTH = select(tables.event).where(tables.event.c.kind.in_([ARCHIVE_ASKED, ARCHIVE_CLEARED]))


@dataclass(frozen=True, slots=True)
class Forgetting:
    """One learner who is to be named to the LMS; `orgs` None: nobody has asked for their organisations.

    `told` is who said so and why, where the ledger has no proof.
    """

    user_id: int
    retirement_id: int
    requested: date
    orgs: Collection[str] | None
    told: Mapping[str, str] | None


class Archives(Core):
    """Enter intents and what became of them."""

    async def archive_asked(self, lease: Lease, meant: Sequence[Forgetting]) -> dict[int, Hold | None]:
        """Enters that these learners are about to be named to the LMS; durable when this returns.

        Left out, by user id: who is held as of this transaction, with the hold, and whom another run has, with
        None. A hold on an organisation that nobody has asked for yet counts as theirs. Raises `LeaseLost`.
        """

        def ask(book: Book) -> dict[int, Hold | None]:
            if not is_ours(book, lease):
                raise LeaseLost(f"the lease of {lease.what} is lost: it ran out, or another run took it over")
            holds = active_holds(book)
            left: dict[int, Hold | None] = {}
            for each in meant:
                hold = next((hold for hold in holds if _is_on(hold, each)), None)
                if hold or is_live(book, learner_scope(each.user_id)):
                    left[each.user_id] = hold
                    continue
                facts = {"retirement": each.retirement_id, "requested": each.requested.isoformat(), **(each.told or {})}
                book.enter(ARCHIVE_ASKED, user_id=each.user_id, facts=facts)
            return left

        return await self.write(ask)

    async def archive_cleared(self, user_id: int, retirement_id: int) -> None:
        """Enters that the LMS has forgotten who the learner was."""
        facts = {"retirement": retirement_id}
        await self.write(lambda book: book.enter(ARCHIVE_CLEARED, user_id=user_id, facts=facts))

    async def archive_open(self) -> dict[tuple[int, int], date]:
        """Whom the LMS was asked to forget without anybody having seen that it did, and the day of their request."""
        rows = await self.read(lambda book: book.rows(_BOTH.order_by(tables.event.c.seq)))
        asked: dict[tuple[int, int], date] = {}
        for event in map(event_of, rows):
            whose = (event.user_id or 0, event.facts["retirement"])
            if event.kind == ARCHIVE_ASKED:
                asked[whose] = date.fromisoformat(event.facts["requested"])
            else:
                asked.pop(whose, None)
        return asked


def _is_on(hold: Hold, each: Forgetting) -> bool:
    return (hold.org is not None and each.orgs is None) or hold.is_on(each.user_id, each.orgs or ())
