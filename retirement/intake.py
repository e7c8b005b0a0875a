"""What a queue run takes on: who waits, in which order, how many, and whether that many is normal.

Reads the LMS and the ledger and changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from retirement import deadlines, guard
from retirement.config import Configuration
from retirement.deadlines import Forecast, Pace, Waiting
from retirement.endings import Ending
from retirement.guard import Facts, History, Trip
from retirement.learner import Learner
from retirement.ledger import QueueRun
from retirement.site import Site

#: How far back "usual" looks.
USUAL = timedelta(days=guard.USUAL_DAYS)
DAY = timedelta(days=1)
#: A site whose ledger does not know its pace yet is taken at its word: one run a night that retires its batch.
NIGHTLY = Pace(runs_per_day=1.0, success=1.0)


@dataclass(frozen=True)
class Intake:
    """Everybody who waits, least slack first, and what is unusual about them."""

    waiting: tuple[Learner, ...]
    held: Mapping[int, str]  #: by user id, why a hold keeps somebody wholly: nobody is called about them
    partly: frozenset[int]  #: user ids of those of whom a hold keeps the rest, all else being done
    unreadable: tuple[str, ...]
    trips: tuple[Trip, ...]
    forecast: Forecast

    @property
    def depth(self) -> int:
        """How many wait, before any limit."""
        return len(self.waiting) + len(self.unreadable)

    def batch(self, limit: int) -> list[Learner]:
        """The `limit` most urgent of those whom no hold keeps wholly.

        Whoever is kept in part, and done otherwise, comes after everybody else: night after night they would
        take others' places.
        """
        last = self.held.keys() | self.partly
        free = [learner for learner in self.waiting if learner.user_id not in last]
        partly = [learner for learner in self.waiting if learner.user_id in self.partly - self.held.keys()]
        return [*free, *partly][:limit]

    def only(self, user_ids: Collection[int]) -> "Intake":
        """The same without those who came later: an answer is about those who were asked about."""
        waiting = tuple(learner for learner in self.waiting if learner.user_id in user_ids)
        return replace(self, waiting=waiting, held={each: why for each, why in self.held.items() if each in user_ids})


async def take_in(site: Site, configuration: Configuration, cool_off_days: int) -> Intake:
    """Lists who waits and weighs it. Raises `ServiceError` and `LedgerError`."""
    everybody = await site.lms.queue(site.pipeline.queue_states, 0)
    unreadable = tuple(site.lms.unreadable)
    ready = {each.user_id for each in await site.lms.queue(site.pipeline.queue_states, cool_off_days)}
    if site.deadlines.by_country:
        site.deadlines.countries |= await site.lms.countries(everybody)
    now = site.ledger.now()
    due = {each.user_id: site.due_at(each) for each in everybody}
    waiting = [each for each in deadlines.by_slack(everybody, due) if each.user_id in ready]
    active = await site.ledger.holds()
    if any(hold.org for hold in active):
        site.orgs |= await site.lms.enrolled_in(waiting)
    holds = {each.user_id: site.holds_on(each, active) for each in waiting} if active else {}
    held = {user_id: hold.sentence for user_id, on in holds.items() for hold in on if hold.service is None}
    rest = {each.user_id for each in await site.ledger.records(endings=[Ending.HELD])} if holds else set()
    runs = await site.ledger.queue_runs(now - USUAL)
    # Whoever takes a longer cool-off takes fewer at a time, and is weighed by everybody who could be taken.
    shorter = min(cool_off_days, configuration.cool_off_days)
    weighed = await site.lms.queue(site.pipeline.queue_states, shorter) if shorter != cool_off_days else waiting
    facts = await _facts(site, configuration, weighed, len(weighed) + len(unreadable), runs)
    free = [each for each in everybody if each.user_id not in held]
    return Intake(
        waiting=tuple(waiting),
        held=held,
        partly=frozenset(user_id for user_id, on in holds.items() if on and user_id in rest),
        unreadable=unreadable,
        trips=tuple(guard.assess(facts, configuration.guard, configuration.queue.threshold)),
        forecast=_forecast(configuration, free, due, now, cool_off_days, runs),
    )


def _forecast(
    configuration: Configuration,
    learners: Sequence[Learner],
    due: Mapping[int, datetime],
    now: datetime,
    cool_off_days: int,
    runs: Sequence[QueueRun],
) -> Forecast:
    """Who will be late if all goes on as the ledger measured it."""
    pace = deadlines.measured([_measured(run) for run in runs]) or NIGHTLY
    return deadlines.forecast(
        [Waiting(each.user_id, each.requested_at, due[each.user_id]) for each in learners],
        now=now,
        cool_off=timedelta(days=cool_off_days),
        per_run=configuration.queue.limit,
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
    seen = await ledger.history(now - USUAL)
    digests = (ledger.domain_digest(each.email) for each in waiting)
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
