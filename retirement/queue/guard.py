"""Whether a queue is so unusual that a person has to agree before a learner is erased.

A retirement cannot be undone, so what would erase many by mistake or by malice stops here: a queue that is
too deep, one that has grown too fast, the site's own people, and one e-mail domain in bulk. Pure: the caller
brings the numbers and no name; a domain comes as a digest.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from retirement.config import GuardSettings
from retirement.learner import Learner

#: How far back "usual" looks, in days.
USUAL_DAYS = 28
#: A ledger that has watched for fewer days than this knows no usual number.
KNOWING_DAYS = 7
#: How many user ids one sentence names.
MOST_NAMED = 10

Kind = Literal["depth", "rate", "staff", "domain"]


@dataclass(frozen=True, slots=True)
class Trip:
    """One reason to ask: which guard, and a fixed sentence with numbers that names learners by user id alone."""

    kind: Kind
    sentence: str


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows: ages in days, learners first seen in the last 28 days, those by domain digest."""

    age_days: float = 0.0
    days_since_run: float = 1.0
    first_seen: int = 0
    first_seen_by_domain: Mapping[str, int] = field(default_factory=dict)

    def expected(self, first_seen: int) -> float:
        """How many are usual since the last run, where so many were first seen in the last 28 days.

        A younger ledger has fewer days to divide by; a second run on one day has all that a day brings.
        """
        watched = min(float(USUAL_DAYS), max(float(KNOWING_DAYS), self.age_days))
        return first_seen / watched * max(1.0, self.days_since_run)


@dataclass(frozen=True, slots=True)
class Facts:
    """A queue in numbers: all learners who wait, before any limit; those by domain digest; staff among them."""

    depth: int
    by_domain: Mapping[str, int] = field(default_factory=dict)
    staff: Collection[int] = ()
    history: History = History()


def assess(facts: Facts, settings: GuardSettings, threshold: int) -> list[Trip]:
    """Every guard that trips; `threshold` is `queue.threshold`. None of them: the run may go on."""
    return [*_depth(facts, threshold), *_rate(facts, settings), *_staff(facts), *_domains(facts, settings)]


def _depth(facts: Facts, threshold: int) -> Iterable[Trip]:
    if facts.depth > threshold:
        yield Trip("depth", f"{facts.depth} learners wait, more than queue.threshold, which is {threshold}")


def _rate(facts: Facts, settings: GuardSettings) -> Iterable[Trip]:
    history = facts.history
    if history.age_days < KNOWING_DAYS:
        return
    usual = history.expected(history.first_seen)
    limit = max(float(settings.floor), settings.factor * usual)
    if facts.depth > limit:
        yield Trip(
            "rate",
            f"{facts.depth} learners wait where {usual:.1f} are usual since the last run; the limit is {limit:.0f}",
        )


def _staff(facts: Facts) -> Iterable[Trip]:
    if facts.staff:
        ids = sorted(facts.staff)
        named = ", ".join(str(user_id) for user_id in ids[:MOST_NAMED])
        more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
        yield Trip("staff", f"{len(ids)} of those who wait are the site's own people: user ids {named}{more}")


def _domains(facts: Facts, settings: GuardSettings) -> Iterable[Trip]:
    history = facts.history
    for digest, count in sorted(facts.by_domain.items(), key=lambda each: (-each[1], each[0])):
        usual = history.expected(history.first_seen_by_domain.get(digest, 0))
        limit = max(float(settings.domain_floor), settings.factor * usual)
        if count > limit and count > settings.domain_share * facts.depth:
            yield Trip(
                "domain",
                f"{count} of the {facts.depth} learners who wait share one e-mail domain, "
                f"where {usual:.1f} are usual since the last run; the limit is {limit:.0f}",
            )


def staff_among(learners: Iterable[Learner], ids: Collection[int], domains: Collection[str]) -> tuple[int, ...]:
    """The user ids of the site's own people, by user id or by the domain of the original e-mail, in order."""
    theirs = {domain.casefold() for domain in domains}
    return tuple(
        sorted({learner.user_id for learner in learners if learner.user_id in ids or domain_of(learner) in theirs})
    )


def domain_of(learner: Learner) -> str | None:
    """What stands after the last @ of the original e-mail, without regard to case; None without one."""
    _, at, domain = learner.email.strip().rpartition("@")
    return domain.casefold().rstrip(".") or None if at else None
