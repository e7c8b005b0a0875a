"""What only a person can do: a paper file, a vendor without an API, a spreadsheet.

No contract names this service. Nothing is sent. The step ends at once as `manual`, with a receipt under
which a person's evidence is kept later; no run waits for it meanwhile.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Self
from uuid import uuid4

from pydantic import Field, field_validator

from retirement.connectors import Connector, Erasure, FollowUp, Operation, Outcome, ServiceSettings, offline, operation
from retirement.learner import Learner
from retirement.wire.wiring import Wiring


class ManualSettings(ServiceSettings):
    """What stands below `services.MANUAL`."""

    url: str = Field(default="", max_length=0, description="Not used: nothing is sent.")
    task: str = Field(min_length=10, max_length=2000, description="What the person has to do. Names no learner.")
    due_days: int = Field(default=14, ge=1, le=365, description="Days in which it should be done.")

    @field_validator("task")
    @classmethod
    def _names_no_learner(cls, task: str) -> str:
        if "@" in task or "%40" in task:
            raise ValueError("holds an e-mail address; name a role or a place instead, since forms are kept")
        return task


class Manual(Connector[ManualSettings]):
    """Work of a person; a service of another name says `connector: MANUAL`."""

    service = "MANUAL"

    @classmethod
    def connected(cls, service: str, settings: ManualSettings, wiring: Wiring) -> Self:
        return cls(settings, offline(service, wiring))

    @property
    def task(self) -> str:
        """What the person has to do."""
        return self.settings.task

    @property
    def due(self) -> timedelta:
        """The time that they have, from the receipt."""
        return timedelta(days=self.settings.due_days)

    @classmethod
    def declared(cls, settings: ManualSettings | None) -> dict[str, Operation]:
        operations = cls.operations()
        if settings is None:
            return operations
        due = timedelta(days=settings.due_days)
        # No request can answer this: what counts is by when the evidence is due.
        follow_up = FollowUp(first=due, every=timedelta(days=1), overdue=due)
        return {name: replace(each, follow_up=follow_up) for name, each in operations.items()}

    @operation()
    async def ask_a_person(self, learner: Learner) -> Erasure:
        """Ask a person to do it, whose evidence is kept under the receipt."""
        # By chance and not by learner: a second passage of the same learner is a second task.
        return Erasure(Outcome.MANUAL, uuid4().hex)

    async def probe(self, name: str) -> None:
        """Nothing to ask: people have no address here."""
