"""Holds: registered reasons not to erase somebody, or not at one service, until a date."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from retirement.errors import ConfigError, StateConflict
from retirement.ledger import chain, tables
from retirement.ledger.book import Book, Changed, New
from retirement.ledger.core import Core

_STANDING = select(tables.hold).where(tables.hold.c.released_at.is_(None)).order_by(tables.hold.c.id)


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold, on a learner or on everybody of an organisation; `service` None means on all services.

    It holds through the day `until`, in UTC.
    """

    id: int
    user_id: int | None
    org: str | None
    service: str | None
    basis: str
    until: date
    by: str
    placed_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None
    release_reason: str | None = None

    @property
    def sentence(self) -> str:
        """What it does, for reports: nothing personal."""
        return f"kept until {self.until} by hold {self.id}"

    def is_on(self, user_id: int, orgs: Collection[str]) -> bool:
        """Whether it is on this learner, or on one of these organisations, which are theirs; case does not matter."""
        if self.org is None:
            return self.user_id == user_id
        return self.org.casefold() in {org.casefold() for org in orgs}


class Holds(Core):
    """Place, release and list holds."""

    async def add_hold(
        self, *, user_id: int | None, org: str | None, service: str | None, basis: str, until: date, by: str
    ) -> int:
        """Registers a hold and returns its number. Raises `ConfigError` unless it is on one learner or one org."""
        if (user_id is None) == (org is None):
            raise ConfigError("a hold is on one learner or on one organisation")
        if not basis.strip() or not by.strip():
            raise ConfigError("a hold says on which basis, and who placed it")
        row = {"user_id": user_id, "org": org, "service": service, "basis": basis, "until": until.isoformat()}
        row |= {"placed_by": by, "released_by": None, "released_at": None, "release_reason": None}

        def add(book: Book) -> int:
            whole = row | {"id": book.next_id, "placed_at": book.at}
            return book.enter("hold.added", New(tables.hold, whole), user_id=user_id, facts={})

        return await self.write(add)

    async def release_hold(self, hold_id: int, *, by: str, reason: str) -> None:
        """Ends a hold before its time. Raises `ConfigError` for an unknown one, `StateConflict` for one that ended."""

        def release(book: Book) -> None:
            row = book.row(tables.hold, hold_id)
            if row is None:
                raise ConfigError(f"there is no hold {hold_id}")
            if row["released_at"]:
                raise StateConflict(f"hold {hold_id} was released already")
            after = row | {"released_by": by, "released_at": book.at, "release_reason": reason}
            book.enter("hold.released", Changed(tables.hold, after), user_id=row["user_id"], facts={})

        await self.write(release)

    async def holds(self, *, active_only: bool = True) -> list[Hold]:
        """Every hold, or those that hold today."""
        if active_only:
            return await self.read(active_holds)
        statement = select(tables.hold).order_by(tables.hold.c.id)
        return [_hold(row) for row in await self.read(lambda book: book.rows(statement))]


def active_holds(book: Book) -> list[Hold]:
    """The holds that hold at the time of a transaction."""
    found = (_hold(row) for row in book.rows(_STANDING))
    return [hold for hold in found if book.now.date() <= hold.until]


def _hold(row: Mapping[str, Any]) -> Hold:
    return Hold(
        id=row["id"],
        user_id=row["user_id"],
        org=row["org"],
        service=row["service"],
        basis=row["basis"],
        until=date.fromisoformat(row["until"]),
        by=row["placed_by"],
        placed_at=chain.read(row["placed_at"]),
        released_by=row["released_by"],
        released_at=chain.read_or_none(row["released_at"]),
        release_reason=row["release_reason"],
    )
