"""Being told to stop inside a flow run: what has begun is ended, and the run says so in a state of its own.

Prefect takes SIGTERM for itself while a flow runs in the main thread and breaks off wherever the event loop
is, in the middle of a request; runs below it take the signal back from any holder. Signals can be had in the
main thread only, so the body of the outermost flow runs in another one, and there a signal is what it is
everywhere else in this project: a cancellation of the work, which `retirement.site.stopping.finish_or_stop` survives.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.context import AsyncClientContext, FlowRunContext
from prefect.exceptions import ObjectNotFound

from retirement.errors import Interrupted
from retirement.process import Beside, collect_rarely

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds between two looks whether the run was suspended; Prefect itself looks every ten.
SUSPENSION_SECONDS = 1.0
#: Seconds between two looks whether the run is to be cancelled, which its runner has said long before, or was deleted.
CANCEL_SECONDS = 15.0


async def stoppable(body: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Runs the body of a flow so that SIGTERM, SIGINT and a cancellation cancel it once, and nothing else.

    Raises `Interrupted` where the body does not survive that. Further signals are ignored, for one stop comes
    from several sides: the service manager, the runner above us, the terminal. Beside the main thread, and so
    in the command line and in runs below another run, the body is simply awaited.
    """
    if threading.current_thread() is not threading.main_thread():
        return await _until_suspended(body)
    collect_rarely()
    cancelled = threading.Event()

    def cancel() -> None:
        cancelled.set()
        elsewhere.tell()

    elsewhere = Beside(lambda: _with_a_client(body, cancel))
    with elsewhere.told_by_signals():
        ended = asyncio.wrap_future(elsewhere.start())
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not ended.done():
                elsewhere.tell()
                # Interrupted or not: the cancellation from above goes on once the work is put away.
                with suppress(asyncio.CancelledError):
                    await ended
            if elsewhere.told_by_signal or cancelled.is_set():
                raise Interrupted("the run was told to stop") from None
            raise


async def _with_a_client(body: Callable[[], Coroutine[Any, Any, Result]], cancel: Callable[[], None]) -> Result:
    """The body in the context of its flow run, with a client of this event loop; `cancel` as `_watch` has it."""
    run = FlowRunContext.get()
    async with AsyncClientContext.get_or_create() as ours:
        if run is None:
            return await body()
        with run.model_copy(update={"client": ours.client}), _watched(ours.client, cancel):
            return await _until_suspended(body)


@contextmanager
def _watched(client: PrefectClient, cancel: Callable[[], None]) -> Iterator[None]:
    """For the length of the block, calls `cancel` once where this run is to be cancelled or Prefect has it no more.

    The runner above us tells us of the first by a signal, unless the server was away for half a minute: then Prefect's
    runner has given up looking for good, and *Cancel* would do nothing. Of a run that a person has deleted it tells
    nothing, and no button would stop that run any more.
    """
    run = _suspendable()
    watching = asyncio.create_task(_watch(client, run.flow_run.id, cancel)) if run and run.flow_run else None
    try:
        yield
    finally:
        if watching:
            watching.cancel()


async def _watch(client: PrefectClient, flow_run: UUID, cancel: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(CANCEL_SECONDS)
        with suppress(Exception):  # a server that is away says nothing
            if await _is_unwanted(client, flow_run):
                cancel()
                return


async def _is_unwanted(client: PrefectClient, flow_run: UUID) -> bool:
    """Whether a person has cancelled or deleted the run."""
    try:
        state = (await client.read_flow_run(flow_run)).state
    except ObjectNotFound:
        log.warning("the run %s was deleted in Prefect: it stops as if it were cancelled", flow_run)
        return True
    return state is not None and state.is_cancelling()


def _suspendable() -> FlowRunContext | None:
    """The flow run that is at work, where no other is above it; None without one."""
    run = FlowRunContext.get()
    if run is None or run.flow_run is None or run.flow_run.parent_task_run_id:
        return None
    return run


async def _until_suspended(body: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """The body; a *Suspend* in Prefect's UI cancels it once. Raises `Interrupted` where it does not survive that.

    Prefect would raise an exception of its own in every task and run at work. Here they see no request, and the
    engine has none left when the run ends, so its last word is the state that the body gives it.
    """
    run, own = _suspendable(), asyncio.current_task()
    if run is None or own is None:
        return await body()
    asked, cancelled = run.flow_run_suspension_request, False

    async def watch() -> None:
        nonlocal cancelled
        while not asked.is_requested():  # noqa: ASYNC110 - another thread of Prefect's sets it
            await asyncio.sleep(SUSPENSION_SECONDS)
        cancelled = True
        asked.mark_requested(None)  # type: ignore[arg-type] # what it holds before there is a request
        own.cancel()

    watching = asyncio.create_task(watch())
    try:
        with run.model_copy(update={"flow_run_suspension_request": type(asked)()}):
            return await body()
    except asyncio.CancelledError:
        if not cancelled:
            raise
        own.uncancel()
        raise Interrupted("the run was told to stop") from None
    finally:
        watching.cancel()
