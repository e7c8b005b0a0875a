"""A queue run that is tried again, as *Retry* in Prefect's UI does it: what its earlier tries came to.

Each try is a queue run of its own in the ledger, and one and the same run in Prefect.
"""

from dataclasses import dataclass

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun

from retirement.errors import Ending
from retirement.flows.kit.records import of_queue_run

#: Most runs that Prefect lists at once.
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Earlier:
    """The tries before this one: the learners who were ERRORED, and the message of the last final state."""

    errored: frozenset[int]
    message: str


def ledger_id(run: FlowRun) -> str:
    """The id of this try in the ledger: the first has the run's own."""
    return str(run.id) if run.run_count <= 1 else f"{run.id}:{run.run_count}"


async def earlier_tries(client: PrefectClient, run: FlowRun) -> Earlier | None:
    """What the tries before this one came to; None for the first."""
    if run.run_count <= 1:
        return None
    return Earlier(await _errored(client, run), await _last_message(client, run))


async def _last_message(client: PrefectClient, run: FlowRun) -> str:
    """The message of the last final state, "" where there was none."""
    states = await client.read_flow_run_states(run.id)
    ended = [state for state in states if state.is_final()]
    return (max(ended, key=lambda state: state.timestamp).message or "") if ended else ""


async def _errored(client: PrefectClient, run: FlowRun) -> frozenset[int]:
    """The user ids of learners below the run who were ERRORED."""
    wanted = {**of_queue_run(str(run.id)), "state": {"name": {"any_": [Ending.ERRORED.state]}}}
    runs: list[FlowRun] = []
    while page := await client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(wanted), limit=_PAGE, offset=len(runs)
    ):
        runs += page
    return frozenset(int(each.parameters["user_id"]) for each in runs)
