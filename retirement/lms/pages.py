"""Long lists of the LMS, in pieces: it has no pages, so one is asked for with a bound, and a full one again by days.

The queue can be bounded and not gone on with, and the lists by days have no bound (contract, section 1.4). So a list
that fits takes the one request that it always took. One that does not is asked for state by state, and what is too long
still by the days on which retirements were asked for, each span as long as the last answers suggest.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, date, datetime, timedelta

from retirement.errors import Transient
from retirement.learner import Learner
from retirement.lms.listing import Begin, Kept, Listing, Reading, Unreadable, Wanted
from retirement.process import counted
from retirement.wire.api import Api
from retirement.wire.patience import Patience
from retirement.wire.reply import moment_of

QUEUE = "/api/user/v1/accounts/retirement_queue/"
BY_DATE = "/api/user/v1/accounts/retirements_by_status_and_date/"
#: Rows of one answer at most, where the LMS lets us say so: it looks every row of an answer up one by one.
MOST = 5_000
#: No Open edX release before this day could retire a learner.
FIRST_DAY = date(2018, 1, 1)
DAY = timedelta(days=1)
#: Days that one question is about, where nothing is known of how many rows they have.
MONTH = 31


def everyone(_learner: Learner) -> bool:
    """Wants every learner of a list."""
    return True


async def queue(
    api: Api, states: Sequence[str], cool_off_days: int, limit: int, wanted: Wanted = everyone
) -> tuple[Listing, datetime]:
    """The first rows in these states whose request is older than the cool-off, oldest row first; the time at the LMS.

    The time is ours where a proxy takes that of the LMS away.
    """
    params = [("cool_off_days", str(cool_off_days)), *(("states", state) for state in states), ("limit", str(limit))]
    kept = Kept(wanted)
    reading = Reading("the queue", kept.begin)
    reply = await api.get(QUEUE, params=params, patience=Patience.LISTING, each=reading)
    return kept.listing(reading.unreadable), moment_of(reply.headers.get("date", "")) or datetime.now(UTC)


async def by_date(api: Api, state: str, start: date, end: date, wanted: Wanted = everyone) -> Listing:
    """Learners in one state whose request was made between two UTC days, both included."""
    kept = Kept(wanted)
    return kept.listing(await each_by_date(api, state, start, end, kept.begin))


async def each_by_date(api: Api, state: str, start: date, end: date, begin: Begin) -> Unreadable:
    """The same, given one by one to what `begin` makes for each try of the request."""
    params = [("start_date", start.isoformat()), ("end_date", end.isoformat()), ("state", state)]
    reading = Reading(f"those in {state}", begin)
    await api.get(BY_DATE, params=params, patience=Patience.LISTING, each=reading)
    return reading.unreadable


async def pages(
    api: Api, states: Sequence[str], cool_off_days: int, most: int = MOST, wanted: Wanted = everyone
) -> AsyncGenerator[Listing, None]:
    """Every learner in these states whose request is older than the cool-off: one listing, or several of a long list.

    A row that moves while a long list comes in may be in two of them, or in none. Raises `ServiceError`.
    """
    page, now = await queue(api, states, cool_off_days, most, wanted)
    if page.rows < most:
        yield page
        return
    before = now - cool_off_days * DAY
    with counted("rows that the LMS has listed") as count:
        for state in states:
            page, _ = await queue(api, [state], cool_off_days, most, wanted) if len(states) > 1 else (page, now)
            if page.rows < most:
                count.done += page.rows
                yield page
                continue
            begin = _day(page.oldest or before)
            del page  # of a long list one piece at a time is held
            async for each in _by_days(api, state, begin, before, most, wanted):
                count.done += each.rows
                yield each
                del each


async def _by_days(
    api: Api, state: str, begin: date, before: datetime, most: int, wanted: Wanted
) -> AsyncGenerator[Listing, None]:
    """The rows of one state whose request is older than `before`; the oldest of them are of the day `begin`."""
    # What is older than that would be a surprise, so one question is enough for it.
    if begin > FIRST_DAY:
        days = (begin - FIRST_DAY).days
        async for each in by_days(api, state, FIRST_DAY, begin - DAY, days=days, wanted=wanted):
            yield each

    def is_due(row: Learner) -> bool:
        return row.requested_at < before and wanted(row)

    async for each in by_days(api, state, begin, _day(before), days=1, most=most, wanted=is_due):
        yield each


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


async def by_days(
    api: Api, state: str, first: date, last: date, *, days: int = MONTH, most: int = MOST, wanted: Wanted = everyone
) -> AsyncGenerator[Listing, None]:
    """What `by_date` lists, span by span: the first one of so many days, and the next as long as the answers suggest.

    A span that cannot be listed is halved, down to one day. Raises `ServiceError`.
    """
    while first <= last:
        end = min(first + (days - 1) * DAY, last)
        try:
            listing = await by_date(api, state, first, end, wanted)
        except Transient as error:
            if first == end or not error.in_doubt:
                raise
            days = ((end - first).days + 1) // 2
            continue
        rows = listing.rows
        yield listing
        del listing
        first = end + DAY
        if rows > most:
            days = max(days // 2, 1)
        elif rows < most // 4:
            days *= 2
