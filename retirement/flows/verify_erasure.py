"""Follow-up as a flow: every receipt until its service confirms, and once more after that."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from retirement import reports
from retirement.flows.kit import manual, rates
from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.certificates import keep_up
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import Noted
from retirement.flows.kit.parameters import Every
from retirement.flows.kit.paused import unless_paused
from retirement.flows.kit.served import served_configuration
from retirement.followup import verify as confirmation
from retirement.followup.questions import Checked
from retirement.followup.verify import CONFIRMED
from retirement.ledger import Receipt
from retirement.privacy import withheld
from retirement.process import acting
from retirement.site import Site, opened
from retirement.site.stopping import collect, finish_or_stop
from retirement.site.watch import locate
from retirement.wire.limits import shared_turns


@door("verify-erasure")
async def verify_erasure(every: Every = False) -> State[Any]:
    """Asks services what became of erasures, and repeats the erasure where the data is back.

    `every` asks about all open receipts, due or not.
    """
    answers: list[Checked] = Noted(reports.checked)
    work = partial(_verify, answers, every=every)
    return await ending(lambda: unless_paused("verify", work), lambda _: _show(answers))


async def _verify(answers: list[Checked], *, every: bool) -> State[Any]:
    # The services are not examined beforehand: one service with a wrong key must not keep the others from answering.
    configuration = served_configuration()
    with shared_turns(rates.turn):
        async with opened(configuration) as site:
            batch = site.batch()
            asking = collect(answers, confirmation.verify(site, batch, every=every), batch.stop)
            await finish_or_stop(asking, batch.stop)
            # After the services: a form that is odd keeps none from being asked.
            await _forms(site)
            await keep_up(site.ledger)
    summary = await _show(answers) or reports.checked_summary(answers)
    if any(each.troubles for each in answers):
        return Failed(name="SomeUnconfirmed", message=summary)
    return Completed(name="Verified", message=summary)


async def _show(answers: list[Checked]) -> str:
    rows = [reports.checked(each) for each in answers]
    return await show_rows("retirement-verification", rows, reports.checked_summary(answers))


async def _forms(site: Site) -> None:
    """Takes over what people have said in the UI, and makes the forms that are missing."""
    receipts = _by_reference(await site.ledger.receipts.find())
    for answer in await manual.answers():
        # Others are of another site that uses this server.
        if receipt := receipts.get(answer.reference):
            await _take_over(site, receipt, answer)
    left = _by_reference(await site.ledger.receipts.find(open_only=True))
    # The evidence of these was given on the command line.
    for reference in await manual.references() & (receipts.keys() - left.keys()):
        await manual.settle(reference)
    await manual.open_tasks(manual.tasks_of(left.values(), site.connectors))


def _by_reference(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """The receipts that can be asked about."""
    return {each.reference: each for each in receipts if each.operation}


async def _take_over(site: Site, receipt: Receipt, answer: manual.Evidence) -> None:
    """Keeps what a person has said, beside what came first where the receipt is settled by now, and ends its form."""
    learner = await locate(site, receipt.user_id)
    about = [learner] if learner else []
    said = (withheld(answer.evidence, about), withheld(answer.done_by, about))
    with acting("form", answer.submission.run, await answer.submission.person(site.ledger)):
        await site.ledger.receipts.checked(receipt.id, result=CONFIRMED, confirmed=True, evidence=said)
    await manual.settle(answer.reference)
