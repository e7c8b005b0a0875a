"""One call for many learners: each waits for its own answer, and none suffers for another.

A service that refuses a batch is asked again with its halves, down to the learner whom it will not take.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retirement.connectors.evidence import Erasure
from retirement.errors import Defect, LeaseLost, Refused, RetirementError
from retirement.http import patience_of_operation, permission
from retirement.learner import Learner

#: One answer for each learner: what became of the data, or the error that concerns this one alone.
Send = Callable[[Sequence[Learner]], Awaitable[Sequence[Erasure | RetirementError]]]
#: What a service answers that does not take somebody of a batch.
BAD_BATCH = frozenset({400, 422})


@dataclass(frozen=True)
class _Place:
    learner: Learner
    answer: asyncio.Future[Erasure]
    allowed: Callable[[], None] | None

    def may_go(self) -> bool:
        """Whether this learner's run still waits and has the right to; who has lost it is told so."""
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
            except Exception as odd:  # noqa: BLE001 - whatever a foreign class does, everybody who waits has to know
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
        place = _Place(learner, asyncio.get_running_loop().create_future(), permission.get())
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
            task = asyncio.create_task(self._go(batch, patience_of_operation.get()))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _go(self, batch: Sequence[_Place], patience: Any) -> None:
        # This task has the context of whichever learner came last; a batch stops for whoever loses a lease.
        patience_of_operation.set(patience)
        batch = [place for place in batch if place.may_go()]
        if not batch:
            return
        permission.set(lambda: _all_may_go(batch))
        try:
            await self._ask(batch)
        except LeaseLost:
            await self._go([place for place in batch if place.may_go()], patience)
        except Refused as error:
            if error.status in BAD_BATCH and len(batch) > 1:
                for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                    await self._go(half, patience)
            else:
                _fail(batch, error)
        except RetirementError as error:
            _fail(batch, error)
        except Exception as error:  # noqa: BLE001 - whatever a connector does, everybody who waits has to know
            _fail(batch, Defect.at(error))

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
