"""Callers who are gone and threads that fail: every caller gets an answer, and asyncio reports nothing."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from sqlalchemy import create_engine

from retirement.errors import LedgerError, StateConflict
from retirement.ledger.transaction import Transaction
from retirement.ledger.writer import Writer

from .desk import AtOnce, Desk


class Failing(Executor):
    """Takes nothing, and says why."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        raise self._error


def heard(work: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """What asyncio's handler of errors hears while something runs and is collected."""
    messages: list[str] = []

    async def listen() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: messages.append(context["message"]))
        await work()
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()

    # What the tests before have left is none of its business, and takes seconds to go through.
    gc.freeze()
    asyncio.run(listen())
    gc.collect()
    gc.unfreeze()
    return messages


def refuse(tx: Transaction) -> None:
    """Work that raises."""
    raise StateConflict("no")


@pytest.mark.parametrize("callers", [1, 2, 5])
def test_an_error_whose_caller_is_gone_is_not_reported(sqlite_desk: Desk, callers: int) -> None:
    """The caller's coroutine was closed before its transaction ran, as at the end of a loop."""

    async def leave() -> None:
        async with sqlite_desk.open(executor=AtOnce()) as ledger:
            for _ in range(callers):
                asked = ledger.access.write(refuse)
                asked.send(None)
                asked.close()
            await ledger.events.note("noted", {})

    assert [] == heard(leave)


@pytest.mark.parametrize(
    "error", [OSError("no thread"), MemoryError(), ValueError("x")], ids=lambda e: type(e).__name__
)
def test_a_thread_that_fails_is_said_to_each_caller(error: Exception) -> None:
    """And the task that drains the queue ends well."""

    async def ask() -> None:
        writer = Writer(create_engine("sqlite://"), "the ledger", None, None, Failing(error))
        asked = (writer.run(refuse, writes=True) for _ in range(3))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {
            (
                LedgerError,
                f"the ledger: the writer failed ({type(error).__name__}), and whether this was written is not known",
            )
        } == {(type(answer), str(answer)) for answer in answers}

    assert [] == heard(ask)


def test_a_thread_that_was_shut_down_is_said_to_each_caller() -> None:
    """As before: nothing of it was written."""

    async def ask() -> None:
        writer = Writer(create_engine("sqlite://"), "the ledger", None, None, Failing(RuntimeError("shut down")))
        with pytest.raises(LedgerError, match="was closed before this was written"):
            await writer.run(refuse, writes=True)

    assert [] == heard(ask)
