"""Runs whose process was killed: Prefect would call them Running for ever.

Two ways to their end. An automation on the server takes a run that has sent no heartbeat for a while for
Crashed; and where the ledger knows that nobody holds a learner any more, `bury` ends the run at once.
Neither touches a learner: what a dead run left behind is found in the LMS and the ledger.
"""

import inspect
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import get_current_settings
from prefect.states import Crashed

#: The flows of ours that work on learners; on a shared server all others are left alone.
FLOWS = ("retire-learner", "retire-queue")

#: Seconds of silence that mean death: three of Prefect's heartbeats, which come every 180 seconds, and one minute.
SILENT_SECONDS = 600

#: Names of final states, Prefect's and ours. Events carry the name of a state and not its type; a name that is
#: missing here costs an attempt to crash a run that has ended, which Prefect refuses.
ENDS = (
    *("Completed", "Failed", "Cancelled", "Crashed"),
    *("Retired", "SomeFailed", "Stopped", "Held", "Errored", "Parked", "HeldElsewhere", "Rescinded", "Stranded"),
    *("ConfigError", "Defect"),
)

_NAME = "openedx-retirement: silent runs"
_MESSAGE = "no sign of life: the process of this run is gone"

IsAlive = Callable[[int], Awaitable[bool] | bool]


def silence_automation(seconds: int = SILENT_SECONDS) -> dict[str, Any]:
    """The automation in the form that `prefect automation create --from-file` reads."""
    return {
        "name": _NAME,
        "description": "A run of the retirement flows that has sent no heartbeat for this long is taken for Crashed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)},
            "for_each": ["prefect.resource.id"],
            # The server says Running itself: a run may be killed before its first heartbeat is out.
            "after": [f"prefect.flow-run.{event}" for event in ("Running", "heartbeat")],
            "expect": [f"prefect.flow-run.{event}" for event in ("heartbeat", *ENDS)],
            "threshold": 1,
            "within": seconds,
        },
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": _MESSAGE}],
    }


async def watch_for_silence(seconds: int | None = None) -> None:
    """Puts the automation on the server, or brings the one that is there up to date.

    `seconds` of silence are by default `SILENT_SECONDS`, and more where this process' heartbeats are rarer.
    """
    heartbeat = get_current_settings().flows.heartbeat_frequency or 0
    wanted = silence_automation(seconds or max(SILENT_SECONDS, 3 * heartbeat + 60))
    async with get_client() as client:
        found = await client.read_automations_by_name(_NAME)
        automation = AutomationCore.model_validate(wanted)
        if not found:
            await client.create_automation(automation)
        for number, each in enumerate(found):
            if number:
                await client.delete_automation(each.id)
            else:
                await client.update_automation(each.id, automation)


async def bury(
    is_alive: IsAlive,
    *,
    queue_lives: bool,
    quiet: timedelta = timedelta(minutes=10),
    now: Callable[[], datetime] | None = None,
    page: int = 200,
) -> list[int]:
    """Ends the runs that Prefect calls Running and that nobody works in; the LMS user ids of their learners.

    `is_alive` says of a user id whether somebody holds that learner. A run that has changed within `quiet` is
    left alone whatever it says, and so is a queue run with such a learner's run below it. `queue_lives` says
    whether somebody holds the queue: a queue run waits for hours for an answer, with nobody below it. `now` is
    the time of the server's clock; Prefect is asked for so many runs a `page`.
    """
    before = (now or _now)() - quiet
    async with get_client() as client:
        learners = [run for run in await _running(client, "retire-learner", page) if not _recent(run, before)]
        dead = [run for run in learners if not await _lives(run, is_alive)]
        buried = {run.id: int(run.parameters["user_id"]) for run in dead if await _end(client, run)}
        for run in [] if queue_lives else await _running(client, "retire-queue", page):
            if _recent(run, before):
                continue
            # Those that were buried just now have changed just now, which is no sign of life.
            below = [each for each in await _all(client, "retire-learner", _below(run), page) if each.id not in buried]
            if not any([_recent(each, before) or await _lives(each, is_alive) for each in below]):
                await _end(client, run)
    return list(buried.values())


def _now() -> datetime:
    return datetime.now(UTC)


async def _running(client: PrefectClient, flow: str, page: int) -> list[FlowRun]:
    running = FlowRunFilter.model_validate({"state": {"type": {"any_": [StateType.RUNNING]}}})
    return await _all(client, flow, running, page)


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


async def _lives(run: FlowRun, is_alive: IsAlive) -> bool:
    if run.state is None or run.state.is_final():
        return False
    answer = is_alive(int(run.parameters["user_id"]))
    return await answer if inspect.isawaitable(answer) else answer


def _below(queue: FlowRun) -> FlowRunFilter:
    """The runs of learners that a queue run has made."""
    return FlowRunFilter.model_validate({"tags": {"all_": [f"queue:{queue.id}"]}})


async def _end(client: PrefectClient, run: FlowRun) -> bool:
    result: OrchestrationResult[Any] = await client.set_flow_run_state(run.id, Crashed(message=_MESSAGE))
    return result.status is SetStateStatus.ACCEPT
