"""Pauses: schedules that a person has stopped, with a reason, until a person starts them again."""

from retirement.errors import StateConflict
from retirement.ledger.access import Access
from retirement.ledger.tables import Pause
from retirement.ledger.transaction import Changed, Gone, New, Transaction


class Pauses:
    """Pause schedules, start them again, and list the pauses. A schedule has the name of its deployment."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def all(self) -> list[Pause]:
        """The schedules that are paused now, by name."""
        return await self._access.read(lambda tx: tx.rows(Pause))

    async def of(self, schedule: str) -> Pause | None:
        """The pause of a schedule, None while it runs."""
        return await self._access.read(lambda tx: tx.row(Pause, schedule))

    async def pause(self, schedule: str, *, reason: str, by: str) -> None:
        """Stops a schedule until `resume`; one that is paused gets the new reason."""

        def pause(tx: Transaction) -> None:
            before = tx.row(Pause, schedule)
            row = Pause(schedule=schedule, since=before.since if before else tx.now, reason=reason, by=by)
            tx.enter("schedule.paused", Changed(row) if before else New(row), facts={"schedule": schedule})

        await self._access.write(pause)

    async def resume(self, schedule: str, *, reason: str, by: str) -> None:
        """Starts a schedule again. Raises `StateConflict` for one that is not paused."""

        def resume(tx: Transaction) -> None:
            row = tx.row(Pause, schedule)
            if row is None:
                raise StateConflict(f"the schedule {schedule} is not paused")
            tx.enter("schedule.resumed", Gone(row), facts={"schedule": schedule, "reason": reason, "by": by})

        await self._access.write(resume)
