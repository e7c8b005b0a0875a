"""Asks services what became of erasures, until they confirm; and erases again whom something brought back.

A receipt is open until its service has confirmed, and once more after that where the operation says so, since
a live session, a queued event or an import may bring a learner back (contract of the services, C7 and G2).
Asking changes nothing at a service. The LMS row is not moved: who was COMPLETE stays so.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from retirement.connectors import Connector, FollowUp, Outcome, Verdict
from retirement.endings import Ending
from retirement.errors import (
    Defect,
    Kept,
    LeaseLost,
    LedgerError,
    Misconfigured,
    RetirementError,
    ServiceError,
    StateConflict,
    Transient,
)
from retirement.http import permission
from retirement.learner import Learner
from retirement.ledger import Given, LearnerRecord, Receipt, Tenure
from retirement.pipeline import ABORTED, COMPLETE, PENDING
from retirement.site import Site

#: A learner and one retirement of theirs.
_Whose = tuple[int, int]
#: What settles a receipt.
CONFIRMED, RETURNED = "confirmed", "returned"


class What(StrEnum):
    """What asking about one receipt came to."""

    CONFIRMED = "confirmed"  #: done with
    GONE = "gone"  #: confirmed; it is asked once more later
    WAITING = "waiting"  #: the service works on it
    ASKED = "asked"  #: a person has to do it, and has not said so
    ERASED_AGAIN = "erased-again"  #: they were there, and the operation has been done once more
    STILL_THERE = "still-there"  #: they are there, and doing it once more did not work or may not be done
    FAILED = "failed"  #: the service says that it will not; a person has to look
    UNANSWERED = "unanswered"  #: the service could not be asked; the next run does
    UNASKABLE = "unaskable"  #: nobody can ask any more


#: So many lost answers one after another, and a service is left alone for the rest of a run.
LOST_IN_A_ROW = 3
#: Of these a person has to know.
TROUBLE = frozenset({What.STILL_THERE, What.FAILED, What.UNASKABLE})


@dataclass(frozen=True, slots=True)
class Checked:
    """One receipt that was asked about. `overdue`: the service should have confirmed by now."""

    receipt: int
    user_id: int
    step: str
    service: str
    what: What
    text: str
    overdue: bool = False

    @property
    def troubles(self) -> bool:
        """Whether a person has to look."""
        return self.overdue or self.what in TROUBLE


async def confirm(site: Site, *, user_id: int | None = None, every: bool = False) -> AsyncIterator[Checked]:
    """Asks about every open receipt whose time has come; with `every` about all that are open.

    Raises `StateConflict` while another run asks, and `ServiceError` and `LedgerError` where nothing can be read;
    what concerns one receipt is `Checked`.
    """
    lease = await site.ledger.lease("verify", what="the verification")
    try:
        async for checked in _confirm(site, user_id=user_id, every=every):
            yield checked
            site.ledger.check(lease)
    finally:
        await site.ledger.release(lease)


async def _confirm(site: Site, *, user_id: int | None, every: bool) -> AsyncIterator[Checked]:
    now = site.ledger.now()
    receipts = [
        each
        for each in await site.ledger.receipts(user_id=user_id, open_only=True)
        if each.operation and (every or (each.next_check_at and each.next_check_at <= now))
    ]
    if not receipts:
        return
    found = await site.ledger.retirements({each.user_id for each in receipts})
    records = {(each.user_id, each.retirement_id): each for each in found}
    learners = await _learners(site, records)
    down = {each.service: "its breaker is open" for each in await site.ledger.breakers() if each.state == "open"}
    asking = _Asking(site, down)
    for receipt in receipts:
        whose = (receipt.user_id, receipt.retirement_id)
        outcome = records[whose].finished.get(receipt.step) if whose in records else None
        yield await asking.about(receipt, learners.get(whose), outcome)


def is_overdue(site: Site, receipt: Receipt) -> bool:
    """Whether the service should have confirmed by now; a receipt that nobody can ask about is."""
    _, follow_up = _who_knows(site, receipt)
    late = follow_up is None or site.ledger.now() > receipt.received_at + follow_up.overdue
    return receipt.confirmed_at is None and late


def _who_knows(site: Site, receipt: Receipt) -> tuple[Connector | None, FollowUp | None]:
    connector = site.connectors.get(receipt.service)
    declared = connector.declared(connector.settings).get(receipt.operation or "") if connector else None
    return (connector, declared.follow_up) if declared else (None, None)


async def _learners(site: Site, records: Mapping[_Whose, LearnerRecord]) -> dict[_Whose, Learner]:
    """Those of the retirements whose learners the LMS still knows."""
    states = [state for state in site.pipeline.lms_states if state not in (COMPLETE, ABORTED)]
    rows = await site.lms.queue(states, 0)
    if dates := [each.requested_at.date() for each in records.values()]:
        # Who was ever retired stays in COMPLETE until the archive takes them: only the days that matter.
        rows += await site.lms.by_date(COMPLETE, min(dates), max(dates))
    return {(row.user_id, row.retirement_id): row for row in rows}


class _Asking:
    """One run through the receipts. A service that cannot be asked is left alone for the rest of it.

    One receipt alone may meet what looks like that: it takes two that meet the same misconfiguration, or several
    lost answers in a row.
    """

    def __init__(self, site: Site, silent: dict[str, str]) -> None:
        self._site = site
        self._silent = silent
        self._lost: Counter[str] = Counter()
        self._met: Counter[tuple[str, str, int | None]] = Counter()

    def _unanswered(self, error: ServiceError) -> None:
        met = (error.service, error.request, error.status)
        if isinstance(error, Misconfigured):
            self._met[met] += 1
        elif isinstance(error, Transient):
            self._lost[error.service] += 1
        if self._met[met] >= 2 or self._lost[error.service] >= LOST_IN_A_ROW:
            self._silent[error.service] = str(error)

    async def about(self, receipt: Receipt, learner: Learner | None, outcome: str | None) -> Checked:
        connector, follow_up = _who_knows(self._site, receipt)
        if connector is None or follow_up is None:
            text = f"no step of the pipeline uses {receipt.service} {receipt.operation} any more"
            return _checked(receipt, What.UNASKABLE, f"{text}: `retirement confirm` takes a person's evidence")
        overdue = is_overdue(self._site, receipt)
        if connector.policy(receipt.operation or "").asks is None:
            text = f"a person has to do it: `retirement confirm --receipt {receipt.id}` takes the evidence"
            return _checked(receipt, What.ASKED, text, overdue)
        if receipt.service in self._silent:
            return _checked(receipt, What.UNANSWERED, self._silent[receipt.service], overdue)
        try:
            verdict = await connector.ask(receipt.operation or "", receipt.reference, learner)
        except ServiceError as error:
            self._unanswered(error)
            return _checked(receipt, What.UNANSWERED, str(error), overdue)
        except Exception as error:  # noqa: BLE001 - its text may name the learner, and the others go on
            return _checked(receipt, What.UNANSWERED, str(Defect.at(error)), overdue)
        self._lost.pop(receipt.service, None)
        return await self._heard(receipt, learner, outcome, connector, follow_up, verdict, overdue)

    async def _heard(
        self,
        receipt: Receipt,
        learner: Learner | None,
        outcome: str | None,
        connector: Connector,
        follow_up: FollowUp,
        verdict: Verdict,
        overdue: bool,
    ) -> Checked:
        now = self._site.ledger.now()
        if verdict is Verdict.GONE:
            return await self._gone(receipt, follow_up, now)
        if verdict is Verdict.PRESENT and _has_to_be_done_again(receipt, outcome, overdue=overdue):
            return await self._again(receipt, learner, connector, follow_up, overdue)
        what, text = What.WAITING, "the service works on it"
        if verdict is Verdict.FAILED:
            what, text = What.FAILED, "the service says that it will not do it: a person has to look there"
        await self._keep_open(receipt, verdict, now, follow_up)
        return _checked(receipt, what, text, overdue)

    async def _gone(self, receipt: Receipt, follow_up: FollowUp, now: datetime) -> Checked:
        gone = Verdict.GONE.value
        if receipt.confirmed_at is None and follow_up.again is not None:
            later = now + follow_up.again
            await self._site.ledger.receipt_checked(
                receipt.id, result=None, next_check_at=later, verdict=gone, confirmed=True
            )
            return _checked(receipt, What.GONE, f"confirmed; asked once more on {later:%Y-%m-%d}")
        await self._site.ledger.receipt_checked(receipt.id, result=CONFIRMED, verdict=gone, confirmed=True)
        return _checked(receipt, What.CONFIRMED, "confirmed")

    async def _keep_open(self, receipt: Receipt, verdict: Verdict, now: datetime, follow_up: FollowUp) -> None:
        await self._site.ledger.receipt_checked(
            receipt.id, result=None, next_check_at=now + follow_up.every, verdict=verdict.value
        )

    async def _again(
        self, receipt: Receipt, learner: Learner | None, connector: Connector, follow_up: FollowUp, overdue: bool
    ) -> Checked:
        """Does the operation once more, as evidence of its own, with a receipt of its own."""
        now = self._site.ledger.now()
        came_back = "they have come back" if receipt.confirmed_at else "they are still there"
        if learner is None:
            await self._keep_open(receipt, Verdict.PRESENT, now, follow_up)
            text = f"{came_back}, and the LMS has forgotten who they were: erase them by hand"
            return _checked(receipt, What.STILL_THERE, text, overdue=True)
        try:
            given = await _erase_again(self._site, learner, receipt, connector, follow_up)
        except LedgerError:
            raise
        except (StateConflict, LeaseLost) as error:
            return _checked(receipt, What.UNANSWERED, str(error), overdue)
        except RetirementError as error:
            await self._keep_open(receipt, Verdict.PRESENT, now, follow_up)
            return _checked(receipt, What.STILL_THERE, f"{came_back}, and once more did not work: {error}")
        if given is None or given.ask_after is None:
            # Somebody says that they are there, and the operation does not say that it has found them.
            await self._keep_open(receipt, Verdict.PRESENT, now, follow_up)
            text = f"{came_back}, and once more gave nothing to ask about: a person has to look"
            return _checked(receipt, What.STILL_THERE, text, overdue=True)
        await self._site.ledger.receipt_checked(receipt.id, result=RETURNED, verdict=Verdict.PRESENT.value)
        return _checked(receipt, What.ERASED_AGAIN, f"{came_back}; erased once more", overdue)


def _has_to_be_done_again(receipt: Receipt, outcome: str | None, *, overdue: bool) -> bool:
    """A service that accepted has time; one that had erased, or confirmed, has not; a person's work is theirs."""
    if outcome == Outcome.MANUAL.value:
        return False
    return receipt.confirmed_at is not None or overdue or outcome != Outcome.ACCEPTED.value


async def _erase_again(
    site: Site, learner: Learner, receipt: Receipt, connector: Connector, follow_up: FollowUp
) -> Given | None:
    """Journal, call, journal; what the service gave. Raises what keeps it from being done, a hold included."""
    operation = receipt.operation or ""
    tenure = await site.ledger.tenure(learner, due_at=site.due_at(learner), pipeline=None)
    permission.set(tenure.check)
    reason = f"a second erasure in {receipt.service} was tried"
    try:
        row = await site.lms.refresh(learner)
        if row is None or row.state in (PENDING, ABORTED):
            raise StateConflict(f"learner {learner.user_id} has no retirement under way any more")
        learner = row
        holds = [*tenure.holds, *await site.with_orgs(learner, tenure.org_holds)]
        if kept := next((hold for hold in holds if hold.service in (None, receipt.service)), None):
            raise Kept(kept.sentence, kept.service)
        if await tenure.intend(receipt.step, receipt.service, operation):
            # It has just answered our question, which is what a probe wants to know.
            await tenure.probed(receipt.service, answered=True, reason="it answered")
        try:
            erasure = await connector.perform(operation, learner)
        except RetirementError as error:
            await tenure.fail(receipt.step, receipt.service, error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a connector does, the others go on
            defect = Defect.at(error)
            await tenure.fail(receipt.step, receipt.service, defect)
            raise defect from None
        given = Given(erasure.receipt, follow_up.first) if erasure.receipt is not None else None
        await tenure.prove(receipt.step, erasure.outcome.value, given)
        reason = f"erased once more in {receipt.service}"
        return given
    finally:
        permission.set(None)
        await _give_back(tenure, learner, reason)


async def _give_back(tenure: Tenure, learner: Learner, reason: str) -> None:
    """Gives the learner back as they were: a retirement that had ended has still ended so."""
    if learner.state == COMPLETE:
        await tenure.end(Ending.RETIRED.value, reason, learner.state)
    else:
        ending, why = tenure.ended_before or (Ending.PARKED.value, reason)
        await tenure.end(ending, why, learner.state)


def _checked(receipt: Receipt, what: What, text: str, overdue: bool = False) -> Checked:
    return Checked(receipt.id, receipt.user_id, receipt.step, receipt.service, what, text, overdue)
