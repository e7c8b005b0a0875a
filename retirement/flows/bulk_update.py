"""The bulk update as a flow: the rows of one state and some days move at once, after a preview and a form."""

from typing import Any

from prefect import State

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.jobs import JobRun
from retirement.flows.kit.parameters import AtMost, FirstDay, InitialState, LastDay, NewState, PastUnproved, Preview
from retirement.followup.bulk_update import Wanted, listed


@door("bulk-update")
async def bulk_update(
    initial_state: InitialState = "ERRORED",
    new_state: NewState = None,
    start_date: FirstDay = None,
    end_date: LastDay = None,
    force: PastUnproved = False,
    at_most: AtMost = 50,
    dry_run: Preview = True,
) -> State[Any]:
    """Moves the rows of one state, whose requests were made between two days, to another state or back.

    While `dry_run` is on, the table shows them and no row is moved. Else the run asks in a form for who moves them
    and why, unless there are more than `at_most`.
    """
    wanted = Wanted(initial_state, new_state, start_date, end_date, force)
    nothing = f"no request of these days is in {initial_state}"
    run = JobRun("retirement-bulk-update", "Updated", nothing, at_most, dry_run)
    return await ending(lambda: run.play(lambda _, site: listed(site, wanted)), run.account)
