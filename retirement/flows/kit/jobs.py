"""Flows that do a job on many learners: a preview, a bound, a form, and then what came of each learner."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from prefect import State
from prefect.states import Cancelled, Completed, Failed

from retirement import reports
from retirement.config import Configuration
from retirement.errors import RetirementError
from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.signing import signed
from retirement.followup.job import Asked, Job, planned, require_few
from retirement.followup.move_back import Finding
from retirement.ledger import Ledger
from retirement.site import Site, Stop, ready
from retirement.site.stopping import collect, finish_or_stop


@dataclass(frozen=True)
class JobRun:
    """One run of a flow that does a job: what its form said, and what came of the learners so far."""

    key: str  #: of its artifact
    done: str  #: the name of its state once it has done something
    nothing: str  #: what to say where no learner is meant
    at_most: int
    dry_run: bool
    found: list[Finding] = field(default_factory=lambda: Noted(reports.finding))

    async def play(self, made: Callable[[Configuration, Site], Awaitable[Job]]) -> State[Any]:
        """Shows what the job would do; unless it is a dry run, asks in a form and does it."""
        async with ready(served_path(), secret_block) as (configuration, site):
            job, stop = await made(configuration, site), Stop()
            await finish_or_stop(collect(self.found, job.preview(), stop), stop)
            if planned(self.found) and not self.dry_run and not await self._did(job, stop, site.ledger):
                return Cancelled(name="NotDone", message="nothing was done: the form said no")
            if not self.dry_run:
                await keep_up(site.ledger)
        summary = await self._show() or self.nothing
        if reports.findings_code(self.found):
            return Failed(name="SomeFailed", message=summary)
        if self.dry_run:
            return Completed(name="Previewed", message=f"{summary}; nothing was done: run it again with dry_run off")
        return Completed(name=self.done, message=summary)

    async def account(self, _error: RetirementError) -> str:
        """What was done before an error; see `ending`."""
        return await self._show()

    async def _did(self, job: Job, stop: Stop, ledger: Ledger) -> bool:
        """Asks, and does it; False where the form said no."""
        previewed, meant = list(self.found), planned(self.found)
        require_few(previewed, self.at_most)
        form = await signed(f"{len(meant)} {job.sentence}. Go on?", ledger)
        if form is None:
            return False
        self.found[:] = [each for each in previewed if each.user_id not in meant]
        await finish_or_stop(collect(self.found, job.do(previewed, Asked(form.by, form.reason)), stop), stop)
        return True

    async def _show(self) -> str:
        rows = [reports.finding(each) for each in self.found]
        return await show_rows(self.key, rows, reports.findings_summary(self.found, ""))
