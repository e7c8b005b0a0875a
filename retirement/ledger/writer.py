"""One writer, group commit: what is queued together is one transaction, and each piece of it stands alone.

SQLAlchemy runs synchronously in one thread. A transaction costs a flush of the disk, and the learners of a run
share it: the writer takes whatever was queued while the last transaction ran, and runs each piece inside a
SAVEPOINT, so that one that raises is rolled back alone.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from retirement.errors import LedgerError
from retirement.ledger.anchor import write_anchor
from retirement.ledger.book import Book, opened_book
from retirement.ledger.failures import collides, concerns_one, failure

T = TypeVar("T")

#: Times that a transaction is tried which collided with another one, or whose connection was gone.
TRIES = 4


@dataclass(frozen=True, slots=True)
class _Ticket:
    work: Callable[[Book], Any]
    writes: bool
    done: "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


class _InDoubtError(Exception):
    """The commit itself failed, so it is not known whether the transaction happened."""


class Writer:
    """The one way into the database. Belongs to one event loop."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        clock: Callable[[], datetime] | None,
        anchor: Path | None,
        executor: Executor | None,
    ) -> None:
        self._engine = engine
        self._name = name
        self._clock = clock
        self._anchor = anchor
        self._is_ours = executor is None
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._queue: list[_Ticket] = []
        self._draining: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[Book], T], *, writes: bool) -> T:
        """Runs `work` in a transaction and returns what it returned, once that is durable.

        `work` may run again when transactions collide, so it changes nothing but the book. Raises what `work`
        raised, and `LedgerError`. A caller who is cancelled meanwhile does not know whether it happened.
        """
        ticket = _Ticket(work, writes, asyncio.get_running_loop().create_future())
        self._queue.append(ticket)
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return cast(T, await ticket.done)

    async def close(self) -> None:
        """Waits for what is queued, then closes the database, and the thread if it is ours."""
        if self._draining is not None:
            await asyncio.wait([self._draining])
        await self.call(self._engine.dispose)
        if self._is_ours:
            self._executor.shutdown()

    async def call(self, work: Callable[[], T]) -> T:
        """Runs something else in the writer's thread."""
        future = self._executor.submit(work)
        # An executor that runs things at once needs no loop to say so.
        return future.result() if future.done() else await asyncio.wrap_future(future)

    async def aside(self, work: Callable[[], T]) -> T:
        """Runs something long, beside the writer's thread if that is ours."""
        return await (asyncio.to_thread(work) if self._is_ours else self.call(work))

    async def _drain(self) -> None:
        batch: list[_Ticket] = []
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                results = await self.call(lambda batch=batch: self._commit(batch))  # type: ignore[misc] # its default
                for ticket, result in zip(batch, results, strict=True):
                    _settle(ticket.done, result)
        except RuntimeError:  # a thread that was shut down takes nothing any more
            pass
        finally:
            self._draining = None
            # Those too whom nobody was there to answer: nobody may wait for ever.
            for ticket in (*batch, *self._queue):
                _settle(ticket.done, _Raised(LedgerError(f"{self._name}: was closed before this was written")))
            self._queue = []

    def _commit(self, batch: list[_Ticket]) -> list[Any]:
        """One result for each ticket, whatever happens."""
        again = Retrying(
            retry=retry_if_exception(collides),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            reraise=True,
        )
        try:
            return again(self._transact, batch)
        except _InDoubtError:
            error = LedgerError(f"{self._name}: the commit failed, and whether it was written is not known")
        except LedgerError as raised:
            error = raised
        except Exception as raised:  # noqa: BLE001 - nobody may wait for ever for an answer
            error = failure(self._name, raised)
        return [_Raised(error)] * len(batch)

    def _transact(self, batch: list[_Ticket]) -> list[Any]:
        writes = any(ticket.writes for ticket in batch)
        with self._engine.connect().execution_options(reading=not writes) as connection:
            connection.begin()
            book = opened_book(connection, self._clock, writable=writes)
            alone = len(batch) == 1
            results = [self._one(ticket, book, connection, alone) for ticket in batch]
            if alone and isinstance(results[0], _Raised):
                connection.rollback()
                return results
            before = book.mark
            head = book.append()
            _finish(connection)
        if self._anchor and before:
            write_anchor(self._anchor, head)
        return results

    def _one(self, ticket: _Ticket, book: Book, connection: Connection, alone: bool) -> Any:
        mark = book.mark
        if not alone:
            connection.exec_driver_sql("SAVEPOINT piece")
        try:
            result = ticket.work(book)
        except Exception as error:  # whoever asked is told, and the rest of the batch goes on
            if isinstance(error, SQLAlchemyError):
                if not concerns_one(error):
                    raise
                error = failure(self._name, error)
            book.forget(mark)
            if not alone:
                connection.exec_driver_sql("ROLLBACK TO SAVEPOINT piece")
            result = _Raised(error)
        if not alone:
            connection.exec_driver_sql("RELEASE SAVEPOINT piece")
        return result


def _finish(connection: Connection) -> None:
    """Commits; what SQLite does not commit it has not written, but a lost server may have."""
    try:
        connection.commit()
    except SQLAlchemyError:
        if connection.dialect.name == "sqlite":
            raise
        raise _InDoubtError from None


def _settle(done: "asyncio.Future[Any]", result: Any) -> None:
    if done.done():
        return
    if isinstance(result, _Raised):
        done.set_exception(result.error)
    else:
        done.set_result(result)
