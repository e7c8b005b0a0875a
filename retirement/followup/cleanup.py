"""The end of a retirement: the LMS deletes who the learner was, once the ledger proves that every service has.

The LMS keeps username, e-mail and name of each learner in COMPLETE until it is told to clean up. After that no
receipt can be related to a learner, and nothing can be erased again (contract of the LMS, 2.12 and 4.12): so only
learners whose certificate is complete are cleaned up, unless an operator says otherwise. What remains of a
retirement is the ledger, which holds no name; the originals are written nowhere, unless the site has an archive.

The LMS refuses a second clean-up, and says neither whose row was missing nor whether an unanswered one was done.
So every learner is in the ledger before a request names them, and a row that may be deleted is looked for.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime

from retirement.errors import LedgerError, Misconfigured, Transient
from retirement.followup.archive import Archive, Filing
from retirement.followup.cleanup_run import AT_ONCE, Choice, CleanupRun, RowId, row_id
from retirement.followup.clearance import CleanupFinding, CleanupResult, Clearance, judge
from retirement.followup.complete_rows import in_other_states, listed, of_days, windows_until
from retirement.learner import Learner
from retirement.ledger import CLEANUP_ASKED, AskedCleanups, CleanupIntent, Hold
from retirement.lms.pages import DAY
from retirement.pipeline import COMPLETE
from retirement.process import Count, counted
from retirement.site import Batch, Site

#: It counts rows without letter case, and compares that with the names.
REFUSAL = "the LMS refuses: another learner in COMPLETE may have the same name in other letter case"

#: A learner who may be cleaned up, and why.
_Cleared = tuple[Learner, Clearance]


async def clean_up(
    site: Site,
    batch: Batch,
    choice: Choice,
    tell: Callable[[CleanupFinding], None],
    *,
    states: Sequence[str],
    archive: Archive | None = None,
    dry_run: bool = False,
) -> None:
    """Has the LMS delete the rows of learners, oldest request first, and tells of each; `dry_run` only looks.

    Who they were goes to the `archive` first, if there is one, whose old files are deleted in the end.
    `states` are those that the LMS may have, the pipeline's among them: a learner in one of them is not cleaned up.
    Raises `BusyElsewhere` while another run does the same, `LedgerError` where the ledger is not what was written,
    `ServiceError`, and `Interrupted` once `batch` is told to stop. The next run goes on from where this one ended.
    """
    if problem := (await site.ledger.verify()).problem:
        raise LedgerError(problem.sentence)
    # "archive" is the name of the lease in every ledger: a run of an older release must meet it.
    lease = await site.ledger.leases.take("archive", what="the cleanup")
    run = CleanupRun(site, batch, choice, lease, tell, archive)
    try:
        if archive:
            await archive.require()
        now = await _now(site)
        if dry_run:
            await _through(run, now, _would_delete)
        else:
            await _settle_earlier(run, states, now.date())
            await _through(run, now, _delete)
            await run.expire()
    finally:
        await site.ledger.leases.release(lease)


async def _now(site: Site) -> datetime:
    """The earlier of our time and the LMS': its rows have its time, and it refuses days of its own future."""
    ours = site.ledger.now().astimezone(UTC)
    theirs = await site.lms.rows.clock()
    if theirs and abs(ours - theirs) > DAY:
        text = f"its Date header is {abs(ours - theirs).days} days from our time; check NTP on both machines"
        raise Misconfigured("LMS", "GET retirement_queue", 200, text)
    return min(ours, theirs.astimezone(UTC)) if theirs else ours


async def _settle_earlier(run: CleanupRun, states: Sequence[str], today: date) -> None:
    """Looks for rows that an earlier run had asked for without an answer: a row that is in no list is deleted."""
    asked = await run.unanswered(today)
    gaps: list[str] = []

    def missing(_what: CleanupResult, text: str) -> None:
        gaps.append(text)

    gone = asked.keys() - await of_days(run, asked, missing)
    if not gone:
        return
    others = await in_other_states(run, states, gone, missing)
    # Once more: a row may have come to COMPLETE between the two lists.
    gone -= await of_days(run, {row: asked[row] for row in gone}, missing)
    for row in sorted(gone):
        await _settle(run, row, others.get(row), is_sure=not gaps)


async def _settle(run: CleanupRun, row: RowId, state: str | None, *, is_sure: bool) -> None:
    """What became of a row that is not in COMPLETE; `state` None: it is in no list, `is_sure`: nor was left out."""
    if state is not None:
        run.moved(row[0], state)
        if run.archive:
            files = await run.site.ledger.archives.of(CLEANUP_ASKED, {row})
            await run.withdraw(files.get(row[0]), row[0])
    elif is_sure:
        await run.deleted(row, text="an earlier run had asked for it")
    else:
        text = "whether the LMS has deleted the row cannot be told: rows cannot be listed or read"
        run.tell(row[0], CleanupResult.UNANSWERED, text)


#: Takes on a batch of learners who may be cleaned up.
_Take = Callable[[CleanupRun, Sequence[_Cleared]], Awaitable[None]]


async def _through(run: CleanupRun, now: datetime, take: _Take) -> None:
    """Every learner in COMPLETE whose time has come, window by window."""

    def missing(what: CleanupResult, text: str) -> None:
        if run.choice.user_id is None:
            run.tell(None, what, text)

    before = now - run.choice.days * DAY
    with counted("learners in COMPLETE that were looked at") as count:
        for first, last in windows_until(before.date()):
            async with aclosing(listed(run, first, last, missing, lambda row: run.is_due(row, before))) as rows:
                await _window(run, rows, take, count)
            if run.left == 0:
                return


async def _window(run: CleanupRun, rows: AsyncIterator[Learner], take: _Take, count: Count) -> None:
    """Judges the learners of one listing, and takes on those with a clearance in batches."""
    batch: list[_Cleared] = []
    async with aclosing(_cleared(run, rows, count)) as cleared:
        async for each in cleared:
            batch.append(each)
            if len(batch) == run.most:
                await _take_on(run, batch, take)
                batch = []
    if batch:
        await _take_on(run, batch, take)


async def _take_on(run: CleanupRun, batch: Sequence[_Cleared], take: _Take) -> None:
    await take(run, batch)
    for row, _ in batch:
        run.batch.orgs.pop(row.user_id, None)


async def _cleared(run: CleanupRun, rows: AsyncIterator[Learner], count: Count) -> AsyncGenerator[_Cleared, None]:
    """The learners with a clearance, until the run has all that it may take; tells what keeps the others."""
    holds: Collection[Hold] | None = None
    async for some in _in_batches(rows):
        holds = await run.site.ledger.holds.find() if holds is None else holds
        if not await _know_orgs(run, some, holds):
            continue
        for row in some:
            if run.left == 0:
                return
            run.ensure_allowed()
            found = await judge(run.site, run.batch, row, holds, run.choice.override, run.shared)
            count.done += 1
            if isinstance(found, Clearance):
                yield row, found
            else:
                run.batch.orgs.pop(row.user_id, None)
                run.tell(found.user_id, found.what, found.text)


async def _in_batches(rows: AsyncIterator[Learner]) -> AsyncGenerator[list[Learner], None]:
    """As many at a time as are asked about together."""
    batch: list[Learner] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _know_orgs(run: CleanupRun, rows: Sequence[Learner], holds: Collection[Hold]) -> bool:
    """Asks for the organisations of learners, where a hold is on one; False where they cannot be told."""
    if all(hold.org is None for hold in holds):
        return True
    try:
        run.batch.orgs |= await run.site.lms.accounts.enrolled_in(run.batch.without_orgs(rows))
    except Transient as error:
        run.note_lost(error)
        text = f"whether a hold on an organisation is theirs cannot be told: {error}"
        for row in rows:
            run.tell(row.user_id, CleanupResult.UNANSWERED, text)
        return False
    return True


async def _would_delete(run: CleanupRun, batch: Sequence[_Cleared]) -> None:
    """Says which learners a run would clean up."""
    for row, _ in batch:
        run.tell(row.user_id, CleanupResult.WOULD_CLEAR, "")
    run.take(len(batch))


async def _delete(run: CleanupRun, batch: Sequence[_Cleared]) -> None:
    """Enters the intents, and names the learners that are still free to the LMS; a refused list is halved.

    The archive, if there is one, has their rows by then.
    """
    run.ensure_allowed()
    cleanups = run.site.ledger.cleanups
    filing = await run.filing([row for row, _ in batch])
    asked = await cleanups.asked(run.lease, [_intent(run, filing, *each) for each in batch], filing.named)
    try:
        _tell_left_out(run, asked)
        rest = [each for each in batch if each[0].user_id not in asked.left_out]
        await run.keep(filing, [row for row, _ in rest])
        refused = await _refused(run, rest, filing) if rest else ()
    finally:
        await cleanups.answered(asked)
    for part in _halves(refused):
        await _delete(run, part)


def _intent(run: CleanupRun, filing: Filing, row: Learner, found: Clearance) -> CleanupIntent:
    return CleanupIntent(
        user_id=row.user_id,
        retirement_id=row.retirement_id,
        requested=row.requested_at.date(),
        lms=run.site.lms.host,
        seq=found.seq,
        orgs=run.batch.orgs.get(row.user_id),
        override=found.override.facts if found.override else None,
        file=filing.names.get(row.user_id),
    )


def _tell_left_out(run: CleanupRun, asked: AskedCleanups) -> None:
    for user_id, hold in asked.left_out.items():
        text = hold.sentence if hold else "another run has the learner, or the ledger knows more by now"
        run.tell(user_id, CleanupResult.HELD if hold else CleanupResult.WAITING, text)


async def _refused(run: CleanupRun, batch: Sequence[_Cleared], filing: Filing) -> Sequence[_Cleared]:
    """One request, and what became of each learner in it; returns a batch of several that the LMS refuses."""
    rows = [row for row, _ in batch]
    what, why = await _sent(run, rows)
    if what is CleanupResult.CLEARED:
        await run.deleted(*map(row_id, rows), files=filing.names)
    elif what is CleanupResult.REFUSED and len(rows) > 1:
        return batch
    else:
        await _look_for(run, rows, filing, what, why)
    return ()


async def _sent(run: CleanupRun, rows: Sequence[Learner]) -> tuple[CleanupResult, str]:
    """Asks the LMS to delete these rows: whether it has, has refused, or was not heard, and why."""
    try:
        is_done = await run.site.lms.cleanup.delete([row.username for row in rows])
    except Transient as error:
        if not error.in_doubt:
            raise
        return CleanupResult.UNANSWERED, str(error)
    return (CleanupResult.CLEARED, "") if is_done else (CleanupResult.REFUSED, REFUSAL)


def _halves(batch: Sequence[_Cleared]) -> list[Sequence[_Cleared]]:
    """The two halves of a batch; none of an empty one."""
    half = len(batch) // 2
    return [part for part in (batch[:half], batch[half:]) if part]


async def _look_for(run: CleanupRun, rows: Sequence[Learner], filing: Filing, what: CleanupResult, text: str) -> None:
    """Reads each row, since no answer has said whether it is deleted; where it is not, tells `what` and `text`."""
    for row in rows:
        try:
            now = await run.site.lms.rows.refresh(row)
        except Transient as error:
            run.note_lost(error)
            run.tell(row.user_id, CleanupResult.UNANSWERED, str(error))
            continue
        run.note_answer()
        if now is None:
            await run.deleted(row_id(row), files=filing.names)
            continue
        if now.state != COMPLETE:
            run.moved(row.user_id, now.state)
        else:
            run.tell(row.user_id, what, text)
            if what is not CleanupResult.REFUSED:
                continue  # it may be deleted yet
        await run.withdraw(filing.names.get(row.user_id), row.user_id)
