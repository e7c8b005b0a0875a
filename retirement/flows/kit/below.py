"""A flow run that is made and run in this process, below another one or by itself: two requests, begin and end.

Prefect's own engine asks the server five times for what is known here: it creates the run as Pending, writes the policy
of its retries, reads it, and has it Running. What a run below shows to the UI, to the automations and to its tasks is
the same (docs/decisions/0018).
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from prefect import Flow, State
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun
from prefect.context import AsyncClientContext, FlowRunContext
from prefect.events import RelatedResource, emit_event
from prefect.exceptions import Abort, Pause
from prefect.logging.loggers import flow_run_logger
from prefect.results import get_result_store
from prefect.settings import get_current_settings
from prefect.states import Running, to_state_create
from prefect.utilities.engine import propose_state

from retirement.flows.kit.crashing import crashed

Emit = Callable[[FlowRun, str], None]


async def run_below(flow: Flow[Any, Any], wanted: FlowRunCreate, body: Callable[[], Awaitable[State[Any]]]) -> FlowRun:
    """Makes the flow run that is wanted, runs the body in it, and gives it the body's state; the run.

    What the body raises ends the run as Crashed and is raised. Whatever others have made of the run meanwhile stands:
    an operator may have ended it, or deleted it.
    """
    async with AsyncClientContext.get_or_create() as ours:
        client: PrefectClient = ours.client
        run = await _begun(client, wanted)
        logger = flow_run_logger(run, flow)
        context = FlowRunContext(
            flow=flow,
            flow_run=run,
            parameters=wanted.parameters,
            client=client,
            task_runner=flow.task_runner,
            result_store=get_result_store(),
            persist_result=False,
        )
        with context, pulse.of(run, flow.name):
            logger.info("Beginning subflow run %r for flow %r", run.name, flow.name)
            try:
                state = await body()
            except BaseException as error:
                # Shielded: what is cancelled would be Running for ever.
                await asyncio.shield(propose_state(client, await crashed(error), run.id, force=True))
                raise
            try:
                state = await propose_state(client, state, run.id)
            except (Abort, Pause) as signal:
                # No exceptions to Python: what was done to the record of one learner would end the whole queue run.
                logger.warning("the run keeps the state that it was given meanwhile: %s", signal)
        logger.info("Finished in state %s", state)
    return run


async def _begun(client: PrefectClient, wanted: FlowRunCreate) -> FlowRun:
    # With a key, so that one whose answer was lost is not made a second time, to be Running for ever.
    running = wanted.model_copy(update={"state": to_state_create(Running()), "idempotency_key": str(uuid4())})
    answer = await client.request("POST", "/flow_runs/", json=running.model_dump(mode="json", exclude_unset=True))
    return FlowRun.model_validate(answer.json())


@dataclass(frozen=True, slots=True)
class _Living:
    context: Context  #: from which Prefect takes what an event is related to
    run: FlowRun
    flow: str


class Pulse:
    """The signs of life of all runs below, by one thread; Prefect's engine has a thread for each.

    The thread goes on where the event loop is kept busy. The server itself says that a run is Running, so the first
    sign is due a while later.
    """

    def __init__(self, emit: Emit, seconds: Callable[[], float | None]) -> None:
        """`seconds` are the time between two signs of one run; None: none are wanted."""
        self._emit, self._seconds = emit, seconds
        self._living: dict[UUID, _Living] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def of(self, run: FlowRun, flow: str) -> Iterator[None]:
        """Sends signs of life of a run until the block ends; `flow` is the name of its flow."""
        seconds = self._seconds()
        if seconds is None:
            yield
            return
        with self._lock:
            self._living[run.id] = _Living(copy_context(), run, flow)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, args=(seconds,), name="pulse", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._living[run.id]

    def _beat(self, seconds: float) -> None:
        while True:
            time.sleep(seconds)  # in a thread of its own: no event loop waits
            with self._lock:
                living = list(self._living.values())
            for each in living:
                each.context.run(self._emit, each.run, each.flow)


def _heartbeat(run: FlowRun, flow: str) -> None:
    """The event that Prefect's engine sends of a run, and that our automations wait for."""
    of_flow = {
        "prefect.resource.id": f"prefect.flow.{run.flow_id}",
        "prefect.resource.role": "flow",
        "prefect.resource.name": flow,
    }
    tags = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in sorted(run.tags)]
    emit_event(
        event="prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name},
        related=[RelatedResource.model_validate(each) for each in (of_flow, *tags)],
    )


#: Of this process.
pulse = Pulse(_heartbeat, lambda: get_current_settings().flows.heartbeat_frequency)
