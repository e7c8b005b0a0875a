"""The end of a retirement: the LMS forgets who the learner was, once the ledger proves that everybody else has.

The LMS keeps username, e-mail and name of everybody in COMPLETE until it is told to clean up. After that nobody
can tell whom a receipt is about, and nothing can be erased again (contract of the LMS, 2.12 and 4.12): so only
those whose certificate is complete are forgotten, unless an operator says otherwise. What remains of a retirement
is the ledger, which names nobody; the originals are written nowhere.

The LMS refuses a second clean-up, and says neither whose row was missing nor whether an unanswered one was done.
So every learner is in the ledger before a request names them, and whoever may have been forgotten is looked for.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from retirement.errors import LedgerError, Misconfigured, Transient
from retirement.forgetting import Archived, Told, What, against
from retirement.learner import Learner
from retirement.ledger import Forgetting, Lease
from retirement.pipeline import COMPLETE
from retirement.site import Site

#: Learners that one request names. The LMS has no limit of its own.
AT_ONCE = 100
#: No Open edX release before this day could retire anybody.
FIRST_DAY = date(2018, 1, 1)
DAY = timedelta(days=1)
#: Days of requests that one listing asks for: the LMS looks every row of an answer up one by one.
WINDOW = 31 * DAY
#: So many lost answers one after another, and a run ends: one more than it takes to halve a window to a day.
LOST_IN_A_ROW = 7
#: It counts rows without letter case, and compares that with the names.
REFUSAL = "the LMS refuses: another learner in COMPLETE may have the same name in other letter case"

#: A learner and one retirement of theirs.
_Whose = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is meant: those COMPLETE for so many days, one of them, so many at most; and what an operator said."""

    days: int
    user_id: int | None = None
    limit: int | None = None
    told: Told | None = None


async def archive(site: Site, choice: Choice, tell: Callable[[Archived], None], *, dry_run: bool = False) -> None:
    """Has the LMS forget learners, oldest request first, and tells of each; with `dry_run` says whom it would.

    Raises `StateConflict` while another run does the same, `LedgerError` where the ledger is not what was written,
    `ServiceError`, and what `site.stop` was set for. Wherever it stops or dies, the next run goes on from there.
    """
    if problem := (await site.ledger.verify()).problem:
        raise LedgerError(problem.sentence)
    lease = await site.ledger.lease("archive", what="the archive")
    try:
        await _Run(site, choice, lease, tell, dry_run=dry_run).through()
    finally:
        await site.ledger.release(lease)


class _Run:
    """One run, under the lease of the archive."""

    def __init__(
        self, site: Site, choice: Choice, lease: Lease, tell: Callable[[Archived], None], *, dry_run: bool
    ) -> None:
        self._site, self._ledger, self._lms = site, site.ledger, site.lms
        self._choice, self._lease, self._tell, self._dry_run = choice, lease, tell, dry_run
        self._left = choice.limit
        self._lost = 0

    async def through(self) -> None:
        """Everybody in COMPLETE whose time has come, window by window."""
        now = await self._now()
        if not self._dry_run:
            await self._settle_earlier(now.date())
        before = now - self._choice.days * DAY
        for first, last in _windows(FIRST_DAY, before.date()):
            rows = await self._listed(first, last)
            if meant := [row for row in rows if row.changed_at <= before and self._means(row.user_id)]:
                await self._window(meant)
            if self._left == 0:
                return

    async def _now(self) -> datetime:
        """The earlier of our time and the LMS': its rows have its time, and it refuses days of its own future."""
        ours = self._ledger.now().astimezone(UTC)
        theirs = await self._lms.clock()
        if theirs and abs(ours - theirs) > DAY:
            text = f"its Date header is {abs(ours - theirs).days} days from our time; whose is wrong?"
            raise Misconfigured("LMS", "GET retirement_queue", 200, text)
        return min(ours, theirs.astimezone(UTC)) if theirs else ours

    def _means(self, user_id: int) -> bool:
        return self._choice.user_id in (None, user_id)

    def _stay(self) -> None:
        """Raises `LeaseLost`, or what the run was stopped for, before the next thing that cannot be undone."""
        self._ledger.check(self._lease)
        if self._site.stop.reason:
            raise self._site.stop.reason

    async def _settle_earlier(self, today: date) -> None:
        """Whom an earlier run had named to the LMS without seeing what came of it, and who are in no list any more."""
        named = {whose: day for whose, day in (await self._ledger.archive_open()).items() if self._means(whose[0])}
        if not named:
            return
        there: dict[_Whose, str] = {}
        for first, last in _windows(min(named.values()), min(today, max(named.values()))):
            there |= _states(await self._lms.by_date(COMPLETE, first, last))
            if self._lms.unreadable:
                return  # it may be one of them
        if named.keys() <= there.keys():
            return
        others = [state for state in self._site.pipeline.lms_states if state != COMPLETE]
        there |= _states(await self._lms.queue(others, 0))
        if self._lms.unreadable:
            return
        for whose in sorted(named.keys()):
            if whose not in there:
                await self._forgotten(whose, "an earlier run had asked for it")
            elif there[whose] != COMPLETE:
                self._moved(whose[0], there[whose])

    async def _listed(self, first: date, last: date) -> list[Learner]:
        """Those in COMPLETE; a span that the LMS does not manage to list is halved until it is one day."""
        self._stay()
        try:
            rows = await self._lms.by_date(COMPLETE, first, last)
        except Transient as error:
            if not error.in_doubt:
                raise
            self._note_lost(error)
            if first == last:
                self._tell(Archived(None, What.UNANSWERED, f"requests of {first} could not be listed: {error}"))
                return []
            middle = first + (last - first) // 2
            return [*await self._listed(first, middle), *await self._listed(middle + DAY, last)]
        self._lost = 0
        for text in self._lms.unreadable if self._choice.user_id is None else ():
            self._tell(Archived(None, What.KEPT, text))
        return rows

    def _note_lost(self, error: Transient) -> None:
        """Raises the error again when too many answers were lost in a row."""
        self._lost += 1
        if self._lost >= LOST_IN_A_ROW:
            raise error

    async def _window(self, rows: Sequence[Learner]) -> None:
        holds = await self._ledger.holds()
        meant: list[tuple[Learner, Told | None]] = []
        for row in rows:
            if self._left == 0:
                return
            self._stay()
            found = await against(self._site, row, holds, self._choice.told)
            if isinstance(found, Archived):
                self._tell(found)
                continue
            meant.append((row, found))
            if len(meant) == min(AT_ONCE, self._left or AT_ONCE):
                await self._name(meant)
                meant = []
        if meant:
            await self._name(meant)

    async def _name(self, meant: Sequence[tuple[Learner, Told | None]]) -> None:
        """Enters the intents of a batch, and has the LMS forget whom nothing has come between."""
        if self._dry_run:
            for row, _ in meant:
                self._tell(Archived(row.user_id, What.WOULD_CLEAR, ""))
            self._left = self._left and self._left - len(meant)
            return
        intents = [self._intent(row, told) for row, told in meant]
        left = await self._ledger.archive_asked(self._lease, intents)
        for user_id, hold in left.items():
            what = What.HELD if hold else What.WAITING
            self._tell(Archived(user_id, what, hold.sentence if hold else "another run has them"))
        if learners := [row for row, _ in meant if row.user_id not in left]:
            await self._forget(learners)

    def _intent(self, row: Learner, told: Told | None) -> Forgetting:
        orgs, facts = self._site.orgs.get(row.user_id), told.facts if told else None
        return Forgetting(row.user_id, row.retirement_id, row.requested_at.date(), orgs, facts)

    async def _forget(self, learners: Sequence[Learner]) -> None:
        """Names them to the LMS; a list that it refuses is halved until it is known who is refused."""
        self._stay()
        try:
            done = await self._lms.forget_retired([row.username for row in learners])
        except Transient as error:
            if not error.in_doubt:
                raise
            for row in learners:
                await self._look_for(row, What.UNANSWERED, str(error))
            return
        if not done and len(learners) > 1:
            half = len(learners) // 2
            await self._forget(learners[:half])
            await self._forget(learners[half:])
            return
        for row in learners:
            if done:
                await self._forgotten((row.user_id, row.retirement_id))
            else:
                await self._look_for(row, What.REFUSED, REFUSAL)

    async def _look_for(self, row: Learner, what: What, text: str) -> None:
        """Whether somebody is forgotten, for no answer has said so; where they are not, tells what is the matter."""
        try:
            now = await self._lms.refresh(row)
        except Transient as error:
            self._note_lost(error)
            self._tell(Archived(row.user_id, What.UNANSWERED, str(error)))
            return
        self._lost = 0
        if now is None:
            await self._forgotten((row.user_id, row.retirement_id))
        elif now.state != COMPLETE:
            self._moved(row.user_id, now.state)
        else:
            self._tell(Archived(row.user_id, what, text))

    async def _forgotten(self, whose: _Whose, text: str = "") -> None:
        await self._ledger.archive_cleared(*whose)
        self._left = self._left and self._left - 1
        self._tell(Archived(whose[0], What.CLEARED, text))

    def _moved(self, user_id: int, state: str) -> None:
        self._tell(Archived(user_id, What.KEPT, f"somebody has moved them to {state} meanwhile"))


def _states(rows: Iterable[Learner]) -> dict[_Whose, str]:
    return {(row.user_id, row.retirement_id): row.state for row in rows}


def _windows(first: date, last: date) -> Iterable[tuple[date, date]]:
    """Neighbouring spans of days, both ends included, from the oldest on."""
    while first <= last:
        yield first, min(first + WINDOW - DAY, last)
        first += WINDOW
