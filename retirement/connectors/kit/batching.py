"""One call for many learners: each waits for its own answer, and none suffers for another.

When a service refuses a batch, its two halves are sent, and so on down to the learner that it refuses.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retirement.connectors.kit.outcomes import Erasure
from retirement.errors import Defect, LeaseLost, Refused, RetirementError
from retirement.learner import Learner
from retirement.wire.patience import Check, Patience, current_patience, current_permission, patient, permitted

#: One answer for each learner: what became of the data, or the error that concerns this one alone.
Send = Callable[[Sequence[Learner]], Awaitable[Sequence[Erasure | RetirementError]]]
#: Statuses of a service that refuses one learner of a batch.
BAD_BATCH = frozenset({400, 422})


@dataclass(frozen=True)
class _Place:
    learner: Learner
    answer: asyncio.Future[Erasure]
    allowed: Check | None

    def may_go(self) -> bool:
        """Whether this learner's run still waits and has the right to; fails a run that has lost it."""
        if self.answer.done():
            return False
        try:
            if self.allowed:
                self.allowed()
        except RetirementError as error:
            self.fail(error)
            return False
        return True

    def fail(self, error: RetirementError) -> None:
        if not self.answer.done():
            try:
                # One of its own for each, since an exception collects the traces of all who raise it.
                own = type(error)(*error.args)
            except Exception as odd:  # noqa: BLE001 - whatever a foreign class does, each learner that waits gets an answer
                own = Defect.at(odd)
            self.answer.set_exception(own)


class Batches:
    """Collects the learners of one operation until `size` of them wait, or the first for `seconds`."""

    def __init__(
        self, send: Send, *, size: int, seconds: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._send, self._size, self._seconds, self._sleep = send, size, seconds, sleep
        self._waiting: list[_Place] = []
        self._timer: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[Any]] = set()

    async def erase(self, learner: Learner) -> Erasure:
        """What came of this learner's part of a batch. Raises what the service's answer means for them."""
        place = _Place(learner, asyncio.get_running_loop().create_future(), current_permission())
        self._waiting.append(place)
        if len(self._waiting) >= self._size:
            self._start()
        elif self._timer is None:
            self._timer = asyncio.create_task(self._later())
        return await place.answer

    async def _later(self) -> None:
        await self._sleep(self._seconds)
        self._timer = None
        self._start()

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._waiting = self._waiting, []
        if batch:
            task = asyncio.create_task(self._go(batch, current_patience()))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _go(self, batch: Sequence[_Place], patience: Patience) -> None:
        """Sends what may still go."""
        if going := [place for place in batch if place.may_go()]:
            await self._answer(going, patience)

    async def _answer(self, batch: Sequence[_Place], patience: Patience) -> None:
        """Sends a batch and gives each of its learners an answer, whatever becomes of it."""
        try:
            # This task has the context of the learner that came last; a batch stops when one of them loses a lease.
            with patient(patience), permitted(lambda: _all_may_go(batch)):
                await self._ask(batch)
        except LeaseLost:
            await self._go(batch, patience)
        except Refused as error:
            await self._refused(batch, patience, error)
        except RetirementError as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - whatever a connector does, each learner that waits gets an answer
            _fail(batch, Defect.at(error))

    async def _refused(self, batch: Sequence[_Place], patience: Patience, error: Refused) -> None:
        """Sends the two halves where the service may refuse one learner of several, else fails."""
        if error.status not in BAD_BATCH or len(batch) == 1:
            _fail(batch, error)
            return
        middle = len(batch) // 2
        await self._go(batch[:middle], patience)
        await self._go(batch[middle:], patience)

    async def _ask(self, batch: Sequence[_Place]) -> None:
        erasures = await self._send([place.learner for place in batch])
        if len(erasures) != len(batch):
            raise Defect(f"a defect in a connector: {len(erasures)} outcomes for {len(batch)} learners")
        for place, erasure in zip(batch, erasures, strict=True):
            if isinstance(erasure, RetirementError):
                place.fail(erasure)
            elif not place.answer.done():
                place.answer.set_result(erasure)


def _all_may_go(batch: Sequence[_Place]) -> None:
    if [place for place in batch if not place.answer.done() and not place.may_go()]:
        raise LeaseLost("a learner of the batch has lost the lease")


def _fail(batch: Sequence[_Place], error: RetirementError) -> None:
    for place in batch:
        place.fail(error)
