"""For what reads the whole ledger: one answer is made at a time, and one for each person."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from retirement.api.people import Person
from retirement.api.refusals import TooMany
from retirement.ledger import Holder

#: Seconds after which a person who is refused may ask again.
_AGAIN_SECONDS = 5


class Alone:
    """Gives turns, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asking: set[Holder] = set()

    @asynccontextmanager
    async def turn(self, person: Person, *, waits: bool = True) -> AsyncIterator[None]:
        """Waits for a turn, which lasts until the block ends. Raises `TooMany` for a second one of a person.

        And where it would have to wait, unless it `waits`: no number of learners stands before an operator.
        """
        if self._lock.locked() and not waits:
            raise TooMany("another answer of this kind is being made", _AGAIN_SECONDS)
        if person.holder in self._asking:
            raise TooMany("what this person has asked for before is still being made", _AGAIN_SECONDS)
        self._asking.add(person.holder)
        try:
            async with self._lock:
                yield
        finally:
            self._asking.discard(person.holder)
