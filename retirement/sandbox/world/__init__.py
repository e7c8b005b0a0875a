"""What every simulated service reads: the data, the clock, the learners, and what a seed configures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from retirement.sandbox.world.codes import Code
from retirement.sandbox.world.database import Database
from retirement.sandbox.world.faults import Faults
from retirement.sandbox.world.journal import Journal, Subjects
from retirement.sandbox.world.people import People
from retirement.sandbox.world.settings import Settings
from retirement.sandbox.world.states import States
from retirement.sandbox.world.throttles import RateLimit, Throttle
from retirement.sandbox.world.tokens import Authenticator


class World:
    """The database and all that is kept beside it; `databases` is a folder for files of the database."""

    def __init__(self, databases: Path | None = None) -> None:
        self.database = Database(databases)
        self.authenticator = Authenticator()
        self.begin(Settings(), States(), {})

    def begin(self, settings: Settings, states: States, people: People) -> None:
        """All that is kept outside of the database starts anew."""
        self.settings = settings
        self.states = states
        self.people = people
        self.faults = Faults()
        self.journal = Journal()
        self.subjects = Subjects(people.values())
        self.token_rate = RateLimit(settings.token_rate_per_minute)
        self.enrollment_throttle = Throttle(settings.enrollment_throttle)
        self.authenticator.worker_is_staff = settings.worker_is_staff
        self.codes: dict[str, Code] = {}
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time at the vendors, which do much of their work days later."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Lets time pass at the vendors."""
        self._ahead += timedelta(seconds=seconds)
