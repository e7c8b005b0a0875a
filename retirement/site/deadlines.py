"""When a retirement has to be complete: days from the request (GDPR, article 12(3): one month from receipt)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from retirement.learner import Learner


def due_at(learner: Learner, days: int) -> datetime:
    """When the retirement has to be complete, so many days after the request."""
    span = timedelta(days=days)
    # A row from the end of time is odd, and no reason to stop for all others.
    return min(learner.requested_at, datetime.max.replace(tzinfo=UTC) - span) + span


@dataclass(frozen=True)
class Deadlines:
    """Days from the request in which a retirement has to be complete: `days`, or those of the learner's country."""

    days: int
    by_country: Mapping[str, int] = field(default_factory=dict)

    def days_for(self, country: str | None) -> int:
        """Those of an ISO 3166 code; None: the learner's country is not known."""
        return self.by_country.get(country or "", self.days)
