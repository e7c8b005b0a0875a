"""The backfill as a flow: a step that was added, for learners who went through without it."""

from typing import Any

from prefect import State

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.jobs import JobRun
from retirement.flows.kit.parameters import AddedStep, AtMost, Preview
from retirement.followup.backfill import lacking


@door("backfill")
async def backfill(step: AddedStep = None, at_most: AtMost = 50, dry_run: Preview = True) -> State[Any]:
    """Does a step that was added for retired learners who went through without it.

    While `dry_run` is on, the table shows them, and those out of reach, and nothing is called. Else the run asks in a
    form for who asks for it and why, unless there are more than `at_most`.
    """
    nothing = f"no retired learner lacks {step}" if step else "no step is named"
    run = JobRun("retirement-backfill", "Backfilled", nothing, at_most, dry_run)
    return await ending(lambda: run.play(lambda _, site: lacking(site, step)), run.account)
