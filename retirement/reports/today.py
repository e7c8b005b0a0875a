"""The site at one moment, in numbers: who waits and how long, what services did since yesterday, who did what.

Counts, LMS user ids and what operators typed about themselves. `document` is for a machine; `day` makes a page of it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retirement.config import Configuration
from retirement.followup.overview import PARKED, is_parked_often
from retirement.followup.questions import is_overdue
from retirement.learner import Learner
from retirement.ledger import Act, Asked, Breaker, Hold, LearnerRecord, Pause, learner_scope
from retirement.pipeline import ABORTED, COMPLETE, ERRORED
from retirement.pipeline.strays import is_stray, works
from retirement.queue.forecast import Forecast, Waiting
from retirement.queue.intake import USUAL, expected
from retirement.site import Site
from retirement.site.watch import Watched, watch

#: How far back services, acts and what came back are looked at.
SPAN = timedelta(days=1)
#: User ids that a row names; the others are counted.
NAMED = 20
#: Upper ends of the bars of the time that is left, in days; the last bar has the rest.
BARS = (0, 3, 7, 14, 30)
#: Upper ends of the bars of the time since the request, in days.
AGES = (7, 14, 30, 60, 90)


@dataclass(frozen=True, slots=True)
class Open:
    """What waits in the LMS: how many learners past their cool-off and within it, and the days behind and before."""

    depth: int
    cooling_off: int
    oldest: datetime | None  #: the request that waits longest
    ages: Mapping[str, int]  #: learners by the time since their request
    slack: Mapping[str, int]  #: learners by the time that is left to their deadline


@dataclass(frozen=True, slots=True)
class Services:
    """What services did in the last day, what they have promised, and which are not called."""

    attempts: Mapping[str, Mapping[str, int]]  #: by outcome, or by the error's class
    open_receipts: Mapping[str, int]
    overdue_receipts: Mapping[str, tuple[int, ...]]
    down: tuple[Breaker, ...]
    came_back: Mapping[str, tuple[int, ...]]  #: learners erased anew in the last day, by the reason


@dataclass(frozen=True, slots=True)
class Today:
    """The site at one moment."""

    now: datetime
    states: Mapping[str, int]
    errored: tuple[int, ...]
    overdue: tuple[int, ...]
    open: Open
    forecast: Forecast
    services: Services
    stuck: Mapping[str, tuple[int, ...]]  #: learners who do not go on by themselves, or not well, by what keeps them
    holds: tuple[Hold, ...]
    pauses: tuple[Pause, ...]
    acts: tuple[Act, ...]  #: of the last day
    to_do: tuple[str, ...]  #: sentences about what waits for a person
    time_left: Mapping[int, timedelta]  #: to the deadline, of each learner who waits and whom no hold keeps wholly

    @property
    def overdue_receipts(self) -> tuple[int, ...]:
        """The numbers of the receipts that services should have confirmed by now."""
        return tuple(sorted(each for found in self.services.overdue_receipts.values() for each in found))

    @property
    def document(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        ends, services = self.forecast, self.services
        return {
            "at": _minute(self.now),
            "depth": self.open.depth,
            "cooling_off": self.open.cooling_off,
            "states": dict(self.states),
            "errored": list(self.errored),
            "overdue": list(self.overdue),
            "oldest_request": _minute(self.open.oldest),
            "ages": dict(self.open.ages),
            "time_left": dict(self.open.slack),
            "forecast": {
                "late": [each.user_id for each in ends.breaches],
                "at_risk": ends.at_risk,
                "clears_on": _minute(ends.clears_on),
            },
            "services": {name: dict(counts) for name, counts in services.attempts.items()},
            "not_called": {each.service: _minute(each.since) for each in services.down},
            "open_receipts": sum(services.open_receipts.values()),
            "overdue_receipts": list(self.overdue_receipts),
            "came_back": {why: list(ids) for why, ids in services.came_back.items()},
            "stuck": {what: list(ids) for what, ids in self.stuck.items()},
            "holds": [each.id for each in self.holds],
            "acts": [each.seq for each in self.acts],
            "paused_schedules": [each.schedule for each in self.pauses],
            "to_do": list(self.to_do),
        }


def _minute(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="minutes") if moment else None


async def today_of(configuration: Configuration, site: Site) -> Today:
    """The site that a configuration describes, now. Raises `ServiceError` and `LedgerError`."""
    return await today(site, cool_off_days=configuration.cool_off_days, per_run=configuration.queue.limit)


async def today(site: Site, *, cool_off_days: int, per_run: int) -> Today:
    """Asks LMS and ledger; changes nothing. `per_run` is the most learners of a queue run.

    Raises `ServiceError` and `LedgerError`.
    """
    watched, now = await watch(site), site.ledger.now()
    waiting = [each for each in watched.learners if each.state not in (ABORTED, COMPLETE)]
    overdue = _ids(waiting, lambda each: now > site.due_at(each))
    errored = _ids(waiting, lambda each: each.state == ERRORED)
    holds = await site.ledger.holds.find()
    services, pauses = await _services(site, now), await site.ledger.pauses.all()
    late = tuple(sorted(each for found in services.overdue_receipts.values() for each in found))
    return Today(
        now=now,
        states=dict(sorted(Counter(each.state for each in watched.learners).items())),
        errored=errored,
        overdue=overdue,
        open=_open(site, waiting, now, cool_off_days),
        forecast=await _forecast(site, waiting, holds, now, cool_off_days, per_run),
        services=services,
        stuck=await _stuck(site, watched, errored),
        holds=tuple(holds),
        pauses=tuple(pauses),
        acts=tuple(await site.ledger.acts.since(now - SPAN)),
        to_do=(*_learners(watched, errored, overdue, late), *await _of_the_ledger(site, services.down, pauses, now)),
        time_left=_time_left(site, watched, holds, now),
    )


def _open(site: Site, waiting: Sequence[Learner], now: datetime, cool_off_days: int) -> Open:
    queued = [each for each in waiting if each.state in site.pipeline.queue_states]
    ready = sum(each.requested_at + timedelta(days=cool_off_days) <= now for each in queued)
    return Open(
        depth=ready,
        cooling_off=len(queued) - ready,
        oldest=min((each.requested_at for each in waiting), default=None),
        ages=binned((now - each.requested_at for each in waiting), AGES),
        slack=binned((site.due_at(each) - now for each in waiting), BARS),
    )


def binned(spans: Iterable[timedelta], ends: Sequence[int]) -> dict[str, int]:
    """How many spans are within so many days, by the name of the bar; what is over by now is `overdue`."""
    counts = Counter(_bar(each.total_seconds() / 86_400, ends) for each in spans)
    return {name: counts[name] for name in (*map(bar_name, ends), "more") if counts[name]}


def _bar(days: float, ends: Sequence[int]) -> str:
    return next((bar_name(end) for end in ends if days <= end), "more")


def bar_name(end: int) -> str:
    """What a bar is called that ends at so many days."""
    return f"at most {end}" if end else "overdue"


async def _forecast(
    site: Site, waiting: Sequence[Learner], holds: Sequence[Hold], now: datetime, cool_off_days: int, per_run: int
) -> Forecast:
    """Of those whom a queue run may take; a hold on an organisation counts as none, as in `_time_left`."""
    line = [
        Waiting(each.user_id, each.requested_at, site.due_at(each))
        for each in waiting
        if each.state in site.pipeline.queue_states and not _is_kept(each.user_id, holds)
    ]
    runs = await site.ledger.queue_runs.since(now - USUAL)
    return expected(line, runs, now=now, cool_off_days=cool_off_days, per_run=per_run)


def _is_kept(user_id: int, holds: Iterable[Hold]) -> bool:
    return any(hold.service is None and hold.is_on(user_id, ()) for hold in holds)


def _time_left(site: Site, watched: Watched, holds: Sequence[Hold], now: datetime) -> dict[int, timedelta]:
    """Least first. A hold on an organisation counts as none: the LMS would have to be asked for each learner."""
    due = {each.user_id: site.due_at(each) for each in watched.learners if each.state not in (ABORTED, COMPLETE)}
    due |= {each.record.user_id: each.record.due_at for each in watched.unseen}
    left = {user_id: at - now for user_id, at in due.items() if not _is_kept(user_id, holds)}
    return dict(sorted(left.items(), key=lambda each: each[1]))


def _ids(learners: Iterable[Learner], fits: Callable[[Learner], bool]) -> tuple[int, ...]:
    return tuple(each.user_id for each in learners if fits(each))


async def _services(site: Site, now: datetime) -> Services:
    since = now - SPAN
    attempts: dict[str, Counter[str]] = {}
    came_back: dict[str, list[int]] = {}
    async for record in site.ledger.learners.each(since=since):
        _count(attempts, record, since)
        for why in {*_voided(record, since), *_repeated(record, since)}:
            came_back.setdefault(why, []).append(record.user_id)
    receipts = [each for each in await site.ledger.receipts.find(open_only=True) if each.operation]
    late: dict[str, list[int]] = {}
    for each in receipts:
        if is_overdue(site, each):
            late.setdefault(each.service, []).append(each.id)
    return Services(
        attempts=dict(sorted(attempts.items())),
        open_receipts=dict(sorted(Counter(each.service for each in receipts).items())),
        overdue_receipts={service: tuple(ids) for service, ids in late.items()},
        down=tuple(await site.ledger.breakers.down()),
        came_back={why: tuple(ids) for why, ids in sorted(came_back.items())},
    )


def _count(found: dict[str, Counter[str]], record: LearnerRecord, since: datetime) -> None:
    """Adds what the steps of a retirement came to since then, by their services."""
    for attempt in record.attempts:
        if attempt.ended_at and attempt.ended_at >= since:
            found.setdefault(attempt.service, Counter())[attempt.outcome or attempt.error or "under way"] += 1


def _voided(record: LearnerRecord, since: datetime) -> set[str]:
    """Why proofs were made void since then."""
    return {each.void_reason or "" for each in record.attempts if each.voided_at and each.voided_at >= since}


def _repeated(record: LearnerRecord, since: datetime) -> set[str]:
    """The services that erased once more since then what was proved before."""
    proofs = [each for each in record.attempts if each.is_proved]
    first = {each.step: each.id for each in reversed(proofs)}
    later = (each for each in proofs if each.id != first[each.step] and each.ended_at and each.ended_at >= since)
    return {f"erased once more in {each.service}" for each in later}


async def _stuck(site: Site, watched: Watched, errored: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """By what keeps them: those of whom the LMS has a row that is open, or the ledger a retirement."""
    unseen = tuple(each.record.user_id for each in watched.unseen)
    open_ones = {each.user_id for each in watched.learners}.union(unseen)
    parked: list[int] = []
    often: list[int] = []
    async for each in site.ledger.learners.each(endings=PARKED):
        if each.user_id in open_ones:
            parked.append(each.user_id)
            often += [each.user_id] if is_parked_often(each) else []
    found = {
        "ERRORED": errored,
        "parked: the next run takes them": tuple(parked),
        "of these parked often by one step": tuple(often),
        "in a working state without a live run": await _dead(site, watched),
        "in a state that no step has": _ids(watched.learners, lambda each: is_stray(site.pipeline, each.state)),
        "not to be seen in the LMS": unseen,
    }
    return {what: ids for what, ids in found.items() if ids}


async def _dead(site: Site, watched: Watched) -> tuple[int, ...]:
    live = await site.ledger.leases.live()
    working = _ids(watched.learners, lambda each: works(site.pipeline, each.state))
    return tuple(each for each in working if learner_scope(each) not in live)


def _learners(watched: Watched, errored: Sequence[int], overdue: Sequence[int], receipts: Sequence[int]) -> list[str]:
    """What learners and receipts wait for a person, with the command that helps."""
    facts = (
        (errored, "ERRORED: fix the cause, then the deployment `redrive`, or `retirement redrive`"),
        (overdue, "overdue: see `retirement status --user-id`"),
        ([each.record.user_id for each in watched.unseen], "not to be seen in the LMS: `retirement status`"),
        (receipts, "receipts overdue, by number: see `retirement verify --all`"),
    )
    return [f"{len(ids)} {text}: {named(ids)}" for ids, text in facts if ids]


async def _of_the_ledger(site: Site, down: Iterable[Breaker], pauses: Iterable[Pause], now: datetime) -> list[str]:
    questions = [each for each in await site.ledger.decisions.current() if each.is_open(now)]
    return [
        *(_open_until(each) for each in questions),
        *(f"{each.service} is not called since {each.since:%Y-%m-%d %H:%M} UTC" for each in down),
        *(f"the schedule {each.schedule} is paused since {each.since:%Y-%m-%d %H:%M} UTC" for each in pauses),
    ]


def _open_until(asked: Asked) -> str:
    second = ", and needs another person (1 of 2)" if asked.yeses else ""
    return f"question {asked.id} is open until {asked.decision.expires_at:%Y-%m-%d %H:%M} UTC{second}"


def named(ids: Sequence[int]) -> str:
    """The first of these ids, and how many more there are."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return (", ".join(map(str, ids[:NAMED])) or "none") + more
