"""Runs whose process was killed, or was never begun by its worker: Prefect would call them Running or Pending for ever.

They end in two ways. An automation on the server sets a run to Crashed that has sent no sign of life for a while;
and where the ledger knows that no process holds the learner or the job any more, `bury` ends the run at once.
Neither touches a learner: what a dead run left behind is found in the LMS and the ledger.
"""

import inspect
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
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import get_current_settings
from prefect.states import Crashed

from retirement import errors
from retirement.errors import Ending, RetirementError

#: The flows of ours that work on learners; on a shared server all others are left alone.
FLOWS = ("retire-learner", "retire-queue")
#: Our other flows, by the lease that a run of them has; None where it has none. Their names are common words, so a
#: run is ours only where it has our tag.
JOBS = {
    "reconcile": None,
    "verify-erasure": "verify",
    "cleanup": "archive",
    "partner-report": "partner-report",
    **dict.fromkeys(("redrive", "hold", "breaker", "doctor", "digest")),
}
#: The tag of every deployment of ours.
TAG = "retirement"

#: Seconds of silence that mean death: three of Prefect's heartbeats, which come every 180 seconds, and one minute.
SILENT_SECONDS = 600
#: A run without a lease is taken for dead only after so long.
UNLEASED = timedelta(hours=6)
_OPEN = [StateType.RUNNING, StateType.PENDING]

#: States in which a run waits for others than its process.
_WAITS = ("AwaitingConcurrencySlot", "AwaitingRetry", "Paused", "Suspended")
#: Names of final states, Prefect's and ours. Events carry the name of a state and not its type; a name that is
#: missing here costs an attempt to crash a run that has ended, which Prefect refuses.
_ERRORS = (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RetirementError))
ENDS = tuple(
    dict.fromkeys(
        (
            *("Completed", "Failed", "Cancelled", "Crashed", "SomeFailed", "Unknown"),
            *("Reconciled", "Verified", "SomeUnconfirmed", "CleanedUp", "SomeKept", "Reported", "SomeDue"),
            *(
                "Previewed",
                "Redriven",
                "Placed",
                "NotPlaced",
                "Released",
                "NotReleased",
                "Open",
                "Closed",
                "NotChanged",
            ),
            *("Closed", "NotChanged", "Well", "Unwell", "Written"),
            *(ending.state for ending in Ending),
            *(error.consequence.state or error.__name__ for error in _ERRORS),
        )
    )
)

_MESSAGE = "no sign of life: the process of this run is gone"
_OF_LEARNERS: dict[str, Any] = {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
_OF_JOBS: list[dict[str, Any]] = [
    {"prefect.resource.role": "flow", "prefect.resource.name": list(JOBS)},
    {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
]

IsAlive = Callable[[int], Awaitable[bool] | bool]


def silence_automations(seconds: int = SILENT_SECONDS) -> list[dict[str, Any]]:
    """The automations in the form that `prefect automation create --from-file` reads below `automations`."""
    return [
        _automation("openedx-retirement: silent runs", _OF_LEARNERS, seconds),
        _automation("openedx-retirement: silent jobs", _OF_JOBS, seconds),
    ]


def _automation(name: str, related: dict[str, Any] | list[dict[str, Any]], seconds: int) -> dict[str, Any]:
    return {
        "name": name,
        "description": "A run of the retirement flows that has sent no heartbeat for this long is taken for Crashed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": related,
            "for_each": ["prefect.resource.id"],
            # The server says Pending and Running itself: a run may be killed before its first heartbeat is out, and
            # a worker before it has begun the run.
            "after": [f"prefect.flow-run.{event}" for event in ("Pending", "Running", "heartbeat")],
            "expect": [f"prefect.flow-run.{event}" for event in ("Running", "heartbeat", *_WAITS, *ENDS)],
            "threshold": 1,
            "within": seconds,
        },
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": _MESSAGE}],
    }


async def watch_for_silence(seconds: int | None = None) -> None:
    """Puts the automations on the server, or brings those that are there up to date.

    `seconds` of silence are by default `SILENT_SECONDS`, and more where this process' heartbeats are rarer.
    """
    heartbeat = get_current_settings().flows.heartbeat_frequency or 0
    async with get_client() as client:
        for wanted in silence_automations(seconds or max(SILENT_SECONDS, 3 * heartbeat + 60)):
            await _put(client, AutomationCore.model_validate(wanted))


async def _put(client: PrefectClient, automation: AutomationCore) -> None:
    found = await client.read_automations_by_name(automation.name)
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
        return {run.id: int(run.parameters["user_id"]) for run in dead if await _end(self.client, run)}

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
        return _recent(run, self.before) or await _lives(run, self.is_alive)


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
