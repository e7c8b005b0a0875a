"""One run of the cleanup: its choice, its lease, what it tells of each learner, and when it has to stop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from retirement.errors import Transient
from retirement.followup.archive import Archive, Filing
from retirement.followup.clearance import CleanupFinding, CleanupResult, Override
from retirement.learner import Learner
from retirement.ledger import Lease
from retirement.ledger.extract import SharedEntries
from retirement.site import Batch, Site
from retirement.site.lost_answers import LostAnswers

#: Learners that one request names. The LMS has no limit of its own.
AT_ONCE = 100
#: So many lost answers one after another, and a run ends: one more than it takes to halve a window to a day.
LOST_IN_A_ROW = 7

#: Why a person has to look where there is no archive any more.
NO_END = "give the section archive back, so that they are deleted, until each has expired"
_NOWHERE: Mapping[int, str] = MappingProxyType({})

#: User id and retirement id: a learner and one retirement of theirs.
RowId = tuple[int, int]


def row_id(row: Learner) -> RowId:
    """What a row is known by, in the LMS and in the ledger."""
    return row.user_id, row.retirement_id


@dataclass(frozen=True, slots=True)
class Choice:
    """Which learners: COMPLETE for so many days, one of them, so many at most; and what an operator said."""

    days: int
    user_id: int | None = None
    limit: int | None = None
    override: Override | None = None


class CleanupRun:
    """What the parts of one run share. `left` is how many learners it may still clean up, None without a limit."""

    def __init__(
        self,
        site: Site,
        batch: Batch,
        choice: Choice,
        lease: Lease,
        tell: Callable[[CleanupFinding], None],
        archive: Archive | None = None,
    ) -> None:
        self.site, self.batch, self.choice, self.archive = site, batch, choice, archive
        self.lease = lease  #: of the cleanup; under it the ledger takes the intents
        self.left = choice.limit
        self.shared = SharedEntries()
        self._tell = tell
        self._lost = LostAnswers(LOST_IN_A_ROW)

    @property
    def most(self) -> int:
        """How many learners the next request may name."""
        return min(AT_ONCE, self.left or AT_ONCE)

    def is_due(self, row: Learner, before: datetime) -> bool:
        """Whether the operator chose the learner, and the row has not changed since `before`."""
        # No days: what is COMPLETE is due. The LMS says its time in whole seconds and late, a row's time to the part.
        return self._chosen(row.user_id) and (not self.choice.days or row.changed_at <= before)

    async def unanswered(self, today: date) -> dict[RowId, date]:
        """Chosen rows that an earlier run had asked for without an answer, with the days of their requests."""
        asked = await self.site.ledger.cleanups.unanswered(self.site.lms.host)
        return {row: day for row, day in asked.items() if self._chosen(row[0]) and day <= today}

    def _chosen(self, user_id: int) -> bool:
        return self.choice.user_id in (None, user_id)

    def ensure_allowed(self) -> None:
        """Before each thing that cannot be undone; raises `LeaseLost` and `Interrupted`."""
        self.batch.ensure_allowed(lambda: self.site.ledger.leases.check(self.lease))

    async def filing(self, rows: Sequence[Learner]) -> Filing:
        """Where the rows are in the archive, or will be; nowhere without one."""
        return await self.archive.filing(self.site.ledger, rows) if self.archive else Filing()

    async def keep(self, filing: Filing, rows: Sequence[Learner]) -> None:
        """The archive has the rows, or raises `ServiceError`; nothing without one."""
        if self.archive:
            await self.archive.keep(filing, rows, self.site.ledger.now(), self.ensure_allowed)

    async def withdraw(self, file: str | None, user_id: int) -> None:
        """Takes a row that the LMS keeps out of the archive."""
        if self.archive and file:
            await self.archive.withdraw(file, user_id, self.site.ledger.now(), self.ensure_allowed)

    async def expire(self) -> None:
        """Deletes files of the archive whose days are over; what cannot be deleted is told."""
        if self.archive:
            problems = await self.archive.expire(self.site.ledger, self.site.ledger.now(), self.ensure_allowed)
        else:
            kept = await self.site.ledger.archives.kept()
            problems = [f"{len(kept)} files of an archive name learners; {NO_END}"] if kept else []
        for text in problems:
            self.tell(None, CleanupResult.KEPT, text)

    def tell(self, user_id: int | None, what: CleanupResult, text: str) -> None:
        """Says what came of one learner; None: of rows that cannot be listed or read."""
        self._tell(CleanupFinding(user_id, what, text))

    def take(self, learners: int) -> None:
        """Counts learners off those that this run may still clean up."""
        self.left = self.left and self.left - learners

    def note_lost(self, error: Transient) -> None:
        """Raises the error again when too many answers were lost in a row."""
        if self._lost.note(error):
            raise error

    def note_answer(self) -> None:
        """The LMS has answered."""
        self._lost.answered("LMS")

    async def deleted(self, *rows: RowId, text: str = "", files: Mapping[int, str] = _NOWHERE) -> None:
        """The LMS has deleted the rows: each is entered, counted and told, with its file of the archive."""
        await self.site.ledger.cleanups.cleared(*rows)
        for row in rows:
            self.take(1)
            file = files.get(row[0])
            self.tell(row[0], CleanupResult.CLEARED, f"archived in {file}" if file else text)

    def moved(self, user_id: int, state: str) -> None:
        """The learner is in COMPLETE no more."""
        self.tell(user_id, CleanupResult.KEPT, f"the row was moved to {state} meanwhile")
