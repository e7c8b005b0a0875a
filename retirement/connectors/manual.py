"""What only a person can do: a paper file, a vendor without an API, a spreadsheet.

Contract: issue of the generic connectors. Nothing is sent. The step ends at once as `manual`, with a receipt under
which a person's evidence is kept later; nobody and nothing waits for them meanwhile.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Self, cast
from uuid import uuid4

from pydantic import Field, field_validator

from retirement.connectors import Connector, Erasure, FollowUp, Operation, Outcome, ServiceSettings, offline, operation
from retirement.learner import Learner
from retirement.wiring import Wiring


class Manual(Connector):
    """Work of a person; a service of another name says `connector: MANUAL`."""

    service = "MANUAL"

    class Settings(ServiceSettings):
        url: str = Field(default="", max_length=0, description="Not used: nothing is sent.")
        task: str = Field(min_length=10, max_length=2000, description="What the person has to do. Names nobody.")
        due_days: int = Field(default=14, ge=1, le=365, description="Days in which it should be done.")

        @field_validator("task")
        @classmethod
        def _names_nobody(cls, task: str) -> str:
            if "@" in task or "%40" in task:
                raise ValueError("holds an e-mail address; name a role or a place instead, since forms are kept")
            return task

    @classmethod
    def connected(cls, service: str, settings: ServiceSettings, wiring: Wiring) -> Self:
        return cls(settings, offline(service, wiring))

    @property
    def task(self) -> str:
        """What the person has to do."""
        return cast(Manual.Settings, self.settings).task

    @property
    def due(self) -> timedelta:
        """The time that they have, from the receipt."""
        return timedelta(days=cast(Manual.Settings, self.settings).due_days)

    @classmethod
    def declared(cls, settings: ServiceSettings | None) -> dict[str, Operation]:
        operations = cls.operations()
        if not isinstance(settings, Manual.Settings):
            return operations
        due = timedelta(days=settings.due_days)
        # Nobody can be asked over the wire: what counts is by when the evidence is due.
        follow_up = FollowUp(first=due, every=timedelta(days=1), overdue=due)
        return {name: replace(each, follow_up=follow_up) for name, each in operations.items()}

    @operation()
    async def ask_a_person(self, learner: Learner) -> Erasure:
        """Ask a person to do it, whose evidence is kept under the receipt."""
        # By chance and not by learner: a second passage of the same learner is a second task.
        return Erasure(Outcome.MANUAL, uuid4().hex)

    async def probe(self, name: str) -> None:
        """Nothing to ask: people have no address here."""
