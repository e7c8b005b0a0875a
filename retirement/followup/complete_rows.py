"""The rows in COMPLETE, listed by the days of their requests: there are too many of them for one answer."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import date

from retirement.errors import Transient
from retirement.followup.cleanup_run import CleanupRun, RowId, row_id
from retirement.followup.clearance import CleanupResult
from retirement.learner import Learner
from retirement.lms.listing import Take
from retirement.lms.pages import DAY, FIRST_DAY, MONTH
from retirement.pipeline import COMPLETE
from retirement.privacy.spool import Spool

#: Days of requests that one listing asks for: the LMS looks every row of an answer up one by one.
WINDOW = MONTH * DAY

#: Is told of each row, or day of rows, that is missing in a listing: what it is, and why.
Missing = Callable[[CleanupResult, str], None]


def windows_until(last: date) -> Iterator[tuple[date, date]]:
    """The windows that any row may be in, as far as the last day."""
    return windows(FIRST_DAY, last)


def windows(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Neighbouring spans of days, both ends included, from the oldest on."""
    while first <= last:
        yield first, min(first + WINDOW - DAY, last)
        first += WINDOW


async def listed(
    run: CleanupRun, first: date, last: date, missing: Missing, wanted: Callable[[Learner], bool]
) -> AsyncGenerator[Learner, None]:
    """The rows in COMPLETE of these days that are wanted. A span that cannot be listed is halved down to one day.

    No day can be divided, so the rows of an answer wait outside of memory until it is whole.
    Raises `Interrupted` and `LeaseLost`, and `ServiceError` where the LMS refuses or too many answers are lost.
    """
    run.ensure_allowed()
    found = Spool[Learner]()

    def begin() -> Take:
        found.clear()
        return lambda row: found.append(row) if wanted(row) else None

    try:
        unreadable = await run.site.lms.rows.each_by_date(COMPLETE, first, last, begin)
    except Transient as error:
        if not error.in_doubt:
            raise
        run.note_lost(error)
        if first == last:
            missing(CleanupResult.UNANSWERED, f"requests of {first} could not be listed: {error}")
            return
        middle = first + (last - first) // 2
        for begins, ends in ((first, middle), (middle + DAY, last)):
            async with aclosing(listed(run, begins, ends, missing, wanted)) as rows:
                async for row in rows:
                    yield row
        return
    run.note_answer()
    for text in unreadable:
        missing(CleanupResult.KEPT, text)
    for row in found:
        yield row


async def of_days(run: CleanupRun, asked: Mapping[RowId, date], missing: Missing) -> set[RowId]:
    """Those of the rows, given with the days of their requests, that are in COMPLETE; raises as `listed`."""
    found: set[RowId] = set()
    for first, last in _windows_with(asked.values()):
        async with aclosing(listed(run, first, last, missing, lambda row: row_id(row) in asked)) as rows:
            found |= {row_id(row) async for row in rows}
    return found


def _windows_with(days: Collection[date]) -> Sequence[tuple[date, date]]:
    """The windows that have one of the days in them."""
    spans = windows(min(days), max(days)) if days else ()
    return [(first, last) for first, last in spans if any(first <= day <= last for day in days)]


async def in_other_states(
    run: CleanupRun, states: Sequence[str], asked: Collection[RowId], missing: Missing
) -> dict[RowId, str]:
    """The state of each of these rows that is outside COMPLETE, in those of the states that the LMS has."""
    rows = run.site.lms.rows
    elsewhere = [each for each in await rows.known_states(states) if each != COMPLETE]
    listing = await rows.queue(elsewhere, 0)
    for text in listing.unreadable:
        missing(CleanupResult.KEPT, text)
    return {row_id(row): row.state for row in listing.learners if row_id(row) in asked}
