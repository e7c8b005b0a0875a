"""The end of a retirement: the LMS forgets who the learner was, once the ledger proves that everybody else has.

The LMS keeps username, e-mail and name of everybody in COMPLETE until it is told to clean up. After that nobody
can tell whom a receipt is about, and nothing can be erased again (contract of the LMS, 2.12 and 4.12): so only
those whose certificate is complete are forgotten, unless an operator says otherwise. What remains of a retirement
is the ledger, which names nobody; the originals are written nowhere.

The LMS refuses a second clean-up, and says neither whose row was missing nor whether an unanswered one was done.
So every learner is in the ledger before a request names them, and lost answers are settled by listing the rows.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta
from enum import StrEnum

from retirement import certificate as certificates
from retirement.errors import ConfigError, LedgerError, Refused, Transient
from retirement.learner import Learner
from retirement.ledger import ARCHIVE_ASKED, ARCHIVE_CLEARED, Hold, Lease, chain
from retirement.ledger.extract import Extract, extract
from retirement.pipeline import COMPLETE
from retirement.site import Site

#: Learners that one request names. The LMS has no limit of its own.
AT_ONCE = 100
#: No Open edX release before this day could retire anybody.
FIRST_DAY = date(2018, 1, 1)
#: Days of requests that one listing asks for: the LMS looks every row of an answer up one by one.
WINDOW = timedelta(days=31)

#: A learner and one retirement of theirs.
_Whose = tuple[int, int]


class What(StrEnum):
    """What came of one learner."""

    CLEARED = "cleared"  #: the LMS has forgotten who they were
    WOULD_CLEAR = "would-clear"  #: nothing is against it, and this only looks
    WAITING = "waiting"  #: a service has not confirmed yet
    HELD = "held"  #: a hold keeps them
    KEPT = "kept"  #: their erasure is not proved; a person has to look
    REFUSED = "refused"  #: the LMS does not clean them up
    UNANSWERED = "unanswered"  #: no answer came, and the row is there; the next run asks again


#: Of these a person has to know.
TROUBLE = frozenset({What.KEPT, What.REFUSED, What.UNANSWERED})

#: It counts rows without letter case, and compares that with the names.
REFUSAL = "the LMS refuses: another learner in COMPLETE may have the same name in other letter case"


@dataclass(frozen=True, slots=True)
class Archived:
    """One learner in COMPLETE whose time has come; `user_id` None: a row that cannot be read."""

    user_id: int | None
    what: What
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """An operator's word that learners without a complete certificate are forgotten too. Names nobody."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is meant: those COMPLETE for so many days, one of them, so many at most; and what an operator said."""

    days: int
    user_id: int | None = None
    limit: int | None = None
    told: Told | None = None


async def archive(site: Site, choice: Choice, *, dry_run: bool = False) -> AsyncIterator[Archived]:
    """Has the LMS forget learners, oldest request first; with `dry_run` says whom.

    Raises `StateConflict` while another run does the same, `LedgerError` where the ledger is not what was written,
    and `ServiceError`. Wherever it stops or dies, the next run goes on from there.
    """
    if problem := (await site.ledger.verify()).problem:
        raise LedgerError(problem.sentence)
    lease = await site.ledger.lease("archive", what="the archive")
    try:
        async for each in _Run(site, choice, lease, dry_run=dry_run).through():
            yield each
    finally:
        await site.ledger.release(lease)


class _Run:
    """One run, under the lease of the archive."""

    def __init__(self, site: Site, choice: Choice, lease: Lease, *, dry_run: bool) -> None:
        self._site, self._ledger = site, site.ledger
        self._choice, self._lease, self._dry_run = choice, lease, dry_run
        self._before = site.ledger.now() - timedelta(days=choice.days)
        self._left = choice.limit

    async def through(self) -> AsyncIterator[Archived]:
        """Everybody in COMPLETE whose time has come, window by window."""
        asked = await self._asked()
        # The LMS refuses days of its own future, and its clock may be behind ours.
        theirs = await self._site.lms.clock() or self._before
        for first, last in _windows(FIRST_DAY, min(self._before, theirs).astimezone(UTC).date()):
            rows = await self._site.lms.by_date(COMPLETE, first, last)
            for text in self._site.lms.unreadable:
                yield Archived(None, What.KEPT, text)
            there = {_whose(row) for row in rows}
            for whose in [each for each, day in asked.items() if first <= day <= last and each not in there]:
                if not self._dry_run:
                    await self._note_cleared(whose)
                yield Archived(whose[0], What.CLEARED, "an earlier run had asked for it")
            async for each in self._window([row for row in rows if self._is_meant(row)]):
                yield each
            if self._left == 0:
                return

    async def _asked(self) -> dict[_Whose, date]:
        """Whom an earlier run has named to the LMS without learning what came of it, and when they had asked."""
        asked = {
            (each.user_id or 0, each.facts["retirement"]): date.fromisoformat(each.facts["requested"])
            for each in await self._ledger.events(kind=ARCHIVE_ASKED)
        }
        for each in await self._ledger.events(kind=ARCHIVE_CLEARED):
            asked.pop((each.user_id or 0, each.facts["retirement"]), None)
        return asked

    def _is_meant(self, row: Learner) -> bool:
        return row.changed_at <= self._before and self._choice.user_id in (None, row.user_id)

    async def _window(self, rows: Sequence[Learner]) -> AsyncIterator[Archived]:
        for start in range(0, len(rows), AT_ONCE):
            holds = await self._ledger.holds()
            fine: list[Learner] = []
            for row in rows[start : start + AT_ONCE]:
                if self._left == 0:
                    break
                if found := await self._against(row, holds):
                    yield found
                    continue
                fine.append(row)
                self._left = self._left and self._left - 1
            async for each in self._named(fine):
                yield each

    async def _named(self, learners: Sequence[Learner]) -> AsyncIterator[Archived]:
        for row in learners:
            if self._dry_run:
                yield Archived(row.user_id, What.WOULD_CLEAR, "")
            else:
                await self._note_asked(row)
        if learners and not self._dry_run:
            async for each in self._forget(learners):
                yield each

    async def _against(self, row: Learner, holds: Collection[Hold]) -> Archived | None:
        """What keeps a learner; None where nothing does."""
        org_holds = [hold for hold in holds if hold.org is not None]
        if on := self._site.holds_on(row, holds) or await self._site.with_orgs(row, org_holds):
            return Archived(row.user_id, What.HELD, "; ".join(hold.sentence for hold in on))
        if self._choice.told:
            return None
        try:
            found = certificates.certificate_of(await self._as_of_now(row.user_id), row.retirement_id)
        except ConfigError as error:
            return Archived(row.user_id, What.KEPT, f"{error}: another driver retired them")
        if found["complete"]:
            return None
        open_ones = sorted({each["service"] for each in found["receipts"] if each["state"] == "open"})
        if open_ones:
            return Archived(row.user_id, What.WAITING, f"receipts are open: {', '.join(open_ones)}")
        return Archived(row.user_id, What.KEPT, "; ".join(found["not_complete"]))

    async def _as_of_now(self, user_id: int) -> Extract:
        """What the ledger says today: a hold ends without an entry, and a certificate has the time of the last one."""
        found = await extract(self._ledger, user_id)
        return replace(found, head=replace(found.head, at=chain.written(self._ledger.now())))

    async def _forget(self, learners: Sequence[Learner]) -> AsyncIterator[Archived]:
        """Names them to the LMS; a list that it refuses is halved until it is known who is refused."""
        self._ledger.check(self._lease)
        done, lost = False, None
        try:
            done = await self._site.lms.forget_retired([row.username for row in learners])
        except Transient as error:
            if not error.in_doubt:
                raise
            lost = error
        if not (done or lost) and len(learners) > 1:
            half = len(learners) // 2
            for part in (learners[:half], learners[half:]):
                async for each in self._forget(part):
                    yield each
            return
        there = frozenset[_Whose]() if done else await self._still_there(learners)
        for row in learners:
            if _whose(row) not in there:
                await self._note_cleared(_whose(row))
                yield Archived(row.user_id, What.CLEARED, "")
            elif lost:
                yield Archived(row.user_id, What.UNANSWERED, str(lost))
            else:
                yield Archived(row.user_id, What.REFUSED, REFUSAL)

    async def _still_there(self, learners: Collection[Learner]) -> frozenset[_Whose]:
        days = [row.requested_at.date() for row in learners]
        rows = await self._site.lms.by_date(COMPLETE, min(days), max(days))
        if self._site.lms.unreadable:
            # It may be one of these whose row is odd now.
            raise Refused("LMS", "GET retirements_by_status_and_date", 200, self._site.lms.unreadable[0])
        return frozenset(_whose(row) for row in rows)

    async def _note_asked(self, row: Learner) -> None:
        facts: dict[str, object] = {"retirement": row.retirement_id, "requested": f"{row.requested_at.date()}"}
        if told := self._choice.told:
            facts |= {"reason": told.reason, "by": told.by}
        await self._ledger.note(ARCHIVE_ASKED, facts, row.user_id)

    async def _note_cleared(self, whose: _Whose) -> None:
        await self._ledger.note(ARCHIVE_CLEARED, {"retirement": whose[1]}, whose[0])


def _whose(row: Learner) -> _Whose:
    return row.user_id, row.retirement_id


def _windows(first: date, last: date) -> Iterable[tuple[date, date]]:
    """Neighbouring spans of days, both ends included, from the oldest on."""
    while first <= last:
        yield first, min(first + WINDOW - timedelta(days=1), last)
        first += WINDOW
