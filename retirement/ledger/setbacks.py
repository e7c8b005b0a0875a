"""What learners failed with, run after run: the history that tells a service that is down from one learner's trouble.

It is read out of the entries about failed and proved steps and ended runs, which name service and error.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from retirement.errors import Ending, RateLimited, RetirementError, names_where
from retirement.ledger.access import Access
from retirement.ledger.events import Event, event_of
from retirement.ledger.tables import Attempt, Entry, LearnerRecord
from retirement.ledger.transaction import Transaction
from retirement.process import in_parts

#: Two failures within so long are of one night, and a learner who passes within so long passes in the same one.
A_NIGHT = timedelta(hours=12)
#: How many learners one statement asks for.
_AT_ONCE = 500
_KINDS = ("step.failed", "step.proved", "run.ended")


@dataclass(frozen=True, slots=True)
class Setback:
    """One failure of one run at a service; `step` None: at a question to the LMS before the first step."""

    at: datetime
    step: str | None
    service: str
    error: str
    fence: int


class Setbacks:
    """Ask what learners have failed with."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def last(self, user_ids: Collection[int]) -> dict[int, datetime]:
        """When each of these learners failed in the last run that ended, without those who failed nowhere in it.

        A learner who met a service that was known to be down has not failed: no request was sent.
        """
        return await self._access.read(lambda tx: _last(tx, sorted(user_ids)))

    async def nights(self, user_id: int, retirement_id: int, service: str) -> list[datetime]:
        """Nights on which a service failed the learner in a step that another learner passed in the same night.

        Only those since the step was proved or the learner was ERRORED count; those of the worst step, oldest first.
        """
        return await self._access.read(lambda tx: _nights(tx, user_id, retirement_id, service))


def setbacks_of(tx: Transaction, user_id: int, retirement_id: int) -> list[Setback]:
    """The failures of one retirement since its steps were last proved, and since the learner was last ERRORED."""
    mine = (Entry.user_id == user_id, Entry.kind.in_(_KINDS))
    events = [event_of(entry) for entry in tx.rows(Entry, *mine)]
    return _unmended(each for each in events if each.facts.get("retirement") == retirement_id)


def _unmended(events: Iterable[Event]) -> list[Setback]:
    found: list[Setback] = []
    for each in events:
        facts = each.facts
        if each.kind == "step.failed":
            found.append(Setback(each.at, facts["step"], facts["service"], facts["error"], facts["fence"]))
        elif each.kind == "step.proved":
            found = [setback for setback in found if setback.step != facts["step"]]
        elif facts["ending"] == Ending.ERRORED:
            found = []
    return found


def _last(tx: Transaction, user_ids: Sequence[int]) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for some in in_parts(user_ids, _AT_ONCE):
        ended = {
            (each.user_id, each.retirement_id, each.fence)
            for each in tx.rows(LearnerRecord, LearnerRecord.user_id.in_(some), LearnerRecord.ending.is_not(None))
        }
        for event in map(event_of, tx.rows(Entry, Entry.user_id.in_(some), Entry.kind == "step.failed")):
            key = (event.user_id, event.facts["retirement"], event.facts["fence"])
            if key in ended and event.user_id is not None:
                found[event.user_id] = event.at
    return found


def _counts(kind: type[RetirementError]) -> bool:
    """Whether a night counts that ended so: a service that asks for a pause has no room, whatever learner comes."""
    return kind.consequence.trips_breaker and not issubclass(kind, RateLimited)


def _nights(tx: Transaction, user_id: int, retirement_id: int, service: str) -> list[datetime]:
    failures: dict[str, list[datetime]] = {}
    counted_errors = names_where(_counts)
    for each in setbacks_of(tx, user_id, retirement_id):
        if each.step and each.service == service and each.error in counted_errors:
            failures.setdefault(each.step, []).append(each.at)
    counted = (_shared(at, _passes(tx, step, user_id, at[0] - A_NIGHT)) for step, at in failures.items())
    return max(counted, key=len, default=[])


def _passes(tx: Transaction, step: str, but: int, since: datetime) -> list[datetime]:
    """When other learners passed a step, in order."""
    passed = (Attempt.step == step, Attempt.user_id != but, Attempt.outcome.is_not(None), Attempt.ended_at >= since)
    return sorted(filter(None, tx.connection.scalars(select(Attempt.ended_at).where(*passed))))


def _shared(failures: Iterable[datetime], passes: Sequence[datetime]) -> list[datetime]:
    """One failure for each night in which there was a pass as well."""
    nights: list[datetime] = []
    for at in failures:
        is_next = not nights or at - nights[-1] >= A_NIGHT
        place = bisect_left(passes, at - A_NIGHT)
        if is_next and place < len(passes) and passes[place] <= at + A_NIGHT:
            nights.append(at)
    return nights
