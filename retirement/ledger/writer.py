"""One writer, group commit: what is queued together is one transaction, and each piece of it stands alone.

SQLAlchemy runs synchronously in one thread. A transaction costs a flush of the disk, and the learners of a run
share it: the writer takes whatever was queued while the last transaction ran, and runs each piece inside a
SAVEPOINT, so that one that raises is rolled back alone.
"""

import asyncio
import logging
import sqlite3
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
from retirement.ledger.failures import collides, concerns_one, failure
from retirement.ledger.location import empty_log
from retirement.ledger.transaction import Transaction, opened_transaction
from retirement.process import Observed, observed, waiting

T = TypeVar("T")
logger = logging.getLogger(__name__)

#: Times that a transaction is tried which collided with another one, or whose connection was gone.
TRIES = 4


@dataclass(frozen=True, slots=True)
class _Ticket:
    work: Callable[[Transaction], Any]
    writes: bool
    done: "asyncio.Future[Any]"
    observed: Observed  #: of the caller, whose way in the writer's thread does not know


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
        #: Called before each commit; raises `LedgerError` where nothing may be written any more.
        self.before_commit: Callable[[], None] = _allow
        self.wrote = False  #: whether an entry was made
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._queue: list[_Ticket] = []
        self._draining: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[Transaction], T], *, writes: bool) -> T:
        """Runs `work` in a transaction and returns what it returned, once that is durable.

        `work` may run again when transactions collide, so it changes nothing but the transaction. Raises what `work`
        raised, and `LedgerError`. A caller who is cancelled meanwhile does not know whether it happened.
        """
        ticket = _Ticket(work, writes, asyncio.get_running_loop().create_future(), observed())
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
        if future.done():
            return future.result()
        with waiting(self._name):
            return await asyncio.wrap_future(future)

    async def aside(self, work: Callable[[], T]) -> T:
        """Runs something long, beside the writer's thread if that is ours."""
        return await (asyncio.to_thread(work) if self._is_ours else self.call(work))

    async def _drain(self) -> None:
        batch: list[_Ticket] = []
        why = "was closed before this was written"
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                results = await self.call(lambda batch=batch: self._commit(batch))  # type: ignore[misc] # its default
                for ticket, result in zip(batch, results, strict=True):
                    _settle(ticket.done, result)
        except RuntimeError:  # a thread that was shut down takes nothing any more
            pass
        except Exception as error:  # noqa: BLE001 - the callers are told; asyncio would only report a lost task
            why = f"the writer failed ({type(error).__name__}), and whether this was written is not known"
        finally:
            self._draining = None
            # Every caller gets an answer, also those whose turn never came.
            for ticket in (*batch, *self._queue):
                _settle(ticket.done, _Raised(LedgerError(f"{self._name}: {why}")))
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
        except Exception as raised:  # noqa: BLE001 - every caller waits for an answer
            error = failure(self._name, raised)
        return [_Raised(error)] * len(batch)

    def _transact(self, batch: list[_Ticket]) -> list[Any]:
        """One result for each ticket; raises what ends the transaction as a whole."""
        writes = any(ticket.writes for ticket in batch)
        with self._engine.connect().execution_options(reading=not writes) as connection:
            connection.begin()
            tx = opened_transaction(connection, self._clock, writable=writes)
            results = self._pieces(batch, tx, connection)
            if len(batch) == 1 and isinstance(results[0], _Raised):
                connection.rollback()
                return results
            head = tx.append()
            if writes:
                self.before_commit()
            _finish(connection)
        if tx.empties_log:
            self._empty_log()
        if tx.mark:
            self.wrote = True
            write_anchor(self._anchor, head)
        return results

    def _empty_log(self) -> None:
        """What was committed stays so, whatever comes of this."""
        try:
            # Without waiting: a verification may read for minutes, and callers wait for this.
            empty_log(self._engine, 0)
        except sqlite3.Error as error:
            logger.warning("%s: its log still has what was deleted (%s)", self._name, type(error).__name__)

    def _pieces(self, batch: list[_Ticket], tx: Transaction, connection: Connection) -> list[Any]:
        # One that is alone has the transaction for itself.
        savepoint = connection.exec_driver_sql if len(batch) > 1 else _skip
        return [self._one(ticket, tx, savepoint) for ticket in batch]

    def _one(self, ticket: _Ticket, tx: Transaction, savepoint: Callable[[str], object]) -> Any:
        mark, tx.observed = tx.mark, ticket.observed
        savepoint("SAVEPOINT piece")
        try:
            result = ticket.work(tx)
        except Exception as error:  # the caller is told, and the rest of the batch goes on
            if isinstance(error, SQLAlchemyError):
                if not concerns_one(error):
                    raise
                error = failure(self._name, error)
            tx.forget(mark)
            savepoint("ROLLBACK TO SAVEPOINT piece")
            result = _Raised(error)
        savepoint("RELEASE SAVEPOINT piece")
        return result


def _allow() -> None:
    """Allows every commit."""


def _skip(_statement: str) -> None:
    """Stands for the statements of a savepoint that is not needed."""


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
        # A caller who is gone never asks for it, and asyncio would report it as "never retrieved".
        done.exception()
    else:
        done.set_result(result)
