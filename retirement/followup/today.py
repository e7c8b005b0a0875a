"""The page of the day: how many wait and how long, what services did since yesterday, and what a person has to do.

Counts and LMS user ids only. `document` is for a machine, `markdown` for a person.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retirement.connectors import Outcome
from retirement.followup.chart import Bar, chart
from retirement.followup.questions import is_overdue
from retirement.learner import Learner
from retirement.ledger import Asked, LearnerRecord
from retirement.pipeline import ABORTED, COMPLETE, ERRORED
from retirement.privacy import as_markdown
from retirement.site import Site
from retirement.site.watch import Watched, watch

#: How far back the table of services looks.
SPAN = timedelta(days=1)
#: User ids that a row names; the others are counted.
NAMED = 20
#: Upper ends of the bars of the time that is left, in days; the last bar has the rest.
BARS = (0, 3, 7, 14, 30)


@dataclass(frozen=True, slots=True)
class Today:
    """The site at one moment."""

    now: datetime
    states: Mapping[str, int]
    errored: tuple[int, ...]
    overdue: tuple[int, ...]
    oldest: datetime | None  #: the request that waits longest
    slack: Mapping[str, int]  #: learners by the time that is left to their deadline
    services: Mapping[str, Mapping[str, int]]  #: attempts of the last day by outcome, or by the error's class
    open_receipts: int
    overdue_receipts: tuple[int, ...]
    to_do: tuple[str, ...]  #: sentences about what waits for a person
    time_left: Mapping[int, timedelta]  #: to the deadline, of each learner who waits and whom no hold keeps wholly
    down: Mapping[str, datetime]  #: services that are not called, and since when

    @property
    def document(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "at": self.now.isoformat(timespec="minutes"),
            "states": dict(self.states),
            "errored": list(self.errored),
            "overdue": list(self.overdue),
            "oldest_request": self.oldest.isoformat(timespec="minutes") if self.oldest else None,
            "time_left": dict(self.slack),
            "services": {name: dict(counts) for name, counts in self.services.items()},
            "open_receipts": self.open_receipts,
            "overdue_receipts": list(self.overdue_receipts),
            "to_do": list(self.to_do),
        }

    def markdown(self, next_runs: Sequence[str] = ()) -> str:
        """The page; `next_runs` are sentences on the schedules."""
        return "\n".join([
            f"# Retirements on {self.now:%Y-%m-%d %H:%M} UTC",
            "",
            *_list("What waits for a person", self.to_do),
            *_table("Learners by state", ("state", "learners"), self.states.items()),
            f"Oldest open request: {f'{self.oldest:%Y-%m-%d}' if self.oldest else 'none'}.",
            "",
            *_table("Time left to the deadline", ("days", "learners"), self.slack.items()),
            *_picture("Learners by days left", _left(self.slack)),
            *_table("Services, the last 24 hours", ("service", "what came of it"), _outcomes(self.services)),
            *_picture("Attempts by service, those that failed last", _attempts(self.services)),
            f"Open receipts: {self.open_receipts}; overdue: {named(self.overdue_receipts)}.",
            "",
            *_list("Next runs", next_runs),
        ])  # fmt: skip


async def today(site: Site) -> Today:
    """Asks LMS and ledger; changes nothing. Raises `ServiceError` and `LedgerError`."""
    watched, now = await watch(site), site.ledger.now()
    waiting = [each for each in watched.learners if each.state not in (ABORTED, COMPLETE)]
    overdue = _ids(waiting, lambda each: now > site.due_at(each))
    errored = _ids(waiting, lambda each: each.state == ERRORED)
    receipts = [each for each in await site.ledger.receipts.find(open_only=True) if each.operation]
    late = tuple(each.id for each in receipts if is_overdue(site, each))
    return Today(
        now,
        dict(sorted(Counter(each.state for each in watched.learners).items())),
        errored,
        overdue,
        min((each.requested_at for each in waiting), default=None),
        _slack(site, waiting, now),
        _by_service(await site.ledger.learners.find(since=now - SPAN), now - SPAN),
        len(receipts),
        late,
        (*_learners(watched, errored, overdue, late), *await _of_the_ledger(site, now)),
        await _time_left(site, watched, now),
        {each.service: each.since for each in await site.ledger.breakers.down()},
    )


async def _time_left(site: Site, watched: Watched, now: datetime) -> dict[int, timedelta]:
    """Least first. A hold on an organisation counts as none: the LMS would have to be asked for each learner."""
    holds = [each for each in await site.ledger.holds.find() if each.service is None]
    due = {each.user_id: site.due_at(each) for each in watched.learners if each.state not in (ABORTED, COMPLETE)}
    due |= {each.record.user_id: each.record.due_at for each in watched.unseen}
    left = {user_id: at - now for user_id, at in due.items() if not any(hold.is_on(user_id, ()) for hold in holds)}
    return dict(sorted(left.items(), key=lambda each: each[1]))


def _ids(learners: Iterable[Learner], fits: Callable[[Learner], bool]) -> tuple[int, ...]:
    return tuple(each.user_id for each in learners if fits(each))


def _slack(site: Site, waiting: Iterable[Learner], now: datetime) -> dict[str, int]:
    counts = Counter(_bar((site.due_at(each) - now).total_seconds() / 86_400) for each in waiting)
    return {name: counts[name] for name in (*map(_name, BARS), "more") if counts[name]}


def _bar(days: float) -> str:
    return next((_name(end) for end in BARS if days <= end), "more")


def _name(end: int) -> str:
    return f"at most {end}" if end else "overdue"


def _by_service(records: Iterable[LearnerRecord], since: datetime) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for record in records:
        for attempt in record.attempts:
            if attempt.ended_at and attempt.ended_at >= since:
                found.setdefault(attempt.service, Counter())[attempt.outcome or attempt.error or "under way"] += 1
    return dict(sorted(found.items()))


def _learners(watched: Watched, errored: Sequence[int], overdue: Sequence[int], receipts: Sequence[int]) -> list[str]:
    """What learners and receipts wait for a person, with the command that helps."""
    facts = (
        (errored, "ERRORED: fix the cause, then the deployment `redrive`, or `retirement redrive`"),
        (overdue, "overdue: see `retirement status --user-id`"),
        ([each.record.user_id for each in watched.unseen], "not to be seen in the LMS: `retirement status`"),
        (receipts, "receipts overdue, by number: see `retirement verify --all`"),
    )
    return [f"{len(ids)} {text}: {named(ids)}" for ids, text in facts if ids]


async def _of_the_ledger(site: Site, now: datetime) -> list[str]:
    questions = [each for each in await site.ledger.decisions.current() if each.is_open(now)]
    down = await site.ledger.breakers.down()
    return [
        *(_open_until(each) for each in questions),
        *(f"{each.service} is not called since {each.since:%Y-%m-%d %H:%M} UTC: {each.reason}" for each in down),
        *(f"the schedule {each.schedule} is {each.sentence}" for each in await site.ledger.pauses.all()),
    ]


def _open_until(asked: Asked) -> str:
    second = ", and needs another person (1 of 2)" if asked.yeses else ""
    return f"question {asked.id} is open until {asked.decision.expires_at:%Y-%m-%d %H:%M} UTC{second}"


def named(ids: Sequence[int]) -> str:
    """The first of these ids, and how many more there are."""
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return (", ".join(map(str, ids[:NAMED])) or "none") + more


def _left(slack: Mapping[str, int]) -> list[Bar]:
    return [Bar(name, 0, count) if name == _name(0) else Bar(name, count, 0) for name, count in slack.items()]


def _attempts(services: Mapping[str, Mapping[str, int]]) -> list[Bar]:
    """What is no outcome of a call is an error."""
    good = {each.value for each in Outcome}
    found = []
    for name, counts in services.items():
        well = sum(count for what, count in counts.items() if what in good)
        found.append(Bar(name, well, sum(counts.values()) - well))
    return found


def _picture(title: str, bars: Sequence[Bar]) -> list[str]:
    return [chart(title, bars), ""] if bars else []


def _outcomes(services: Mapping[str, Mapping[str, int]]) -> Iterable[tuple[str, str]]:
    return ((name, ", ".join(f"{count} {what}" for what, count in counts.items())) for name, counts in services.items())


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {as_markdown(line, code=True)}" for line in lines or ["nothing"]), ""]


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    found = [[as_markdown(str(cell), code=True) for cell in row] for row in rows]
    if not found:
        return [f"## {title}", "", "none", ""]
    return [
        f"## {title}",
        "",
        *("| " + " | ".join(row) + " |" for row in (list(head), ["---"] * len(head), *found)),
        "",
    ]
