"""The LMS row of one learner while a run has them: where it stands, and the moves that keep it truthful.

Steps may run at the same time; their moves are made one after the other. A move whose answer was lost is
looked up before the next one. A move that takes the row back is written into the ledger before it is sent.
"""

import asyncio

from retirement.errors import ServiceError, StateConflict
from retirement.learner import Learner
from retirement.ledger import LearnerLease
from retirement.lms import Lms
from retirement.pipeline import Moves, Pipeline, Step, Watermark


class Row:
    """The retirement row of one learner, as far as this run has moved it."""

    def __init__(
        self,
        lms: Lms,
        learner: Learner,
        pipeline: Pipeline,
        finished: frozenset[str] = frozenset(),
        moves: Moves = Moves.EACH,
    ) -> None:
        self.learner = learner
        self._lms = lms
        self._pipeline = pipeline
        self._mark = Watermark(pipeline, learner.state, set(finished), moves=moves)
        self._moving = asyncio.Lock()
        #: Where the row may stand as well, when the answer to a move was lost and the row could not be read.
        self._lost: str | None = None
        #: What steps have ended in that no move has told the LMS yet.
        self._untold: list[str] = []

    @property
    def state(self) -> str:
        """The state that the row is in, as far as this run knows."""
        return self._mark.state

    @property
    def waits(self) -> bool:
        """Whether the row surely stands in a state that the queue lists."""
        return not self._lost and self._pipeline.finished_at(self.state) is not None

    async def enter(self, step: Step) -> None:
        """Moves the row to where it has to be while the step runs. Raises as `Lms.move` does."""
        async with self._moving:
            if target := self._mark.before(step):
                await self._move(target, f"Starting: {target}")

    async def leave(self, step: Step, outcome: str) -> None:
        """Advances the row as far as the finished steps allow."""
        async with self._moving:
            self._untold.append(f"Ending: {step.name} with outcome: {outcome}")
            if target := self._mark.after(step):
                await self._move(target)

    async def end_in(self, state: str, text: str) -> None:
        """Moves the row forward to a dead end."""
        async with self._moving:
            await self._move(state, text)

    async def give_back(self, lease: LearnerLease, text: str) -> None:
        """Takes the row back to the last proved end state, where the queue finds it again."""
        async with self._moving:
            if self._lost:
                await self._look()
            target = self._mark.proved
            if target != self.state:
                await lease.moved(self.state, target, text)
                await self._move(target, text, force=True)

    async def still_ours(self) -> None:
        """Reads the row again after a wait. Raises `StateConflict` when it was moved or removed by others."""
        async with self._moving:
            await self._look()

    async def read_again(self) -> Learner | None:
        """The row as the LMS has it now, None where it is gone. Raises `ServiceError`."""
        async with self._moving:
            row = await self._lms.rows.refresh(self.learner)
            if row is not None:
                self._mark.state, self._lost = row.state, None
            return row

    async def _move(self, state: str, *text: str, force: bool = False) -> None:
        if self._lost:
            await self._look()
        if state != self.state:
            told = "; ".join((*self._untold, *text))
            try:
                await self._lms.rows.move(self.learner, state, told, since=self.state, force=force)
            except ServiceError:
                # Also where another answer ended it: the reply that was lost before may have been to a move.
                self._lost = state
                raise
            self._mark.state = state
            self._untold.clear()

    async def _look(self) -> None:
        row = await self._lms.rows.refresh(self.learner)
        if row is None or row.state not in (self.state, self._lost):
            where = "gone" if row is None else f"in {row.state}"
            raise StateConflict(f"learner {self.learner.user_id} is {where}: another run or an operator has them")
        self._mark.state, self._lost = row.state, None
