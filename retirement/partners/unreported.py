"""Queues learners again who were put into the partner queue and are missing from every claim.

A claim whose answer was lost has flagged their rows, and flagged rows are handed out no more and listed nowhere
(contract, section 2.11). To delete the row of one learner tells: the LMS does it for a flagged row only. A learner
who had one is put into the queue again, which takes a working state for a moment. The question is in the ledger, as
an open receipt, before it is asked: a run that finds it open does not know the answer, and queues the learner again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from retirement.errors import LeaseLost, RetirementError, RunAfter, StateConflict
from retirement.learner import Learner
from retirement.ledger import (
    GONE,
    NOTHING,
    PARTNER_REPORT,
    QUEUED_AGAIN,
    RETIRED,
    Claim,
    LearnerLease,
    LearnerRecord,
    Unreported,
)
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, Step
from retirement.pipeline.proof import proved_state
from retirement.site import Site
from retirement.site.partner_visit import PARTNER_QUEUE, QUEUED, home_of
from retirement.site.watch import locate_all

#: What the LMS stores with the forced move back; the one before it stores `QUEUED`.
BACK = "Back from the partner queue."


class Results(Protocol):
    """Where the results go: user ids and numbers."""

    queued_again: list[int]
    never_queued: list[int]
    left: dict[int, str]


class UnreportedLearners:
    """The learners that are missing from claims. `ensure_allowed` raises where the run may do nothing more."""

    def __init__(self, site: Site, results: Results, ensure_allowed: Callable[[], None]) -> None:
        self._site = site
        self._results = results
        self._ensure_allowed = ensure_allowed
        self._step = next((step for step in site.pipeline if step.operation == PARTNER_QUEUE), None)

    async def queue_again(self, claim: Claim) -> bool:
        """Asks for each learner that this claim, whose answer arrived, had to have; True where one was queued again.

        Raises `ServiceError` and `LedgerError`; the next run asks for the learners that are left by then.
        """
        before = len(self._results.queued_again)
        due = await self._due(claim)
        rows = await locate_all(self._site, due)
        groups: defaultdict[str, list[tuple[Unreported, Learner]]] = defaultdict(list)
        for user_id, unreported in due.items():
            row = rows.get(user_id)
            if row is None or row.retirement_id != unreported.retirement_id:
                await self._settle(unreported, GONE)
                self._leave(user_id, "the LMS has no retirement of this learner any more; no report can be made")
            elif row.state in (ERRORED, ABORTED):
                self._leave(user_id, f"the learner is {row.state}; asked again when they are back")
            else:
                groups[row.username.casefold()].append((unreported, row))
        for group in groups.values():
            await self._ask_lms(group)
        return len(self._results.queued_again) > before

    async def _due(self, claim: Claim) -> dict[int, Unreported]:
        """The learners that the claim had to have, and those whose question is open, by user id."""
        waiting = await self._site.ledger.claims.unreported(PARTNER_QUEUE)
        return {each.user_id: each for each in waiting if each.asked or each.queued_at <= claim.began_at}

    async def _ask_lms(self, group: list[tuple[Unreported, Learner]]) -> None:
        """One learner, or several whose names differ in letter case: the LMS may delete the rows of all of them."""
        receipts = [(await _receipt_of(self._site, unreported), row) for unreported, row in group]
        were_flagged = [await self._was_flagged(row) for _, row in receipts]
        if any([*were_flagged, *(unreported.asked for unreported, _ in group)]):
            for receipt, row in receipts:
                await self._enter_again(receipt, row)
        else:
            await self._settle_as_nothing(receipts)

    async def _was_flagged(self, row: Learner) -> bool:
        """Whether a claim had handed out the learner's row, which is deleted by the question."""
        self._ensure_allowed()
        return await self._site.lms.partner_queue.delete_one(row.username)

    async def _settle_as_nothing(self, receipts: Sequence[tuple[int, Learner]]) -> None:
        for receipt, row in receipts:
            await self._site.ledger.receipts.checked(receipt, result=NOTHING)
            self._results.never_queued.append(row.user_id)

    async def _enter_again(self, receipt: int, row: Learner) -> None:
        """Puts one learner into the queue again and settles the question, unless that has to wait."""
        if self._step is None:
            self._leave(row.user_id, "the pipeline has no step that puts learners into the partner queue")
        elif await self._visit(row, self._step):
            await self._site.ledger.receipts.checked(receipt, result=QUEUED_AGAIN)
            self._results.queued_again.append(row.user_id)
            self._results.left.pop(row.user_id, None)

    async def _visit(self, row: Learner, step: Step) -> bool:
        """The step's call once more, under the learner's lease; False where that has to wait."""
        ledger = self._site.ledger
        record = await ledger.learners.newest(row.user_id)
        self._ensure_allowed()
        try:
            lease = await ledger.learners.lease(row, due_at=self._site.due_at(row), pipeline=None)
        except StateConflict as error:
            return self._leave(row.user_id, str(error))
        state = row.state
        try:
            state = await self._enter(row, lease, step, record)
            return True
        except LeaseLost:
            raise
        except RetirementError as error:
            if error.consequence.run is not RunAfter.GOES_ON:
                raise
            return self._leave(row.user_id, str(error))
        finally:
            await _end(lease, state, record)

    async def _enter(self, learner: Learner, lease: LearnerLease, step: Step, record: LearnerRecord | None) -> str:
        """The step's call once more, in a working state; back to where the row was, which is returned."""
        row = await self._site.lms.rows.refresh(learner)
        if row is None or row.state in (ERRORED, ABORTED):
            where = "gone" if row is None else row.state
            raise StateConflict(f"learner {learner.user_id} is {where} by now")
        home = await self._home(row, lease, step, record)
        try:
            if row.state not in self._site.pipeline.working_states:
                await self._move(row, lease, row.state, step.start, QUEUED)
            lease.check()
            await self._site.connectors[step.service].perform(step.operation, row)
        finally:
            if home not in self._site.pipeline.working_states:
                await self._move(row, lease, step.start, home, BACK)
        return home

    async def _home(self, row: Learner, lease: LearnerLease, step: Step, record: LearnerRecord | None) -> str:
        """Where the row belongs afterwards: where it is, but for a run of ours that died in between."""
        if row.state != step.start:
            return row.state
        if home := await home_of(self._site, row):
            return home
        last = record.state if record else None
        return proved_state(self._site.pipeline, row.state, lease.finished, last) or row.state

    async def _move(self, row: Learner, lease: LearnerLease, before: str, after: str, text: str) -> None:
        await lease.moved(before, after, text)
        lease.check()
        await self._site.lms.rows.move(row, after, text, since=before, force=True)

    async def _settle(self, unreported: Unreported, result: str) -> None:
        receipt = await _receipt_of(self._site, unreported)
        await self._site.ledger.receipts.checked(receipt, result=result)

    def _leave(self, user_id: int, why: str) -> bool:
        self._results.left[user_id] = why
        return False


async def note_namesakes(site: Site, usernames: Iterable[str]) -> None:
    """Enters the question for learners with one of these names, before the LMS deletes rows: it may ignore letter case.

    Contract, section 1.6. The next look at them then queues them again, whatever the LMS has of them.
    """
    waiting = {each.user_id: each for each in await site.ledger.claims.unreported(PARTNER_QUEUE) if not each.asked}
    names = {username.casefold() for username in usernames}
    for learner in (await locate_all(site, waiting)).values():
        if learner.username.casefold() in names:
            await _receipt_of(site, waiting[learner.user_id])


async def _receipt_of(site: Site, unreported: Unreported) -> int:
    """The open receipt of the question for a learner, which is entered where there is none."""
    return unreported.asked or await site.ledger.receipts.add(
        user_id=unreported.user_id,
        retirement_id=unreported.retirement_id,
        step=unreported.step,
        service="LMS",
        reference=PARTNER_REPORT,
    )


async def _end(lease: LearnerLease, state: str, record: LearnerRecord | None) -> None:
    """Gives a learner back. This was no retirement, so what the ledger says of the last one stays."""
    ending, reason = (record.ending, record.reason) if record and record.ending else ("closed", "")
    await lease.end(RETIRED if state == COMPLETE else ending, reason or "", state)
