"""A step of a learner as a task run: what Prefect's task engine tells the server of it, without that engine.

Prefect's engine prepares results, caches, transactions, assets and limits for each run of a task, and a step has none
of them. What the server hears is the same, and so is every page, graph and automation (docs/decisions/0034).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from prefect import State, Task
from prefect.client.schemas.objects import FlowRun, TaskRun, TaskRunPolicy, TaskRunResult
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events.related import (
    object_as_related_resource,
    related_resources_from_run_context,
    tags_as_related_resources,
)
from prefect.logging.loggers import flow_run_logger, task_run_logger
from prefect.states import AwaitingRetry, Completed, Failed, Retrying, Running

from retirement.errors import RetirementError, as_ours, name_of
from retirement.flows.kit.crashing import crashed
from retirement.flows.kit.health import in_short
from retirement.flows.kit.outbox import Event
from retirement.pipeline.endings import StepReport

log = logging.getLogger(__name__)

Body = Callable[[], Awaitable[StepReport]]
Tell = Callable[[Event], None]
IsRepeated = Callable[[RetirementError], bool]

#: An event says which one it follows unless that is longer ago; the server looks no farther back.
TIGHT = timedelta(minutes=5)
#: Seconds between two looks whether the next try would still be made.
LOOK_SECONDS = 1.0
#: What the server has by other names, or works out by itself.
_NOT_TOLD = {
    *("id", "created", "updated", "flow_run_id", "state_id", "state_type", "state_name", "state"),
    *("estimated_start_time_delta", "estimated_run_time"),
}


@dataclass(frozen=True, slots=True)
class Around:
    """The flow run of a learner, as the events of its steps name it."""

    context: FlowRunContext
    run: FlowRun
    related: list[dict[str, str]]  #: the run, its flow, its deployment, its tags
    completed: list[str] = field(default_factory=list)  #: when each step of it has completed, and as what

    @classmethod
    async def here(cls) -> "Around":
        """The flow run that this is called in.

        Where Prefect's server does not say whose run it is, its flow and its deployment are left out: a server that is
        away, or a deployment that was deleted, keeps no learner from being retired.
        """
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            raise RuntimeError("only a flow run has steps")
        run = context.flow_run
        try:
            related = await related_resources_from_run_context(context.client)  # type: ignore[arg-type]  # any client will do
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises
            log.warning("Prefect's server does not say whose run this is: %s", in_short(error))
            related = [object_as_related_resource("flow-run", "flow-run", run), *tags_as_related_resources(run.tags)]
        return cls(context, run, [dict(each.root) for each in related])

    def log(self) -> None:
        """Logs what the completed steps came to, a line each in one entry: the server works as long for any entry."""
        if self.completed:
            flow_run_logger(self.run, self.context.flow).info("%s", "\n".join(self.completed))


class StepRun:
    """One step of one learner; `number` is its own among those of the flow run, and it waits for those `before`."""

    def __init__(
        self, task: Task[..., Any], around: Around, number: int, before: Iterable["StepRun"], tell: Tell
    ) -> None:
        self._task, self._around, self._tell = task, around, tell
        self._state: State[Any] = Running()
        self._run = _made(task, around, self._state, number, [each.id for each in before])
        self._logger = task_run_logger(self._run, task, around.run, around.context.flow)

    @property
    def id(self) -> UUID:
        """Of the task run."""
        return self._run.id

    async def of(self, body: Body, is_repeated: IsRepeated) -> StepReport:
        """Runs the body, and again minutes later where its error `is_repeated`; raises what it raised last."""
        context = TaskRunContext(
            task=self._task,
            task_run=self._run,
            parameters={"name": self._run.name},
            client=self._around.context.client,
            result_store=self._around.context.result_store,
            persist_result=False,
        )
        with context:
            # It begins as Running, as the learner's run does: nothing ever waited in Pending.
            self._say(None)
            try:
                return await self._tried(body, is_repeated)
            except BaseException as error:
                if not self._state.is_final():
                    self._go_on(await crashed(error))
                raise
            finally:
                if self._state.is_completed():
                    at, name = self._state.timestamp, self._run.name
                    self._around.completed.append(f"{at:%H:%M:%S} UTC {name}: {self._state.name}")
                else:
                    self._logger.error("Finished in state %s", self._state)

    async def _tried(self, body: Body, is_repeated: IsRepeated) -> StepReport:
        policy = self._run.empirical_policy
        left, delay = policy.retries or 0, timedelta(seconds=policy.retry_delay or 0)  # type: ignore[arg-type]  # ours is one delay, no list
        while True:
            try:
                report = await body()
            except Exception as raised:  # raised again, or tried again
                # The text of another's exception may name the learner.
                error = as_ours(raised)
                if not left or not is_repeated(error):
                    self._go_on(Failed(name=name_of(type(error)), message=str(error)))
                    raise
            else:
                self._go_on(Completed(name=report.result.capitalize()))
                return report
            left -= 1
            self._logger.info("%s: %s; tried again in %g seconds", name_of(type(error)), error, delay.total_seconds())
            self._go_on(AwaitingRetry(scheduled_time=datetime.now(UTC) + delay))
            await _wait(delay.total_seconds(), partial(is_repeated, error))
            self._go_on(Retrying())

    def _go_on(self, state: State[Any]) -> None:
        """Enters the next state, with what it means for the run."""
        before, run = self._state, self._run
        # States have their order by their times.
        state.timestamp = max(state.timestamp, before.timestamp + timedelta(microseconds=1))
        if before.is_running():
            run.total_run_time += state.timestamp - before.timestamp
        if state.is_running():
            run.run_count += 1
        if state.is_final():
            run.end_time = _time(state)
        self._state = state
        self._say(before)

    def _say(self, before: State[Any] | None) -> None:
        """Tells of the state that was entered."""
        state, run = self._state, self._run
        self._tell(
            {
                "id": str(state.id),
                "event": f"prefect.task-run.{state.name}",
                "occurred": state.timestamp.isoformat(),
                "follows": str(before.id) if before and state.timestamp - before.timestamp < TIGHT else None,
                "resource": {
                    "prefect.resource.id": f"prefect.task-run.{run.id}",
                    "prefect.resource.name": run.name,
                    "prefect.run-count": str(run.run_count),
                    "prefect.state-message": state.message or "",
                    "prefect.state-name": state.name or "",
                    "prefect.state-timestamp": state.timestamp.isoformat(),
                    "prefect.state-type": state.type.value,
                    # Else the server would take it for one of its own.
                    "prefect.orchestration": "client",
                },
                "related": self._around.related,
                "payload": {
                    "intended": {"from": before.type.value if before else None, "to": state.type.value},
                    "initial_state": _content(before) if before else None,
                    "validated_state": {**_content(state), "data": None},
                    "task_run": run.model_dump(mode="json", exclude_none=True, exclude=_NOT_TOLD),
                },
            }
        )


async def _wait(seconds: float, is_due: Callable[[], bool]) -> None:
    """Waits so long for the next try, or until none is due: a run that is told to stop has half a minute."""
    end = time.monotonic() + seconds
    while is_due():
        left = end - time.monotonic()
        if left <= 0:
            return
        await asyncio.sleep(min(left, LOOK_SECONDS))


def _content(state: State[Any]) -> dict[str, Any]:
    details = state.state_details.model_dump(
        mode="json", exclude_none=True, exclude_unset=True, exclude={"flow_run_id", "task_run_id"}
    )
    return {"type": state.type.value, "name": state.name, "message": state.message or "", "state_details": details}


def _made(task: Task[..., Any], around: Around, state: State[Any], number: int, before: list[UUID]) -> TaskRun:
    run, now = around.run, _time(state)
    return TaskRun(
        name=task.name,
        flow_run_id=run.id,
        task_key=task.task_key,
        # Another try of the flow run has task runs of its own.
        dynamic_key=f"{run.run_count}-{number}",
        task_version=task.version,
        empirical_policy=TaskRunPolicy(retries=task.retries, retry_delay=task.retry_delay_seconds),
        task_inputs={"wait_for": [TaskRunResult(id=each) for each in before]} if before else {},
        run_count=1,
        flow_run_run_count=run.run_count,
        expected_start_time=now,
        start_time=now,
    )


def _time(state: State[Any]) -> Any:
    """The time of a state, for a field whose class depends on the version of Python."""
    return state.timestamp
