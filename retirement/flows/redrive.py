"""Redrive as a flow: ERRORED learners go back to the last end state that is proved, after a preview."""

from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from retirement import reports
from retirement.errors import ConfigError
from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.parameters import ErrorName, Most, OneUserId, Preview, StepName
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.followup import redrive as followup
from retirement.followup.move_back import Finding
from retirement.followup.redrive import Choice
from retirement.pipeline import ERRORED
from retirement.site import Stop, ready
from retirement.site.stopping import collect, finish_or_stop


@door("redrive")
async def redrive(
    user_id: OneUserId = None,
    step: StepName = None,
    error: ErrorName = None,
    limit: Most = 50,
    dry_run: Preview = True,
) -> State[Any]:
    """Brings ERRORED learners back to the last end state that LMS and ledger prove; the next queue run goes on.

    Without `user_id`, `step` and `error` every ERRORED learner is meant, at most `limit`. While `dry_run` is on, the
    table shows them and no row is moved.
    """
    found: list[Finding] = Noted(reports.finding)
    choice = Choice(user_id, step, error)
    return await ending(lambda: _redrive(choice, limit, found, dry_run=dry_run), lambda _: _show(found))


async def _redrive(choice: Choice, limit: int, found: list[Finding], *, dry_run: bool) -> State[Any]:
    async with ready(served_path(), secret_block) as (_, site):
        if choice.step and choice.step not in site.pipeline.working_states:
            raise ConfigError(f"step: {choice.step} is no step; steps are {', '.join(site.pipeline.working_states)}")
        stop = Stop()
        run = followup.redrive(site, choice, limit=limit, dry_run=dry_run)
        await finish_or_stop(collect(found, run, stop), stop)
    summary = await _show(found) or f"no learner is {ERRORED}, or none of those who are is meant"
    if reports.findings_code(found):
        return Failed(name="SomeFailed", message=summary)
    if dry_run:
        return Completed(name="Previewed", message=f"{summary}; no row was moved: run it again with dry_run off")
    return Completed(name="Redriven", message=summary)


async def _show(found: list[Finding]) -> str:
    rows = [reports.finding(each) for each in found]
    return await show_rows("retirement-redrive", rows, reports.findings_summary(found, ""))
