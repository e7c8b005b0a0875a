"""Flows that do a job on many learners: a preview, a bound, a form, and then what came of each learner."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from prefect import State
from prefect.states import Cancelled, Completed, Failed

from retirement import reports
from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.signing import signed
from retirement.followup.job import Asked, Job, planned, require_few
from retirement.followup.move_back import Finding
from retirement.site import Site, Stop, ready
from retirement.site.stopping import collect, finish_or_stop


@dataclass(frozen=True)
class Played:
    """How a flow plays a job: the key of its artifact, the end of a run that did it, and what to say of no learner."""

    key: str
    done: str
    nothing: str


async def play(how: Played, made: Callable[[Site], Awaitable[Job]], at_most: int, *, dry_run: bool) -> State[Any]:
    """Shows what a job would do; unless it is a `dry_run`, asks in a form and does it. The final state of the flow."""
    found: list[Finding] = Noted(reports.finding)

    async def body() -> State[Any]:
        async with ready(served_path(), secret_block) as (_, site):
            return await _play(how, site, await made(site), found, None if dry_run else at_most)

    return await ending(body, lambda _: _show(how, found))


async def _play(how: Played, site: Site, job: Job, found: list[Finding], at_most: int | None) -> State[Any]:
    """Plays the job; `at_most` None: only shows it."""
    stop = Stop()
    await finish_or_stop(collect(found, job.preview(), stop), stop)
    if at_most is not None and planned(found):
        require_few(found, at_most)
        previewed = list(found)
        form = await signed(f"{len(planned(found))} {job.sentence}. Go on?")
        if form is None:
            return Cancelled(name="NotDone", message="nothing was done: the form said no")
        found[:] = [each for each in found if each.user_id not in planned(previewed)]
        run = job.do(previewed, Asked(form.by, form.reason))
        await finish_or_stop(collect(found, run, stop), stop)
        await keep_up(site.ledger)
    summary = await _show(how, found) or how.nothing
    if reports.findings_code(found):
        return Failed(name="SomeFailed", message=summary)
    if at_most is None:
        return Completed(name="Previewed", message=f"{summary}; nothing was done: run it again with dry_run off")
    return Completed(name=how.done, message=summary)


async def _show(how: Played, found: list[Finding]) -> str:
    rows = [reports.finding(each) for each in found]
    return await show_rows(how.key, rows, reports.findings_summary(found, ""))
