"""What routes that act on learners work with: the configuration, the site, and what a person may type."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Path
from fastapi.requests import HTTPConnection
from pydantic import StringConstraints

from retirement.api.refusals import DoorError, Mistyped
from retirement.api.retirements import Sites
from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.privacy import REFUSAL, keepable
from retirement.site import Site

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
    #: For what takes long, and is done once at a time however many ask.
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    def opened(self) -> AbstractAsyncContextManager[Site]:
        """The site, until the block ends."""
        return self.sites(self.configuration)


def office_of(connection: HTTPConnection) -> Office:
    """The office of the door that a request came to."""
    office: Office = connection.app.state.office
    return office


#: What routes ask for by their parameters.
InOffice = Annotated[Office, Depends(office_of)]


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
