"""The reconciler as a flow: no learner stays in a working state without a live run, and no dead run looks alive."""

from functools import partial
from typing import Any
from uuid import UUID

from prefect import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from retirement import reports
from retirement.flows.kit.approval import take_over
from retirement.flows.kit.artifacts import show_findings
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.dead_runs import bury
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.paused import unless_paused
from retirement.flows.kit.secret_blocks import secret_block
from retirement.flows.kit.served import served_path
from retirement.flows.kit.today import write_today
from retirement.followup import reconcile as followup
from retirement.followup.move_back import Finding, Verdict
from retirement.ledger import learner_scope
from retirement.site import Stop, ready
from retirement.site.stopping import collect, finish_or_stop
from retirement.site.watch import watch

#: What fails a run: the next one may mend it, or a person has to.
_FAILURES = (Verdict.FAILED, Verdict.UNPROVED, Verdict.STRAY, Verdict.UNSEEN)


def _own_run() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context and context.flow_run else None


@door("reconcile")
async def reconcile() -> State[Any]:
    """Gives back learners whose run died, closes what the ledger has open, and marks dead runs as crashed.

    What is open: runs that died, and questions that have expired. An answer that was typed into the form of a run
    that died goes into the ledger first.
    """
    findings: list[Finding] = Noted(reports.finding)
    work = partial(_reconcile, findings)
    return await ending(lambda: unless_paused("reconcile", work), lambda _: show_findings(findings))


async def _reconcile(findings: list[Finding]) -> State[Any]:
    async with ready(served_path(), secret_block) as (configuration, site):
        await take_over(site, configuration.guard)
        stop = Stop()
        watched = await watch(site)
        await finish_or_stop(collect(findings, followup.reconcile(site, watched=watched), stop), stop)
        live = await site.ledger.leases.live()
        await bury(lambda user_id: learner_scope(user_id) in live, live=live, own=_own_run())
        await keep_up(site.ledger)
        await write_today(site, configuration)
    summary = await show_findings(findings) or reports.nothing_stuck(watched)
    if any(each.verdict in _FAILURES for each in findings):
        return Failed(name="SomeFailed", message=summary)
    return Completed(name="Reconciled", message=summary)
