"""What routes that act on learners work with: the configuration, the site, and what a person may type."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Path, Query
from fastapi.requests import HTTPConnection
from pydantic import StringConstraints

from retirement.api.alone import Alone
from retirement.api.refusals import DoorError, Mistyped
from retirement.api.retirements import Sites
from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.flows.kit.cancelling import Before
from retirement.ledger import Piece
from retirement.privacy import REFUSAL, keepable
from retirement.site import Site

T = TypeVar("T")

#: Cancels a run, by its id and what is told the name of its flow before.
Cancel = Callable[[UUID, Before], Awaitable[bool]]
#: Tells rows of the schedules.
Schedules = Callable[[], Awaitable[list[dict[str, Any]]]]

#: What a person types and the ledger keeps.
Typed = Annotated[str, StringConstraints(min_length=1, max_length=2000)]

#: The largest number that the ledger can look for, and a number in a path.
LARGEST = 2**63 - 1
Number = Annotated[int, Path(ge=1, le=LARGEST)]


@dataclass(frozen=True, slots=True)
class Office:
    """The site of a door: its configuration, and how LMS and ledger are opened together for one request."""

    configuration: Configuration
    sites: Sites
    #: Last and next run of each schedule.
    schedules: Schedules
    #: Has Prefect cancel a run.
    cancel: Cancel
    alone: Alone = field(default_factory=Alone)

    def opened(self) -> AbstractAsyncContextManager[Site]:
        """The site, until the block ends."""
        return self.sites(self.configuration)


def office_of(connection: HTTPConnection) -> Office:
    """The office of the door that a request came to."""
    office: Office = connection.app.state.office
    return office


#: What routes ask for by their parameters.
InOffice = Annotated[Office, Depends(office_of)]


#: Rows of a list in one answer.
MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Rows:
    """So many rows of a list, after those that are skipped: neither an answer nor its work grows with the years."""

    most: int
    skipped: int

    @property
    def piece(self) -> Piece:
        """What is read: one row more, by which is known whether there are more."""
        return Piece(self.most + 1, self.skipped)

    def of(self, found: Sequence[T]) -> Sequence[T]:
        """What is answered of what was read."""
        return found[: self.most]

    def is_cut(self, found: Sequence[T]) -> bool:
        """Whether the list goes on after them."""
        return len(found) > self.most


def _rows(
    max_items: Annotated[int, Query(alias="maxItems", ge=1, le=MOST_ROWS, description="Rows at most.")] = MOST_ROWS,
    skip_count: Annotated[int, Query(alias="skipCount", ge=0, le=10**9, description="Rows before the first.")] = 0,
) -> Rows:
    return Rows(max_items, skip_count)


#: What routes with a list ask for by their parameters; `more` in the answer says whether the list goes on.
InPieces = Annotated[Rows, Depends(_rows)]


@contextmanager
def as_asked(**typed: str | None) -> Iterator[None]:
    """Refuses a text that may not be kept, by its field, and tells what is wrong with a request as 400."""
    for name, text in typed.items():
        if text is not None and not keepable(text):
            raise DoorError(f"{name}: {REFUSAL}")
    try:
        yield
    except ConfigError as wrong:
        raise Mistyped(str(wrong)) from None
