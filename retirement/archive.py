"""The end of a retirement: the LMS forgets who the learner was, once the ledger proves that everybody else has.

The LMS keeps username, e-mail and name of everybody in COMPLETE until it is told to clean up. After that nobody
can tell whom a receipt is about, and nothing can be erased again (contract of the LMS, 2.12 and 4.12): so only
those whose certificate is complete are forgotten, unless an operator says otherwise. What remains of a retirement
is the ledger, which names nobody; the originals are written nowhere.

The LMS refuses a second clean-up, and says neither whose row was missing nor whether an unanswered one was done.
So every learner is in the ledger before a request names them, and whoever may have been forgotten is looked for.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from retirement.errors import LedgerError, Misconfigured, Transient
from retirement.forgetting import Archived, Cleared, Told, What, against
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


async def archive(
    site: Site, choice: Choice, tell: Callable[[Archived], None], *, states: Sequence[str], dry_run: bool = False
) -> None:
    """Has the LMS forget learners, oldest request first, and tells of each; with `dry_run` says whom it would.

    `states` are those that the LMS may have, the pipeline's among them: who is in one of them is not forgotten.
    Raises `StateConflict` while another run does the same, `LedgerError` where the ledger is not what was written,
    `ServiceError`, and what `site.stop` was set for. Wherever it stops or dies, the next run goes on from there.
    """
    if problem := (await site.ledger.verify()).problem:
        raise LedgerError(problem.sentence)
    lease = await site.ledger.lease("archive", what="the archive")
    try:
        await _Run(site, choice, lease, tell, states, dry_run=dry_run).through()
    finally:
        await site.ledger.release(lease)


class _Run:
    """One run, under the lease of the archive."""

    def __init__(
        self,
        site: Site,
        choice: Choice,
        lease: Lease,
        tell: Callable[[Archived], None],
        states: Sequence[str],
        *,
        dry_run: bool,
    ) -> None:
        self._site, self._ledger, self._lms = site, site.ledger, site.lms
        self._choice, self._lease, self._tell, self._dry_run = choice, lease, tell, dry_run
        self._states = states
        self._left = choice.limit
        self._lost = 0

    async def through(self) -> None:
        """Everybody in COMPLETE whose time has come, window by window."""
        now = await self._now()
        if not self._dry_run:
            await self._settle_earlier(now.date())
        before = now - self._choice.days * DAY
        for first, last in _windows(FIRST_DAY, before.date()):
            rows, _ = await self._listed(first, last, self._tell_unlisted)
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
        """Whom an earlier run had named to this LMS without seeing what came of it: who is in no list any more."""
        asked = await self._ledger.archive_open(self._lms.host)
        named = {whose: day for whose, day in asked.items() if self._means(whose[0]) and day <= today}
        complete, first_is_whole = await self._complete(named.values())
        if not (gone := named.keys() - complete):
            return
        elsewhere = [each for each in await self._lms.known_states(self._states) if each != COMPLETE]
        others = {(row.user_id, row.retirement_id): row.state for row in await self._lms.queue(elsewhere, 0)}
        is_whole = first_is_whole and not self._lms.unreadable
        # Once more: somebody may have come to COMPLETE between the two lists.
        complete, second_is_whole = await self._complete([named[whose] for whose in gone])
        for whose in sorted(gone - complete):
            if whose in others:
                self._moved(whose[0], others[whose])
            elif is_whole and second_is_whole:
                await self._forgotten(whose, "an earlier run had asked for it")
            else:
                text = "whether the LMS has forgotten them cannot be told: rows cannot be listed or read"
                self._tell(Archived(whose[0], What.UNANSWERED, text))

    async def _complete(self, days: Collection[date]) -> tuple[set[_Whose], bool]:
        """Who is in COMPLETE of those who asked on these days, and whether everybody could be listed and read."""
        found: set[_Whose] = set()
        is_whole = True
        for first, last in _windows(min(days), max(days)) if days else ():
            if any(first <= day <= last for day in days):
                rows, whole = await self._listed(first, last, lambda *_: None)
                found |= {(row.user_id, row.retirement_id) for row in rows}
                is_whole = is_whole and whole
        return found, is_whole

    async def _listed(self, first: date, last: date, tell: Callable[[What, str], None]) -> tuple[list[Learner], bool]:
        """Those in COMPLETE, and whether that is everybody: a span that cannot be listed is halved to one day."""
        self._stay()
        try:
            rows = await self._lms.by_date(COMPLETE, first, last)
        except Transient as error:
            if not error.in_doubt:
                raise
            self._note_lost(error)
            if first == last:
                tell(What.UNANSWERED, f"requests of {first} could not be listed: {error}")
                return [], False
            middle = first + (last - first) // 2
            earlier = await self._listed(first, middle, tell)
            later = await self._listed(middle + DAY, last, tell)
            return [*earlier[0], *later[0]], earlier[1] and later[1]
        self._lost = 0
        for text in self._lms.unreadable:
            tell(What.KEPT, text)
        return rows, not self._lms.unreadable

    def _tell_unlisted(self, what: What, text: str) -> None:
        if self._choice.user_id is None:
            self._tell(Archived(None, what, text))

    def _note_lost(self, error: Transient) -> None:
        """Raises the error again when too many answers were lost in a row."""
        self._lost += 1
        if self._lost >= LOST_IN_A_ROW:
            raise error

    async def _window(self, rows: Sequence[Learner]) -> None:
        holds = await self._ledger.holds()
        if any(hold.org is not None for hold in holds) and not await self._orgs_of(rows):
            return
        meant: list[tuple[Learner, Cleared]] = []
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

    async def _orgs_of(self, rows: Sequence[Learner]) -> bool:
        """Has the site know the organisations of learners, where a hold is on one."""
        try:
            self._site.orgs |= await self._lms.enrolled_in([row for row in rows if row.user_id not in self._site.orgs])
        except Transient as error:
            self._note_lost(error)
            for row in rows:
                text = f"whether a hold on an organisation is theirs cannot be told: {error}"
                self._tell(Archived(row.user_id, What.UNANSWERED, text))
            return False
        return True

    async def _name(self, meant: Sequence[tuple[Learner, Cleared]]) -> None:
        """Names a batch to the LMS; with `dry_run` says that it would."""
        if not self._dry_run:
            await self._forget(meant)
            return
        for row, _ in meant:
            self._tell(Archived(row.user_id, What.WOULD_CLEAR, ""))
        self._left = self._left and self._left - len(meant)

    def _intent(self, row: Learner, found: Cleared) -> Forgetting:
        return Forgetting(
            user_id=row.user_id,
            retirement_id=row.retirement_id,
            requested=row.requested_at.date(),
            lms=self._lms.host,
            seq=found.seq,
            orgs=self._site.orgs.get(row.user_id),
            told=found.told.facts if found.told else None,
        )

    async def _forget(self, meant: Sequence[tuple[Learner, Cleared]]) -> None:
        """Enters the intents, and names to the LMS whom nothing has come between; a list that it refuses is halved."""
        self._stay()
        named = await self._ledger.archive_asked(self._lease, [self._intent(*each) for each in meant])
        try:
            for user_id, hold in named.left.items():
                text = hold.sentence if hold else "another run has them, or the ledger knows more of them by now"
                self._tell(Archived(user_id, What.HELD if hold else What.WAITING, text))
            if rest := [each for each in meant if each[0].user_id not in named.left]:
                refused = await self._ask([row for row, _ in rest])
        finally:
            await self._ledger.archive_answered(named)
        if rest and refused:
            half = len(rest) // 2
            await self._forget(rest[:half])
            await self._forget(rest[half:])

    async def _ask(self, learners: Sequence[Learner]) -> bool:
        """One request, and what became of everybody in it; True where one has to be asked for fewer at a time."""
        try:
            done = await self._lms.forget_retired([row.username for row in learners])
        except Transient as error:
            if not error.in_doubt:
                raise
            for row in learners:
                await self._look_for(row, What.UNANSWERED, str(error))
            return False
        if not done and len(learners) > 1:
            return True
        for row in learners:
            if done:
                await self._forgotten((row.user_id, row.retirement_id))
            else:
                await self._look_for(row, What.REFUSED, REFUSAL)
        return False

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


def _windows(first: date, last: date) -> Iterable[tuple[date, date]]:
    """Neighbouring spans of days, both ends included, from the oldest on."""
    while first <= last:
        yield first, min(first + WINDOW - DAY, last)
        first += WINDOW
