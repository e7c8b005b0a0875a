"""Troubles that last, as events that automations pass on to operators: counts, user ids, services and times only.

An event is sent for each threshold that some channel has and the trouble has passed. The same trouble has the same
resource each time, so an automation tells of it once in a while, however often the event comes. Imports nothing of
Prefect, as the watchdog does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from retirement.config import ChannelSettings, Occasion
from retirement.flows.kit.health import told
from retirement.reports.today import Today, named

#: The label of an event by which an automation finds the threshold of its channel.
THRESHOLD = "retirement.threshold"

Channels = Sequence[ChannelSettings]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What operators should know. `subject` is what it is about: the same words as long as it is the same trouble."""

    occasion: Occasion
    subject: str
    threshold: float
    text: str

    @property
    def event(self) -> dict[str, Any]:
        """The event as Prefect takes it."""
        return {
            "id": str(uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": event_of(self.occasion),
            "resource": {
                "prefect.resource.id": f"retirement.{self.subject}",
                THRESHOLD: label(self.threshold),
            },
            "payload": {"text": self.text},
        }


def event_of(occasion: Occasion) -> str:
    """The name of the events of an occasion."""
    return f"retirement.{occasion.value}"


def label(threshold: float) -> str:
    """A threshold as a label has it."""
    return f"{threshold:g}"


async def tell(api_url: str, troubles: Iterable[Trouble]) -> None:
    """Sends the events of troubles to a Prefect server. Raises `EngineLost`."""
    if events := [each.event for each in troubles]:
        await told(api_url, "events", events)


def of_today(page: Today, channels: Channels) -> list[Trouble]:
    """What the page of the day shows and some channel wants to be told."""
    return [*_deadlines(page, channels), *_breakers(page, channels), *_receipts(page, channels)]


def of_schedules(silent: Mapping[str, tuple[datetime, str]], now: datetime, channels: Channels) -> list[Trouble]:
    """Schedules by name that have been silent since a time, and why."""
    return [
        Trouble(
            Occasion.SCHEDULE,
            f"schedule.{name}.{since:%Y-%m-%dT%H:%M:%S}",
            minutes,
            f"Scheduled runs do not come. {problem}.",
        )
        for minutes in _thresholds(channels, Occasion.SCHEDULE)
        for name, (since, problem) in silent.items()
        if now - since >= timedelta(minutes=minutes)
    ]


def _thresholds(channels: Channels, occasion: Occasion) -> list[float]:
    return sorted({each.threshold(occasion) for each in channels if occasion in each.occasions})


def _deadlines(page: Today, channels: Channels) -> list[Trouble]:
    found = []
    for days in _thresholds(channels, Occasion.DEADLINE):
        late = [user_id for user_id, left in page.time_left.items() if left <= timedelta(days=days)]
        if late:
            text = f"Learners with at most {days:g} days left to their deadline: {len(late)}. User ids: {named(late)}."
            found.append(Trouble(Occasion.DEADLINE, "deadline", days, text))
    return found


def _breakers(page: Today, channels: Channels) -> list[Trouble]:
    return [
        # A service that has worked meanwhile is a new trouble.
        Trouble(
            Occasion.BREAKER,
            f"breaker.{service}.{since:%Y-%m-%dT%H:%M:%S}",
            hours,
            f"{service} is not called since {since:%Y-%m-%d %H:%M} UTC; its learners wait.",
        )
        for hours in _thresholds(channels, Occasion.BREAKER)
        for service, since in ((each.service, each.since) for each in page.services.down)
        if page.now - since >= timedelta(hours=hours)
    ]


def _receipts(page: Today, channels: Channels) -> list[Trouble]:
    late = page.overdue_receipts
    text = f"Services should have confirmed erasures by now: {len(late)}. Receipts: {named(late)}."
    thresholds = _thresholds(channels, Occasion.RECEIPT) if late else []
    return [Trouble(Occasion.RECEIPT, "receipt", each, text) for each in thresholds]
