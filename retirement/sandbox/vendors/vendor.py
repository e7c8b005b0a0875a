"""What the sandbox knows of a vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Table

from retirement.sandbox.routing import Manners, Route
from retirement.sandbox.wire import JSON, Answer, as_json
from retirement.sandbox.world.people import Person

Step = dict[str, Any]

#: A vendor speaks JSON, also where it has nothing to say.
JSON_MANNERS = Manners(
    not_found=as_json({"message": "Not Found"}, 404),
    failed=as_json({"message": "Internal Server Error"}, 500),
    wrong_method=Answer(405, b'{"message":"Method Not Allowed"}', JSON),
    redirects=False,
)


def _nothing(_db: Connection, _now: datetime) -> None:
    """For a vendor that has no delayed work."""


def _keeps_nothing_else(_db: Connection) -> None:
    """For a vendor without data outside of the platform's database."""


@dataclass(frozen=True)
class Vendor:
    """One third party. `name` is that of its port, of its tables and of `vendors` in a learner's seed."""

    name: str
    #: Its name in a configuration, such as BRAZE.
    service: str
    routes: Sequence[Route]
    #: What it holds of a learner who is known there.
    holds: Callable[[Person], Iterable[tuple[Table, dict[str, Any]]]]
    #: The section `services.SERVICE` of a configuration, for its URL and those of all services by name.
    settings: Callable[[str, Mapping[str, str]], dict[str, Any]]
    #: What erases there: `start`, `end`, `service`, `operation`.
    steps: Sequence[Step]
    manners: Manners = JSON_MANNERS
    #: Runs the delayed work that is due by now.
    settle: Callable[[Connection, datetime], None] = _nothing
    #: Brings what it keeps outside of the platform's database into line with tables that were restored.
    restored: Callable[[Connection], None] = _keeps_nothing_else
    #: Columns that the contract lets survive, and the condition.
    survivors: Mapping[Column[Any], Callable[[RowMapping], bool]] = field(default_factory=dict)


def step(name: str, service: str, operation: str) -> Step:
    """A step whose states are RETIRING_NAME and NAME_COMPLETE."""
    return {"start": f"RETIRING_{name}", "end": f"{name}_COMPLETE", "service": service, "operation": operation}
