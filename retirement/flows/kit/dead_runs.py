"""Runs whose process was killed, or was never begun by its worker: Prefect would call them Running or Pending for ever.

They end in two ways. An automation on the server sets a run to Crashed that has sent no sign of life for a while
(`retirement.flows.kit.automations`); and where the ledger knows that no process holds the learner or the job any
more, `bury` ends the run at once. Neither touches a learner: what a dead run left behind is found in the LMS and the
ledger.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed

from retirement.flows.kit.names import JOBS, TAG
from retirement.flows.kit.records import of_queue_run

#: A run without a lease, or before a person has said whose it is, is taken for dead only after so long.
UNLEASED = timedelta(hours=6)
#: What the state of a run says that is taken for dead.
MESSAGE = "no sign of life: the process of this run is gone"
_OPEN = [StateType.RUNNING, StateType.PENDING]

#: The name of a learner's run, which has the user id where a form was asked for it as well.
_NAME = re.compile(r"learner-(\d+)")

IsAlive = Callable[[int], Awaitable[bool] | bool]


async def bury(
    is_alive: IsAlive,
    *,
    live: Container[str],
    own: UUID | None = None,
    quiet: timedelta = timedelta(minutes=10),
    now: Callable[[], datetime] | None = None,
    page: int = 200,
) -> list[int]:
    """Ends the runs that are open in Prefect although their process is gone; the LMS user ids of their learners.

    `is_alive` says of a user id whether a process holds that learner, and `live` are the leases that are held: a
    queue run waits for hours for an answer, with no run below it. A run that has changed within `quiet` is left alone
    whatever they say, as are the run `own` and a queue run with a living learner's run below it. `now` is the time of
    the server's clock; Prefect is asked for so many runs a `page`.
    """
    before = (now or _now)() - quiet
    async with get_client() as client:
        runs = _Runs(client, is_alive, before, page)
        buried = await runs.end_learners()
        if "queue" not in live:
            await runs.end_queues(buried)
        for flow, lease in JOBS.items():
            if lease is None or lease not in live:
                await runs.end_jobs(flow, before if lease else before - UNLEASED, own)
    return list(buried.values())


@dataclass(frozen=True, slots=True)
class _Runs:
    """The open runs on one server; a run that has changed since `before` lives."""

    client: PrefectClient
    is_alive: IsAlive
    before: datetime
    page: int

    async def end_learners(self) -> dict[UUID, int]:
        """Ends the dead runs of learners; the learner's user id by the id of the run."""
        running = await _all(self.client, "retire-learner", _open_ones(), self.page)
        dead = [run for run in running if not await self._shows_life(run)]
        ended = [run for run in dead if await _end(self.client, run)]
        return {run.id: user_id for run in ended if (user_id := _user_id(run)) is not None}

    async def end_queues(self, buried: Container[UUID]) -> None:
        """Ends the runs of a queue that have no living run of a learner below them."""
        for run in await _all(self.client, "retire-queue", _open_ones(), self.page):
            if not _recent(run, self.before) and not await self._has_life_below(run, buried):
                await _end(self.client, run)

    async def end_jobs(self, flow: str, before: datetime, own: UUID | None) -> None:
        """Ends the runs of a flow of ours that have not changed since `before`."""
        for run in await _all(self.client, flow, _open_ones(TAG), self.page):
            if run.id != own and not _recent(run, before):
                await _end(self.client, run)

    async def _has_life_below(self, queue: FlowRun, buried: Container[UUID]) -> bool:
        below = await _all(self.client, "retire-learner", _below(queue), self.page)
        # Those that were buried just now have changed just now, which is no sign of life.
        others = [each for each in below if each.id not in buried]
        return any([await self._shows_life(each) for each in others])

    async def _shows_life(self, run: FlowRun) -> bool:
        """Whether the run of a learner has changed lately, or a process has its learner."""
        user_id = _user_id(run)
        if user_id is None:
            return _recent(run, self.before - UNLEASED)
        return _recent(run, self.before) or await _lives(run, user_id, self.is_alive)


def _now() -> datetime:
    return datetime.now(UTC)


def _open_ones(*tags: str) -> FlowRunFilter:
    """Runs that have begun, or that a worker was to begin, with these tags."""
    wanted = {"state": {"type": {"any_": _OPEN}}} | ({"tags": {"all_": list(tags)}} if tags else {})
    return FlowRunFilter.model_validate(wanted)


async def _all(client: PrefectClient, flow: str, runs: FlowRunFilter, page: int) -> list[FlowRun]:
    """Every run that fits. All are read before one is ended, for an ended one would shift the pages."""
    found: list[FlowRun] = []
    flows = FlowFilter(name=FlowFilterName(any_=[flow]))
    while True:
        more = await client.read_flow_runs(
            flow_filter=flows, flow_run_filter=runs, sort=FlowRunSort.ID_DESC, limit=page, offset=len(found)
        )
        found += more
        if len(more) < page:
            return found


def _recent(run: FlowRun, before: datetime) -> bool:
    return run.updated is None or run.updated > before


def _user_id(run: FlowRun) -> int | None:
    """The learner of a run; None as long as its form asks which one is meant."""
    named = _NAME.fullmatch(run.name)
    found = str(run.parameters.get("user_id") or (named[1] if named else ""))
    return int(found) if found.isdecimal() else None


async def _lives(run: FlowRun, user_id: int, is_alive: IsAlive) -> bool:
    if run.state is None or run.state.is_final():
        return False
    answer = is_alive(user_id)
    return await answer if inspect.isawaitable(answer) else answer


def _below(queue: FlowRun) -> FlowRunFilter:
    """The runs of learners that a queue run has made."""
    return FlowRunFilter.model_validate(of_queue_run(str(queue.id)))


async def _end(client: PrefectClient, run: FlowRun) -> bool:
    result: OrchestrationResult[Any] = await client.set_flow_run_state(run.id, Crashed(message=MESSAGE))
    return result.status is SetStateStatus.ACCEPT
