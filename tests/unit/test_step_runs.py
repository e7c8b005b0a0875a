"""A step as a task run: what Prefect's server is told of it, compared with what Prefect's own engine tells."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect import Flow, State, Task, get_run_logger
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Flow as FlowRecord
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events.clients import AssertingEventsClient
from prefect.events.related import RESOURCE_CACHE
from prefect.events.worker import EventsWorker
from prefect.results import ResultStore
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.states import Completed

from retirement.errors import Interrupted, Refused, Transient
from retirement.flows.kit.step_runs import Around, StepRun
from retirement.pipeline.endings import StepReport
from tests.patient import PATIENCE

REPORT = StepReport("RETIRING_FORUMS", "erased", 0.1)
#: Nothing listens there.
NOWHERE = "http://127.0.0.1:9/api"


async def step(name: str) -> State[Any]:
    """A step as a task of Prefect's."""
    return Completed(name=name)


async def learner() -> None:
    """The flow of a learner."""


TASK: Task[..., Any] = Task(step, name="RETIRING_FORUMS", task_run_name="RETIRING_FORUMS", retries=2)
FLOW = Flow(learner, name="retire-learner")


@pytest.fixture
def run() -> Iterator[FlowRun]:
    """The flow run of a learner that this is in, without a server."""
    made = FlowRun(flow_id=uuid4(), name="learner-101", tags=["learner"], run_count=1)
    record = FlowRecord(id=made.flow_id, name="retire-learner")
    RESOURCE_CACHE[f"flow.{made.flow_id}"] = ({"kind": "flow", "object": record}, datetime.now(UTC))  # type: ignore[assignment]
    settings = {
        PREFECT_API_URL: NOWHERE,
        PREFECT_LOGGING_TO_API_ENABLED: False,
        PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False,
    }
    context = FlowRunContext(
        flow=FLOW,
        flow_run=made,
        client=PrefectClient(NOWHERE),
        task_runner=FLOW.task_runner,
        result_store=ResultStore(),
        parameters={},
        persist_result=False,
    )
    with temporary_settings(settings), context:
        yield made
    del RESOURCE_CACHE[f"flow.{made.flow_id}"]


class Told:
    """What the server was told of one step, and how it is run."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    @property
    def states(self) -> list[str]:
        return [each["payload"]["validated_state"]["name"] for each in self.events]

    @property
    def task_run(self) -> dict[str, Any]:
        """The task run, as the last event has it."""
        found: dict[str, Any] = self.events[-1]["payload"]["task_run"]
        return found

    async def run(
        self, body: Callable[[], Awaitable[StepReport]], *before: StepRun, is_repeated: bool = False
    ) -> StepRun:
        made = StepRun(TASK, await Around.here(), len(before), before, lambda event: self.events.append(dict(event)))
        await made.of(body, lambda _: is_repeated)
        return made


class Abrupt(BaseException):
    """What a connector may raise past every `except Exception`."""


def raising(*errors: BaseException) -> Callable[[], Awaitable[StepReport]]:
    """A step that raises these, one at each try, and then erases."""
    left = list(errors)

    async def body() -> StepReport:
        if left:
            raise left.pop(0)
        return REPORT

    return body


@pytest.mark.anyio
async def test_the_server_is_told_what_prefects_own_engine_tells(run: FlowRun) -> None:
    """Of the end of a step that waits for another one: the same event, and the same task run with its arrow."""
    EventsWorker.set_client_override(AssertingEventsClient)
    try:
        first: State[Any] = await TASK("Erased", return_state=True)
        await TASK("Erased", return_state=True, wait_for=[first])
        await asyncio.wait_for(EventsWorker.drain_all(), PATIENCE)  # type: ignore[arg-type]  # awaited within a loop
        theirs = [each.model_dump(mode="json") for client in AssertingEventsClient.all for each in client.events]
    finally:
        EventsWorker.set_client_override(None)
        AssertingEventsClient.reset()
    before = await Told().run(raising())
    told = Told()
    await told.run(raising(), before)

    assert told.states == ["Running", "Erased"]
    assert shape(told.events[-1]) == shape(theirs[-1])


#: What no two runs have in common.
_OWN = {"id", "follows", "occurred", "dynamic_key", "expected_start_time", "start_time", "end_time", "total_run_time"}
_OWN |= {"prefect.state-timestamp", "prefect.resource.id"}


def shape(told: Any) -> Any:
    """An event, with the class of each value that no two runs have in common, and without what says nothing."""
    if isinstance(told, list):
        return [shape(each) for each in told]
    if not isinstance(told, dict):
        return told
    # No step has a result to be tracked, and none has another's as a parameter.
    said = {name: value for name, value in told.items() if name != "untrackable_result" and value != []}
    return {name: type(value).__name__ if name in _OWN else shape(value) for name, value in said.items()}


@pytest.mark.anyio
async def test_a_step_is_tried_again_in_the_same_task_run(run: FlowRun) -> None:
    """Each try is a state with what stood in the way; times are in their order, and each event names the one before."""
    told = Told()
    await told.run(
        raising(Transient("LMS", "POST /x", 503, "busy"), Transient("LMS", "POST /x", 503)), is_repeated=True
    )

    assert told.states == ["Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Erased"]
    assert told.task_run["run_count"] == 3
    assert len({each["resource"]["prefect.resource.id"] for each in told.events}) == 1
    assert [each["follows"] for each in told.events] == [None, *(each["id"] for each in told.events[:-1])]
    moments = [datetime.fromisoformat(each["occurred"]) for each in told.events]
    assert moments == sorted(set(moments))
    assert told.events[1]["payload"]["validated_state"]["state_details"]["scheduled_time"]


@pytest.mark.anyio
async def test_a_step_that_waits_for_its_next_try_ends_when_the_run_is_to_stop(run: FlowRun) -> None:
    """Prefect's runner kills a run half a minute after it was told, and the retry may be an hour away."""
    patient: Task[..., Any] = Task(step, name="RETIRING_FORUMS", retries=2, retry_delay_seconds=3600)
    told, stops = Told(), [True, False]
    made = StepRun(patient, await Around.here(), 0, [], lambda event: told.events.append(dict(event)))
    body = raising(Transient("LMS", "POST /x", 503), Interrupted("the run was told to stop"))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Interrupted):
            await made.of(body, lambda error: isinstance(error, Transient) and stops.pop(0))

    assert (told.states, stops) == (["Running", "AwaitingRetry", "Retrying", "Interrupted"], [])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("errors", "is_repeated", "states"),
    [
        ([Refused("LMS", "POST /x", 409, "no")], False, ["Running", "Refused"]),
        ([Transient("LMS", "POST /x", 503)] * 3, True, ["Running", *["AwaitingRetry", "Retrying"] * 2, "Transient"]),
        ([ValueError("zoe-canary-0001 is odd")], False, ["Running", "Defect"]),
        ([asyncio.CancelledError()], False, ["Running", "Crashed"]),
        ([Abrupt("zoe-canary-0001 is odd")], False, ["Running", "Crashed"]),
        ([type("zoe-canary-0001", (ValueError,), {})()], False, ["Running", "Defect"]),
        ([type("zoe-canary-0001", (Refused,), {})("LMS", "POST /x", 409)], False, ["Running", "Refused"]),
    ],
    ids=["refused", "tried in vain", "a defect", "cancelled", "no exception of Python's", "named", "ours and named"],
)
async def test_a_step_ends_in_the_name_of_its_error(
    run: FlowRun, errors: list[BaseException], is_repeated: bool, states: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Its caller gets the error itself. No text of another's exception is told, nor logged."""
    told = Told()
    with caplog.at_level(logging.INFO), pytest.raises(type(errors[-1])):
        await told.run(raising(*errors), is_repeated=is_repeated)

    assert told.states == states
    assert told.task_run["end_time"] == told.events[-1]["occurred"].replace("+00:00", "Z")
    assert "Finished in state" in caplog.text
    assert "canary" not in str(told.events) + caplog.text


@pytest.mark.anyio
async def test_completed_steps_are_one_entry_of_the_log_and_one_that_fails_has_its_own_at_once(
    run: FlowRun, caplog: pytest.LogCaptureFixture
) -> None:
    """Prefect's server works as long for an entry as for a state of a step."""
    around = await Around.here()
    ends = [raising(), raising(), raising(Refused("LMS", "POST /x", 409))]
    with caplog.at_level(logging.INFO):
        for number, body in enumerate(ends):
            made = StepRun(TASK, around, number, [], lambda event: None)
            with suppress(Refused):
                await made.of(body, lambda _: False)
        logged = [each.getMessage() for each in caplog.records]
        around.log()

    assert logged == ["Finished in state Refused('LMS: POST /x answered 409', type=FAILED)"]
    entry = caplog.records[-1].getMessage()
    assert re.fullmatch(r"(\d\d:\d\d:\d\d UTC RETIRING_FORUMS: Erased\n?){2}", entry), entry


@pytest.mark.anyio
async def test_a_server_that_does_not_say_whose_run_it_is_keeps_no_learner_from_being_retired(
    run: FlowRun, caplog: pytest.LogCaptureFixture
) -> None:
    """It was away at that moment, or the deployment was deleted while the run waited for a person."""
    context, named = FlowRunContext.get(), await Around.here()
    assert context
    run.deployment_id = uuid4()
    gone = httpx.MockTransport(lambda _: httpx.Response(404))
    with context.model_copy(update={"client": PrefectClient(NOWHERE, httpx_settings={"transport": gone})}):
        nameless, told = await Around.here(), Told()
        await told.run(raising())

    assert told.states == ["Running", "Erased"]
    assert nameless.related == [each for each in named.related if each["prefect.resource.role"] != "flow"]
    assert {each["prefect.resource.role"] for each in nameless.related} == {"flow-run", "tag"}
    assert "does not say whose run this is: ObjectNotFound" in caplog.text


@pytest.mark.anyio
async def test_what_a_step_logs_is_a_line_of_its_task_run(run: FlowRun) -> None:
    """As in every task of Prefect's: connectors of third parties may ask for the logger of the run."""
    seen: list[tuple[str, Any]] = []

    async def body() -> StepReport:
        context = TaskRunContext.get()
        seen.append((str(get_run_logger().extra["task_run_id"]), context.task_run.id if context else None))  # type: ignore[index]
        return REPORT

    made = await Told().run(body)

    assert seen == [(str(made.id), made.id)]


@pytest.mark.anyio
async def test_another_try_of_the_run_has_task_runs_of_its_own(run: FlowRun) -> None:
    """The server knows a task run by its key within the flow run, which a retry does not change."""
    first, second, again = Told(), Told(), Told()
    await second.run(raising(), await first.run(raising()))
    run.run_count = 2
    await again.run(raising())

    assert len({each.task_run["dynamic_key"] for each in (first, second, again)}) == 3
    assert [each.task_run["flow_run_run_count"] for each in (first, again)] == [1, 2]
