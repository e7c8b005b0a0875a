"""The archive's entries: whom the LMS is about to be asked to forget, and whom it has forgotten."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import bindparam, select

from retirement.ledger import tables
from retirement.ledger.book import Book
from retirement.ledger.core import Core
from retirement.ledger.holds import Hold, active_holds
from retirement.ledger.leases import Lease, give_back, is_live, learner_scope, require_ours, take
from retirement.ledger.records import event_of

#: Plain entries, which change no row; `retirement` is among their facts.
ARCHIVE_ASKED, ARCHIVE_CLEARED = "archive.asked", "archive.cleared"

_events = tables.event
_KINDS = (ARCHIVE_ASKED, ARCHIVE_CLEARED)
_BOTH = select(_events).where(_events.c.kind.in_(_KINDS)).order_by(_events.c.seq)
#: What was entered about a learner after they were judged, but for intents of this run.
_NEWER = (
    select(_events.c.seq)
    .where(_events.c.user_id == bindparam("of"), _events.c.seq > bindparam("after"), _events.c.kind.not_in(_KINDS))
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """One learner who is to be named to the LMS `lms`, judged by the ledger as of its entry `seq`.

    `orgs` None: nobody has asked for their organisations. `told` is who said so and why, where there is no proof.
    """

    user_id: int
    retirement_id: int
    requested: date
    lms: str
    seq: int
    orgs: Collection[str] | None
    told: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Named:
    """The leases on those whose intents were entered; and before whom something came, with the hold if it is one."""

    leases: tuple[Lease, ...]
    left: Mapping[int, Hold | None]


class Archives(Core):
    """Enter intents and what became of them."""

    async def archive_asked(self, lease: Lease, meant: Sequence[Forgetting]) -> Named:
        """Enters that these learners are about to be named to the LMS, and takes them; durable when this returns.

        Left out is who is held as of this transaction, whom another run has, and of whom the ledger knows more
        than it was judged by. A hold on an organisation that nobody has asked for yet counts as theirs. The leases
        on learners are not renewed, and given back by `archive_answered`. Raises `LeaseLost`.
        """

        def ask(book: Book) -> Named:
            require_ours(book, lease)
            holds = active_holds(book)
            leases: list[Lease] = []
            left: dict[int, Hold | None] = {}
            for each in meant:
                hold = next((hold for hold in holds if _is_on(hold, each)), None)
                scope = learner_scope(each.user_id)
                if hold or is_live(book, scope) or book.rows(_NEWER, {"of": each.user_id, "after": each.seq}):
                    left[each.user_id] = hold
                    continue
                leases.append(take(book, self, scope, f"learner {each.user_id}"))
                facts = {"retirement": each.retirement_id, "requested": each.requested.isoformat(), "lms": each.lms}
                book.enter(ARCHIVE_ASKED, user_id=each.user_id, facts=facts | dict(each.told or {}))
            return Named(tuple(leases), left)

        return await self.write(ask)

    async def archive_answered(self, named: Named) -> None:
        """Gives the learners back."""

        def free(book: Book) -> None:
            for lease in named.leases:
                give_back(book, lease)

        await self.write(free)

    async def archive_cleared(self, user_id: int, retirement_id: int) -> None:
        """Enters that the LMS has forgotten who the learner was."""
        facts = {"retirement": retirement_id}
        await self.write(lambda book: book.enter(ARCHIVE_CLEARED, user_id=user_id, facts=facts))

    async def archive_open(self, lms: str) -> dict[tuple[int, int], date]:
        """Whom that LMS was asked to forget without anybody having seen that it did, and the day of their request.

        Without those whom a run has right now.
        """
        return await self.read(lambda book: _open(book, lms))


def _open(book: Book, lms: str) -> dict[tuple[int, int], date]:
    asked: dict[tuple[int, int], date] = {}
    for event in map(event_of, book.rows(_BOTH)):
        whose = (event.user_id or 0, event.facts["retirement"])
        asked.pop(whose, None)
        if event.kind == ARCHIVE_ASKED and event.facts["lms"] == lms:
            asked[whose] = date.fromisoformat(event.facts["requested"])
    return {whose: day for whose, day in asked.items() if not is_live(book, learner_scope(whose[0]))}


def _is_on(hold: Hold, each: Forgetting) -> bool:
    return (hold.org is not None and each.orgs is None) or hold.is_on(each.user_id, each.orgs or ())
