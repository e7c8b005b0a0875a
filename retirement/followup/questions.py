"""The open receipts as questions to their services, and what asking about one came to."""

from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum

from retirement.connectors import Connector, FollowUp, Outcome
from retirement.learner import Learner
from retirement.ledger import LearnerRecord, Receipt
from retirement.pipeline import COMPLETE
from retirement.process import counted, in_parts
from retirement.site import Site
from retirement.site.watch import watch

#: User id and retirement id: a learner and one retirement of theirs.
_Retirement = tuple[int, int]
#: Receipts that are read at once.
AT_ONCE = 500


class CheckResult(StrEnum):
    """What asking about one receipt came to."""

    CONFIRMED = "confirmed"  #: done with
    GONE = "gone"  #: confirmed; it is asked once more later
    WAITING = "waiting"  #: the service works on it
    ASKED = "asked"  #: a person has to do it, and has not said so
    ERASED_AGAIN = "erased-again"  #: they were there, and the operation has been done once more
    ANOTHER = "another"  #: another record has their name or address since: a person has to look
    STILL_THERE = "still-there"  #: they are there, and doing it once more did not work or may not be done
    FAILED = "failed"  #: the service says that it will not; a person has to look
    UNANSWERED = "unanswered"  #: the service could not be asked; the next run does
    UNASKABLE = "unaskable"  #: no step asks about it any more


#: Of these a person has to know.
TROUBLE = frozenset({CheckResult.ANOTHER, CheckResult.STILL_THERE, CheckResult.FAILED, CheckResult.UNASKABLE})


@dataclass(frozen=True, slots=True)
class Checked:
    """One receipt that was asked about. `overdue`: the service should have confirmed by now."""

    receipt: int
    user_id: int
    step: str
    service: str
    what: CheckResult
    text: str
    overdue: bool = False

    @property
    def troubles(self) -> bool:
        """Whether a person has to look."""
        return self.overdue or self.what in TROUBLE


@dataclass(frozen=True, slots=True)
class Question:
    """An open receipt, and what asking about it takes. `learner` None: the LMS has deleted who it was."""

    receipt: Receipt
    operation: str
    connector: Connector
    follow_up: FollowUp
    learner: Learner | None
    outcome: str | None  #: of the step that gave the receipt
    overdue: bool

    @property
    def came_back(self) -> str:
        """What it means that the learner is there."""
        return "they have come back" if self.receipt.confirmed_at else "they are still there"

    @property
    def has_to_be_done_again(self) -> bool:
        """A service that accepted has time; one that had erased, or confirmed, has not; a person's work is theirs."""
        if self.outcome == Outcome.MANUAL.value:
            return False
        return self.receipt.confirmed_at is not None or self.overdue or self.outcome != Outcome.ACCEPTED.value

    def answered(self, what: CheckResult, text: str, *, overdue: bool | None = None) -> Checked:
        """What came of it; `overdue` where that is not what it was before it was asked."""
        return _checked(self.receipt, what, text, self.overdue if overdue is None else overdue)


async def questions(site: Site, *, user_id: int | None, every: bool) -> AsyncGenerator[Question | Checked, None]:
    """Every receipt to ask about, and those that no step can ask about any more.

    They are read some hundred at a time, as they are asked for: one that is settled by then is left out.
    """
    due = await site.ledger.receipts.due(user_id=user_id, by=None if every else site.ledger.now())
    if not due:
        return
    learners = await _learners(site, {(each.user_id, each.retirement_id) for each in due})
    with counted("receipts that were asked about", len(due)) as count:
        for part in in_parts(due, AT_ONCE):
            found = await site.ledger.learners.retirements({each.user_id for each in part})
            records = {(each.user_id, each.retirement_id): each for each in found}
            for receipt in await site.ledger.receipts.still_open([each.id for each in part]):
                yield _question(site, receipt, records, learners)
                count.done += 1


def _question(
    site: Site, receipt: Receipt, records: Mapping[_Retirement, LearnerRecord], learners: Mapping[_Retirement, Learner]
) -> Question | Checked:
    connector, follow_up = _who_knows(site, receipt)
    operation = receipt.operation or ""
    if connector is None or follow_up is None:
        text = f"no step of the pipeline uses {receipt.service} {operation} any more"
        text = f"{text}: `retirement confirm` takes a person's evidence"
        return _checked(receipt, CheckResult.UNASKABLE, text, overdue=False)
    key = (receipt.user_id, receipt.retirement_id)
    outcome = records[key].finished.get(receipt.step) if key in records else None
    overdue = is_overdue(site, receipt)
    return Question(receipt, operation, connector, follow_up, learners.get(key), outcome, overdue)


def is_overdue(site: Site, receipt: Receipt) -> bool:
    """Whether the service should have confirmed by now; a receipt that no step can ask about is."""
    _, follow_up = _who_knows(site, receipt)
    late = follow_up is None or site.ledger.now() > receipt.received_at + follow_up.overdue
    return receipt.confirmed_at is None and late


def _who_knows(site: Site, receipt: Receipt) -> tuple[Connector | None, FollowUp | None]:
    connector = site.connectors.get(receipt.service)
    declared = connector.declared(connector.settings).get(receipt.operation or "") if connector else None
    return (connector, declared.follow_up) if declared else (None, None)


async def _learners(site: Site, wanted: Collection[_Retirement]) -> dict[_Retirement, Learner]:
    """Those of the retirements whose learners the LMS still knows."""
    watched = (await watch(site)).learners
    rows = {key: row for row in watched if (key := (row.user_id, row.retirement_id)) in wanted}
    asked = await site.ledger.learners.requested_at({user_id for user_id, _ in wanted})
    if dates := [at.astimezone(UTC).date() for key, at in asked.items() if key in wanted]:
        # A retired learner stays in COMPLETE until the cleanup deletes the row: only the days that matter.
        async for page in site.lms.rows.by_days(COMPLETE, min(dates), max(dates)):
            rows |= {key: row for row in page.learners if (key := (row.user_id, row.retirement_id)) in wanted}
    return rows


def _checked(receipt: Receipt, what: CheckResult, text: str, overdue: bool) -> Checked:
    return Checked(receipt.id, receipt.user_id, receipt.step, receipt.service, what, text, overdue)
