"""The reconciler as a flow: nobody stays in a working state without a live run, and no dead run looks alive."""

from datetime import UTC, datetime
from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed

from flows.dead_runs import bury
from flows.outlook import show_findings
from flows.secret_blocks import secret_block
from retirement import reconciler, reports
from retirement.errors import Defect, RetirementError
from retirement.ledger import learner_scope
from retirement.reconciler import Finding, Verdict
from retirement.site import ready


def _name_of_run() -> str:
    return f"reconcile-{datetime.now(UTC):%Y-%m-%d-%H-%M}"


@flow(name="reconcile", flow_run_name=_name_of_run, persist_result=False)
async def reconcile(config: str | None = None) -> State[Any]:
    """Gives back learners whose run died, closes what the ledger has open, and marks dead runs as crashed.

    What is open: runs that died, and questions whose time is over.

    `config` is the configuration file; by default RETIREMENT_CONFIG, else retirement.yaml.
    """
    try:
        async with ready(config, secret_block) as (_, site):
            findings = [finding async for finding in reconciler.reconcile(site)]
            live = await site.ledger.live_leases()
            await bury(lambda user_id: learner_scope(user_id) in live, queue_lives="queue" in live)
    except RetirementError as error:
        return Failed(name=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        return Failed(name="Defect", message=str(Defect.at(error)))
    return await _state(findings)


async def _state(findings: list[Finding]) -> State[Any]:
    summary = reports.findings_summary(findings)
    await show_findings(findings)
    if any(each.verdict is Verdict.FAILED for each in findings):
        return Failed(name="SomeFailed", message=summary)
    return Completed(name="Reconciled", message=summary)
