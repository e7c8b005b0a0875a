"""Follow-up as a flow: every receipt until its service confirms, and once more after that."""

from datetime import UTC, datetime
from typing import Any

from prefect import State, flow
from prefect.artifacts import acreate_table_artifact
from prefect.states import Cancelled, Completed, Failed

from flows import manual, rates
from flows.agreement import safe
from flows.secret_blocks import secret_block
from retirement import confirmation, reports
from retirement.config import load
from retirement.confirmation import CONFIRMED, Checked
from retirement.errors import Defect, RetirementError, StateConflict
from retirement.site import Site, opened


def _name_of_run() -> str:
    return f"verify-erasure-{datetime.now(UTC):%Y-%m-%d-%H-%M}"


@flow(name="verify-erasure", flow_run_name=_name_of_run, persist_result=False)
async def verify_erasure(config: str | None = None, every: bool = False) -> State[Any]:
    """Asks services what became of erasures, and erases again whom something brought back.

    `config` is the configuration file; by default RETIREMENT_CONFIG, else retirement.yaml. `every` asks about
    all open receipts, due or not.
    """
    try:
        # Nobody is asked beforehand: one service with a wrong key must not keep the others from answering.
        async with opened(load(config, secret_block=secret_block)) as site:
            site.turns.shared = rates.turn
            answers = [answer async for answer in confirmation.confirm(site, every=every)]
            # Last: a form that is odd keeps no service from being asked.
            await _forms(site)
    except StateConflict as error:
        return Cancelled(name="HeldElsewhere", message=str(error))
    except RetirementError as error:
        return Failed(name=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        return Failed(name="Defect", message=str(Defect.at(error)))
    return await _state(answers)


async def _forms(site: Site) -> None:
    """Takes over what people have said in the UI, and asks them what nobody has asked yet."""
    receipts = {each.reference: each for each in await site.ledger.receipts() if each.operation}
    for answer in await manual.answers():
        receipt = receipts.get(answer.reference)
        if receipt is None:
            continue  # of another site that uses this server
        if receipt.result is None:
            learner = await site.learner(receipt.user_id)
            about = [learner] if learner else []
            said = (safe(answer.evidence, about), safe(answer.done_by, about))
            await site.ledger.receipt_checked(receipt.id, result=CONFIRMED, confirmed=True, evidence=said)
        await manual.settle(answer.reference)
    left = {each.reference: each for each in await site.ledger.receipts(open_only=True) if each.operation}
    for reference in await manual.references():
        # Somebody has given the evidence by command line.
        if reference in receipts and reference not in left:
            await manual.settle(reference)
    await manual.open_tasks(manual.tasks_of(left.values(), site.connectors))


async def _state(answers: list[Checked]) -> State[Any]:
    summary = reports.checked_summary(answers)
    if answers:
        table = [reports.checked(each) for each in answers]
        await acreate_table_artifact(key="retirement-verification", table=table, description=summary)
    if any(each.troubles for each in answers):
        return Failed(name="SomeUnconfirmed", message=summary)
    return Completed(name="Verified", message=summary)
