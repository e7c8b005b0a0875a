"""Holds: registered reasons not to erase a learner, or not at one service, until a date.

Where two different people are needed to release one, the first yes leaves it in force (see `people`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta

from retirement.errors import ConfigError, RetirementError, StateConflict
from retirement.ledger.access import Access
from retirement.ledger.people import Subject, Yes, of_another, same_person
from retirement.ledger.tables import Hold
from retirement.ledger.transaction import Changed, New, Piece, Transaction

#: A yes to a release that waits for that of another person, a second one of the same person, and a no.
FIRST, SAME, KEPT = "hold.first", "hold.same", "hold.kept"
_UNRELEASED = Hold.released_at.is_(None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A hold that a person asks for, before it is placed."""

    user_id: int | None
    org: str | None
    service: str | None
    until: date | None

    def require(self, services: Collection[str], today: date, *, prefix: str = "") -> None:
        """Raises `ConfigError` for a hold that cannot be: on no learner, in an unknown service, or over already.

        `prefix` stands before the names of the fields, as `--` in a command.
        """
        if (self.user_id is None) == (self.org is None):
            user_id = "user-id" if prefix else "user_id"
            raise ConfigError(f"{prefix}{user_id}, {prefix}org: give one of them")
        if self.service is not None and self.service not in services:
            raise ConfigError(f"{prefix}service: {self.service} is not configured; services are {', '.join(services)}")
        if self.until is None:
            raise ConfigError(f"{prefix}until: give the last day of the hold")
        if self.until < today:
            raise ConfigError(f"{prefix}until: this day is over")

    @property
    def sentence(self) -> str:
        """What it keeps, and until when."""
        kept = f"learner {self.user_id}" if self.org is None else f"the learners of organisation {self.org}"
        return f"{kept} in {self.service or 'all services'} until {self.until}"


class Holds:
    """Place, release and list holds."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def add(
        self, *, user_id: int | None, org: str | None, service: str | None, basis: str, until: date, by: str
    ) -> int:
        """Registers a hold and returns its number. Raises `ConfigError` unless it is on one learner or one org."""
        if (user_id is None) == (org is None):
            raise ConfigError("a hold is on one learner or on one organisation")
        if not basis.strip() or not by.strip():
            raise ConfigError("a hold says on which basis, and who placed it")

        def add(tx: Transaction) -> int:
            hold = Hold(
                id=tx.next_id,
                user_id=user_id,
                org=org,
                service=service,
                basis=basis,
                until=until,
                by=by,
                placed_at=tx.now,
            )
            return tx.enter("hold.added", New(hold), user_id=user_id, facts={})

        return await self._access.write(add)

    async def release(self, hold_id: int, *, by: str, reason: str, two_people: timedelta | None = None) -> bool:
        """Ends a hold before its time; False where that needs the yes of another person, as observed, within this time.

        `two_people` None: one person is enough. Raises `ConfigError` for an unknown hold, `StateConflict` for one
        that ended, and `SamePerson` for a second yes of one person, which is entered.
        """

        def release(tx: Transaction) -> tuple[bool, RetirementError | None]:
            hold = _in_force(tx, hold_id)
            facts = {"hold": hold_id, "by": by, "reason": reason}
            if two_people is None:
                return _end(tx, hold, by, reason), None
            given = _yeses(tx, hold_id, two_people)
            if first := of_another(given, tx.observed.facts):
                return _end(tx, hold, by, reason, first.seq), None
            same = same_person(given, tx.observed.facts, f"the release of hold {hold_id}")
            tx.enter(SAME if same else FIRST, user_id=hold.user_id, facts=facts)
            return False, same

        released, same = await self._access.write(release)
        if same:
            raise same
        return released

    async def keep(self, hold_id: int, *, by: str, reason: str) -> bool:
        """Takes back the yeses to a release; False where there was none, see `nothing_waits`. Raises as `release`."""

        def keep(tx: Transaction) -> bool:
            hold = _in_force(tx, hold_id)
            if not _yeses(tx, hold_id, None):
                return False
            tx.enter(KEPT, user_id=hold.user_id, facts={"hold": hold_id, "by": by, "reason": reason})
            return True

        return await self._access.write(keep)

    async def find(self, *, active_only: bool = True, piece: Piece | None = None) -> list[Hold]:
        """The holds, or those that hold today; all of them or a piece of the list."""
        if active_only and piece is None:
            return await self._access.read(active_holds)

        def find(tx: Transaction) -> list[Hold]:
            today = tx.now.astimezone(UTC).date()
            return tx.rows(Hold, *((_UNRELEASED, Hold.until >= today) if active_only else ()), piece=piece)

        return await self._access.read(find)


def nothing_waits(hold_id: int) -> str:
    """What is said where a no takes no yes back."""
    return f"no yes waits for a second person: hold {hold_id} stays as it is"


def active_holds(tx: Transaction) -> list[Hold]:
    """The holds that hold at the time of a transaction."""
    # Every day is read, so that one that was changed to no day ends the work, and is not a hold that is over.
    unreleased = tx.once(Hold, "unreleased", lambda: tx.rows(Hold, _UNRELEASED))
    return [hold for hold in unreleased if tx.now.date() <= hold.until]


def _in_force(tx: Transaction, hold_id: int) -> Hold:
    hold = tx.row(Hold, hold_id)
    if hold is None:
        raise ConfigError(f"there is no hold {hold_id}")
    if hold.released_at:
        raise StateConflict(f"hold {hold_id} was released already")
    return hold


def _yeses(tx: Transaction, hold_id: int, within: timedelta | None) -> list[Yes]:
    since = None if within is None else tx.now - within
    return Subject(FIRST, "hold", hold_id, KEPT).yeses(tx, since=since)


def _end(tx: Transaction, hold: Hold, by: str, reason: str, first: int | None = None) -> bool:
    after = replace(hold, released_by=by, released_at=tx.now, release_reason=reason)
    facts = {} if first is None else {"first": first}
    tx.enter("hold.released", Changed(after), user_id=hold.user_id, facts=facts)
    return True
