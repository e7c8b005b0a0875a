"""Runs of the queue: how deep it was, and what became of the batch."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from retirement.errors import StateConflict
from retirement.ledger.access import Access
from retirement.ledger.tables import QueueRun
from retirement.ledger.transaction import Changed, New, Piece, Transaction


class QueueRuns:
    """Register runs of the queue, and list them."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def begin(self, run_id: str, depth: int, batch: int) -> None:
        """Registers that a run has begun. Raises `StateConflict` where it had already."""

        def begin(tx: Transaction) -> None:
            if tx.row(QueueRun, run_id):
                raise StateConflict(f"the queue run {run_id} has begun already")
            run = QueueRun(run_id=run_id, began_at=tx.now, depth=depth, batch=batch)
            tx.enter("queue.began", New(run), facts={"run_id": run_id})

        await self._access.write(begin)

    async def end(self, run_id: str, counts: Mapping[str, int], seconds: float) -> None:
        """Registers what a run came to. Raises `StateConflict` for one that never began."""

        def end(tx: Transaction) -> None:
            run = tx.row(QueueRun, run_id)
            if run is None:
                raise StateConflict(f"the queue run {run_id} has never begun")
            ended = replace(run, ended_at=tx.now, endings=dict(counts), seconds=float(seconds))
            tx.enter("queue.ended", Changed(ended), facts={"run_id": run_id})

        await self._access.write(end)

    async def one(self, run_id: str) -> QueueRun | None:
        """A run, None where there is none of that id."""
        return await self._access.read(lambda tx: tx.row(QueueRun, run_id))

    async def since(self, time: datetime) -> list[QueueRun]:
        """The runs that began then or later, in that order."""
        runs = await self._access.read(lambda tx: tx.rows(QueueRun, QueueRun.began_at >= time))
        return sorted(runs, key=lambda run: (run.began_at, run.run_id))

    async def newest(self, piece: Piece, *, since: datetime) -> list[QueueRun]:
        """Some of those that began then or later, the newest first."""
        order = (QueueRun.began_at.desc(), QueueRun.run_id.desc())
        return await self._access.read(
            lambda tx: tx.rows(QueueRun, QueueRun.began_at >= since, piece=piece, order=order)
        )
