"""What a queue run takes on: who waits, in which order, how many, and whether that many is normal.

Reads the LMS and the ledger and changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from retirement.config import Configuration
from retirement.errors import Ending
from retirement.learner import Learner
from retirement.ledger import Hold, QueueRun
from retirement.queue import forecast as deadlines
from retirement.queue import guard
from retirement.queue.forecast import Forecast, Pace, Waiting
from retirement.queue.guard import Facts, History, Trip
from retirement.site import Batch, Site

#: How far back "usual" looks.
USUAL = timedelta(days=guard.USUAL_DAYS)
DAY = timedelta(days=1)
#: So long a learner who failed at a service stands behind the others.
SET_BACK = timedelta(days=7)
#: A site whose ledger does not know its pace yet is taken at its word: one run a night that retires its batch.
NIGHTLY = Pace(runs_per_day=1.0, success=1.0)


@dataclass(frozen=True)
class Intake:
    """All learners who wait, least slack first, and what is unusual about them."""

    waiting: tuple[Learner, ...]
    held: Mapping[int, str]  #: by user id, why a hold keeps a learner wholly: no service is called
    partly: frozenset[int]  #: user ids of learners who are done but for what a hold keeps
    failed: frozenset[int]  #: user ids of learners who failed at a service in the last run, within `SET_BACK`
    unreadable: tuple[str, ...]
    trips: tuple[Trip, ...]
    forecast: Forecast

    @property
    def depth(self) -> int:
        """How many wait, before any limit."""
        return len(self.waiting) + len(self.unreadable)

    def batch(self, limit: int) -> list[Learner]:
        """The `limit` most urgent of the learners who are not wholly kept by a hold.

        A learner who failed at a service in the last run comes after the others, and after those a learner who is
        kept in part and done otherwise: night after night they would take others' places, or open a breaker first.
        """
        may = [learner for learner in self.waiting if learner.user_id not in self.held]
        return sorted(may, key=self._place)[:limit]

    def _place(self, learner: Learner) -> int:
        """Where in the line a learner stands; within a place the order is that of `waiting`."""
        if learner.user_id in self.partly:
            return 2
        return 1 if learner.user_id in self.failed else 0

    def only(self, user_ids: Collection[int]) -> "Intake":
        """The same without those who came later: an answer is about those who were asked about."""
        waiting = tuple(learner for learner in self.waiting if learner.user_id in user_ids)
        return replace(self, waiting=waiting, held={each: why for each, why in self.held.items() if each in user_ids})


@dataclass(frozen=True, slots=True)
class _Queue:
    """The listing of one run: all in the queue, those past their cool-off by least slack, and due times by user id."""

    all: list[Learner]
    waiting: list[Learner]
    due: Mapping[int, datetime]
    unreadable: tuple[str, ...]


async def take_in(site: Site, batch: Batch, configuration: Configuration, cool_off_days: int) -> Intake:
    """Lists who waits and weighs it. Raises `ServiceError` and `LedgerError`."""
    queue = await _listed(site, batch, cool_off_days)
    held, partly = await _kept(site, batch, queue.waiting)
    now = site.ledger.now()
    runs = await site.ledger.queue_runs.since(now - USUAL)
    weighed = await _weighed(site, configuration, queue, cool_off_days)
    facts = await _facts(site, configuration, weighed, len(weighed) + len(queue.unreadable), runs)
    free = [each for each in queue.all if each.user_id not in held]
    return Intake(
        waiting=tuple(queue.waiting),
        held=held,
        partly=partly,
        failed=await _failed(site, queue.waiting),
        unreadable=queue.unreadable,
        trips=tuple(guard.assess(facts, configuration.guard, configuration.queue.threshold)),
        forecast=expected(
            [Waiting(each.user_id, each.requested_at, queue.due[each.user_id]) for each in free],
            runs,
            now=now,
            cool_off_days=cool_off_days,
            per_run=configuration.queue.limit,
        ),
    )


async def _listed(site: Site, batch: Batch, cool_off_days: int) -> _Queue:
    listing = await site.lms.rows.queue(site.pipeline.queue_states, 0)
    ready = set[int]()
    async with aclosing(site.lms.rows.pages(site.pipeline.queue_states, cool_off_days)) as past:
        async for page in past:
            ready.update(each.user_id for each in page.learners)
    if site.deadlines.by_country:
        batch.countries |= await site.lms.accounts.countries(listing.learners)
    due = {each.user_id: batch.due_at(each) for each in listing.learners}
    waiting = [each for each in deadlines.by_slack(listing.learners, due) if each.user_id in ready]
    return _Queue(listing.learners, waiting, due, listing.unreadable)


async def _kept(site: Site, batch: Batch, waiting: Sequence[Learner]) -> tuple[dict[int, str], frozenset[int]]:
    """Why a hold keeps learners wholly, by user id; and the user ids of those done but for what a hold keeps."""
    on = await _holds_on(site, batch, waiting)
    if not on:
        return {}, frozenset()
    held = {user_id: hold.sentence for user_id, holds in on.items() for hold in holds if hold.service is None}
    # A second request of a learner is not done because a hold ended the first one.
    done = site.ledger.learners.each(endings=[Ending.HELD])
    done_else = {(each.user_id, each.retirement_id) async for each in done}
    partly = (each.user_id for each in waiting if (each.user_id, each.retirement_id) in done_else)
    return held, frozenset(user_id for user_id in partly if user_id in on)


async def _holds_on(site: Site, batch: Batch, waiting: Sequence[Learner]) -> dict[int, list[Hold]]:
    """The holds on each learner who has any, by user id; asks for organisations where a hold is on one."""
    active = await site.ledger.holds.find()
    if any(hold.org for hold in active):
        batch.orgs |= await site.lms.accounts.enrolled_in(waiting)
    return {each.user_id: found for each in waiting if (found := batch.holds_on(each, active))}


async def _failed(site: Site, waiting: Sequence[Learner]) -> frozenset[int]:
    """Learners who failed in the last run. After a while in which no run had a place for them they stand as before."""
    last = await site.ledger.setbacks.last([each.user_id for each in waiting])
    since = site.ledger.now() - SET_BACK
    return frozenset(user_id for user_id, at in last.items() if at > since)


async def _weighed(site: Site, configuration: Configuration, queue: _Queue, cool_off_days: int) -> Sequence[Learner]:
    """The learners that the guard judges by: a longer cool-off takes fewer at a time, and hides no flood."""
    shorter = min(cool_off_days, configuration.cool_off_days)
    if shorter == cool_off_days:
        return queue.waiting
    return (await site.lms.rows.queue(site.pipeline.queue_states, shorter)).learners


def expected(
    waiting: Sequence[Waiting], runs: Sequence[QueueRun], *, now: datetime, cool_off_days: int, per_run: int
) -> Forecast:
    """Who will be late if all goes on as the ledger measured it in `runs`, those of the last `USUAL`."""
    pace = deadlines.measured([_measured(run) for run in runs]) or NIGHTLY
    return deadlines.forecast(
        waiting,
        now=now,
        cool_off=timedelta(days=cool_off_days),
        per_run=per_run,
        runs_per_day=pace.runs_per_day,
        success=pace.success,
    )


def _measured(run: QueueRun) -> deadlines.QueueRun:
    return deadlines.QueueRun(run.began_at, run.batch, run.counts.get("retired", 0))


async def _facts(
    site: Site, configuration: Configuration, waiting: Sequence[Learner], depth: int, runs: Sequence[QueueRun]
) -> Facts:
    """The queue in numbers; domains are counted by their digest."""
    ledger, now, settings = site.ledger, site.ledger.now(), configuration.guard
    seen = await ledger.learners.history(now - USUAL)
    digests = (ledger.learners.domain_digest(each.email) for each in waiting)
    return Facts(
        depth=depth,
        by_domain=Counter(digest for digest in digests if digest),
        staff=guard.staff_among(waiting, settings.staff_ids, settings.staff_domains),
        history=History(
            age_days=_days(now, seen.began_at),
            days_since_run=_days(now, max((run.began_at for run in runs), default=None)),
            first_seen=sum(seen.first_seen.values()),
            first_seen_by_domain=seen.domains,
        ),
    )


def _days(now: datetime, then: datetime | None) -> float:
    return 0.0 if then is None else (now - then) / DAY
