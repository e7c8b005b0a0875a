"""Asks services what became of erasures, until they confirm; and erases learners again whose data is back.

A receipt is open until its service has confirmed, and once more after that where the operation says so, since
a live session, a queued event or an import may bring a learner back (contract of the services, C7 and G, point 2).
Asking changes nothing at a service. The LMS row is not moved: who was COMPLETE stays so.
"""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from retirement.connectors import Outcome, Verdict
from retirement.errors import (
    Defect,
    LeaseLost,
    LedgerError,
    RetirementError,
    RunAfter,
    ServiceError,
    StateConflict,
)
from retirement.followup.questions import Checked, CheckResult, Question, questions
from retirement.followup.second_erasure import again_of, erase_again
from retirement.site import Batch, Site
from retirement.site.lost_answers import LostAnswers

#: What settles a receipt.
CONFIRMED, RETURNED = "confirmed", "returned"
#: So many lost answers one after another, and a service is left alone for the rest of a run.
LOST_IN_A_ROW = 3


async def verify(
    site: Site, batch: Batch, *, user_id: int | None = None, every: bool = False
) -> AsyncGenerator[Checked, None]:
    """Asks about every open receipt whose time has come; with `every` about all that are open.

    Raises `BusyElsewhere` while another run asks, and `ServiceError` and `LedgerError` where nothing can be read;
    what concerns one receipt is `Checked`.
    """
    lease = await site.ledger.leases.take("verify", what="the verification")
    try:
        asking = _Asking(site, batch, await _silent(site))
        async with aclosing(questions(site, user_id=user_id, every=every)) as found:
            async for question in found:
                yield await asking.about(question) if isinstance(question, Question) else question
                site.ledger.leases.check(lease)
    finally:
        await site.ledger.leases.release(lease)


async def _silent(site: Site) -> dict[str, str]:
    """Services that are not asked, and why."""
    return {each.service: "its breaker is open" for each in await site.ledger.breakers.down()}


#: The name was free, or the person has signed up anew.
_ANOTHER = (
    "what was erased is gone, and another record has their name or address: if it is another person's, or theirs and "
    "new, it stays; if an import brought it back, it has to be erased there by hand"
)


def _close(question: Question) -> str:
    """What a person does who has looked."""
    return f"then `retirement confirm --receipt {question.receipt.id}`"


class _Asking:
    """One run through the receipts. A service that cannot be asked is left alone for the rest of it.

    One receipt alone may meet what looks like that: it takes two that meet the same misconfiguration, or several
    lost answers in a row.
    """

    def __init__(self, site: Site, batch: Batch, silent: dict[str, str]) -> None:
        self._site = site
        self._batch = batch
        self._silent = silent
        self._lost = LostAnswers(LOST_IN_A_ROW)
        self._shared: Counter[tuple[object, ...]] = Counter()

    def _note(self, error: ServiceError) -> None:
        silent = False
        if error.consequence.run is RunAfter.STOPS_IF_SHARED:
            self._shared[error.shared_by] += 1
            silent = self._shared[error.shared_by] >= 2
        elif error.consequence.passes:
            silent = self._lost.note(error)
        if silent:
            self._silent[error.service] = str(error)

    async def about(self, question: Question) -> Checked:
        receipt, connector = question.receipt, question.connector
        if connector.policy(question.operation).asks is None:
            text = f"a person has to do it: `retirement confirm --receipt {receipt.id}` takes the evidence"
            return question.answered(CheckResult.ASKED, text)
        if receipt.service in self._silent:
            return question.answered(CheckResult.UNANSWERED, self._silent[receipt.service])
        try:
            verdict = await connector.ask(question.operation, receipt.reference, question.learner)
        except ServiceError as error:
            self._note(error)
            return question.answered(CheckResult.UNANSWERED, str(error))
        except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
            return question.answered(CheckResult.UNANSWERED, str(Defect.at(error)))
        self._lost.answered(receipt.service)
        return await self._heard(question, verdict)

    async def _heard(self, question: Question, verdict: Verdict) -> Checked:
        if verdict is Verdict.GONE:
            return await self._gone(question)
        if verdict is Verdict.PRESENT and question.has_to_be_done_again:
            return await self._again(question)
        await self._keep_open(question, verdict)
        if verdict is Verdict.ANOTHER:
            return question.answered(CheckResult.ANOTHER, f"{_ANOTHER}; {_close(question)}")
        if verdict is Verdict.FAILED:
            text = "the service says that it will not do it: a person has to look there"
            return question.answered(CheckResult.FAILED, text)
        by_hand = question.outcome == Outcome.MANUAL.value
        text = f"a person has to do it there: {question.receipt.reference}" if by_hand else "the service works on it"
        return question.answered(CheckResult.WAITING, text)

    async def _gone(self, question: Question) -> Checked:
        receipt, gone = question.receipt, Verdict.GONE.value
        if receipt.confirmed_at is None and question.follow_up.again is not None:
            later = self._site.ledger.now() + question.follow_up.again
            await self._site.ledger.receipts.checked(
                receipt.id, result=None, next_check_at=later, verdict=gone, confirmed=True
            )
            text = f"confirmed; asked once more on {later:%Y-%m-%d}"
            return question.answered(CheckResult.GONE, text, overdue=False)
        await self._site.ledger.receipts.checked(receipt.id, result=CONFIRMED, verdict=gone, confirmed=True)
        return question.answered(CheckResult.CONFIRMED, "confirmed", overdue=False)

    async def _keep_open(self, question: Question, verdict: Verdict) -> None:
        later = self._site.ledger.now() + question.follow_up.every
        await self._site.ledger.receipts.checked(
            question.receipt.id, result=None, next_check_at=later, verdict=verdict.value
        )

    async def _still_there(self, question: Question, text: str, *, overdue: bool) -> Checked:
        await self._keep_open(question, Verdict.PRESENT)
        return question.answered(CheckResult.STILL_THERE, f"{question.came_back}, and {text}", overdue=overdue)

    async def _again(self, question: Question) -> Checked:
        """Does the operation once more, as evidence of its own, with a receipt of its own."""
        if question.learner is None:
            text = "the LMS has deleted who they were: erase them by hand"
            return await self._still_there(question, text, overdue=True)
        if not question.connector.policy(question.operation).can_be_repeated:
            text = "whoever has that name or address now would be erased: a person has to look"
            return await self._still_there(question, f"{text}; {_close(question)}", overdue=True)
        try:
            erasure = await erase_again(self._site, self._batch, again_of(question), question.learner)
        except LedgerError:
            raise
        except (StateConflict, LeaseLost) as error:
            return question.answered(CheckResult.UNANSWERED, str(error))
        except RetirementError as error:
            return await self._still_there(question, f"once more did not work: {error}", overdue=False)
        if erasure.receipt is None:
            # The service says that they are there, and the operation does not say that it has found them.
            text = "once more gave nothing to ask about: a person has to look"
            return await self._still_there(question, text, overdue=True)
        await self._site.ledger.receipts.checked(question.receipt.id, result=RETURNED, verdict=Verdict.PRESENT.value)
        return question.answered(CheckResult.ERASED_AGAIN, f"{question.came_back}; erased once more")
