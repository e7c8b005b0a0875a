"""A scheduled run whose schedule a person has paused in the ledger (`retirement pause`) ends before it calls a service.

The ledger says so and not Prefect: a restart, `prefect deploy` and a new Prefect server leave the pause as it is.
"""

from typing import Any

from prefect import State
from prefect.context import FlowRunContext

from retirement.errors import SchedulePaused
from retirement.flows.kit.ending import Body
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.site import evidence


async def unless_paused(schedule: str, body: Body, *, unattended: bool = False) -> State[Any]:
    """The body of a flow, where its schedule is not paused or a person has started the run.

    `unattended` says that no person has, of a run that Prefect has not planned. Raises `SchedulePaused`.
    """
    if unattended or is_planned():
        async with evidence(served_path(), secret_block) as ledger:
            if pause := await ledger.pauses.of(schedule):
                raise SchedulePaused(
                    f"nothing was called: the schedule {schedule} is {pause.sentence}; "
                    f"`retirement resume {schedule}` starts it again"
                )
    return await body()


def is_planned() -> bool:
    """Whether Prefect's scheduler has made this run; a second try of one is the work of a person."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and run.auto_scheduled and run.run_count <= 1
