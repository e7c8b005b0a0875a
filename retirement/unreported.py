"""Looks after learners who were put into the partner queue and whom no claim has.

A claim whose answer was lost has flagged their rows, and flagged rows are handed out no more and listed nowhere
(contract, section 2.11). Deleting the row of one learner tells: the LMS does it for a flagged row only. Who had
one is put into the queue again, which takes a working state for a moment. The question is in the ledger, as an
open receipt, before it is asked: whoever died after it, or lost its answer, queues the learner again to be sure.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from retirement.errors import LeaseLost, LedgerError, Misconfigured, RetirementError, StateConflict
from retirement.learner import Learner
from retirement.ledger import GONE, NOTHING, PARTNER_REPORT, QUEUED_AGAIN, RETIRED, Claim, Tenure, Unreported
from retirement.pipeline import ABORTED, COMPLETE, DEAD_ENDS, ERRORED, Step
from retirement.proof import proved_state
from retirement.site import Site

#: The operation whose steps put learners into the queue.
PARTNER_QUEUE = "retirement_partner_queue"

#: What the LMS stores with the two forced moves.
QUEUED = "For a moment, to enter the partner queue again: the answer of a claim was lost."
BACK = "Back from the partner queue."

#: Entries that tell how a row came to where it is: our forced moves, and the steps that move it forward.
_MOVES = ("learner.moved", "step.intended", "steps.voided")


class Found(Protocol):
    """Where it is told what was found: user ids and numbers."""

    queued_again: list[int]
    nothing: int
    left: dict[int, str]


class Missing:
    """Whom claims lack. `stay` raises where the run may do nothing more."""

    def __init__(self, site: Site, found: Found, stay: Callable[[], None]) -> None:
        self._site = site
        self._found = found
        self._stay = stay
        self._step = next((step for step in site.pipeline if step.operation == PARTNER_QUEUE), None)

    async def look_after(self, claim: Claim) -> bool:
        """Asks for everybody whom this claim, whose answer arrived, had to have; whether anybody was queued again.

        Raises `ServiceError` and `LedgerError`; whoever was not looked after by then is by the next run.
        """
        before = len(self._found.queued_again)
        waiting = await self._site.ledger.unreported(PARTNER_QUEUE)
        due = {each.user_id: each for each in waiting if each.asked or each.queued_at <= claim.began_at}
        rows = await _rows(self._site, due)
        groups: defaultdict[str, list[tuple[Unreported, Learner]]] = defaultdict(list)
        for user_id, person in due.items():
            row = rows.get(user_id)
            if row is None or row.retirement_id != person.retirement_id:
                await self._settle(person, GONE)
                self._leave(user_id, "the LMS has no retirement of them any more; nobody can be told of them")
            elif row.state in (ERRORED, ABORTED):
                self._leave(user_id, f"the learner is {row.state}; asked again when they are back")
            else:
                groups[row.username.casefold()].append((person, row))
        for group in groups.values():
            await self._look_after_namesakes(group)
        return len(self._found.queued_again) > before

    async def _look_after_namesakes(self, group: list[tuple[Unreported, Learner]]) -> None:
        """One learner, or several whose names differ in letter case: the LMS may delete the rows of all of them."""
        doubtful = any(person.asked for person, _ in group)
        asked = [(person, row, person.asked or await _ask(self._site, person)) for person, row in group]
        for _, row in group:
            self._stay()
            doubtful = await self._site.lms.forget_one(row.username) or doubtful
        for person, row, receipt in asked:
            if not doubtful:
                await self._site.ledger.receipt_checked(receipt, result=NOTHING)
                self._found.nothing += 1
            elif await self._queued_again(row):
                await self._site.ledger.receipt_checked(receipt, result=QUEUED_AGAIN)
                self._found.queued_again.append(person.user_id)
                self._found.left.pop(person.user_id, None)

    async def _queued_again(self, row: Learner) -> bool:
        """Puts one learner into the queue again, under their lease; False where that has to wait."""
        if self._step is None:
            return self._leave(row.user_id, "the pipeline has no step that puts anybody into the partner queue")
        ledger = self._site.ledger
        record = await ledger.record(row.user_id)
        self._stay()
        try:
            tenure = await ledger.tenure(row, due_at=self._site.due_at(row), pipeline=None)
        except StateConflict as error:
            return self._leave(row.user_id, str(error))
        state = row.state
        try:
            state = await self._enter(row, tenure, self._step, record.state if record else None)
            return True
        except RetirementError as error:
            if isinstance(error, (Misconfigured, LedgerError, LeaseLost)):
                raise
            return self._leave(row.user_id, str(error))
        finally:
            # This was no retirement, so what the ledger says of the last one stays.
            ending, reason = (record.ending, record.reason) if record and record.ending else (None, None)
            ending = RETIRED if state == COMPLETE else ending or "closed"
            await tenure.end(ending, reason or "", state)

    async def _enter(self, learner: Learner, tenure: Tenure, step: Step, last: str | None) -> str:
        """The step's call once more, in a working state; back to where the row was, which is returned."""
        row = await self._site.lms.refresh(learner)
        if row is None or row.state in (ERRORED, ABORTED):
            where = "gone" if row is None else row.state
            raise StateConflict(f"learner {learner.user_id} is {where} by now")
        home = await self._home(row, tenure, step, last)
        try:
            if row.state not in self._site.pipeline.working_states:
                await self._move(row, tenure, row.state, step.start, QUEUED)
            tenure.check()
            await self._site.connectors[step.service].perform(step.operation, row)
        finally:
            if home not in self._site.pipeline.working_states:
                await self._move(row, tenure, step.start, home, BACK)
        return home

    async def _home(self, row: Learner, tenure: Tenure, step: Step, last: str | None) -> str:
        """Where the row belongs afterwards: where it is, but for a run of ours that died in between."""
        if row.state != step.start:
            return row.state
        if home := await home_of(self._site, row):
            return home
        return proved_state(self._site.pipeline, row.state, tenure.finished, last) or row.state

    async def _move(self, row: Learner, tenure: Tenure, before: str, after: str, text: str) -> None:
        await tenure.moved(before, after, text)
        tenure.check()
        await self._site.lms.move(row, after, text, since=before, force=True)

    async def _settle(self, person: Unreported, result: str) -> None:
        receipt = person.asked or await _ask(self._site, person)
        await self._site.ledger.receipt_checked(receipt, result=result)

    def _leave(self, user_id: int, why: str) -> bool:
        self._found.left[user_id] = why
        return False


async def home_of(site: Site, row: Learner) -> str | None:
    """Where a row belongs that stands in a working state only to enter the queue again; None for every other row.

    The last of our moves that was made took it there, no step has begun since, and the LMS says that it came
    from where that move began. A restored backup fails the last: its row came there on the way forward.
    """
    if row.last_state != COMPLETE and row.last_state not in site.pipeline.queue_states:
        return None
    for event in await site.ledger.trail(row.user_id, row.retirement_id, _MOVES):
        if event.kind == "learner.moved" and event.facts["before"] == row.state:
            continue  # a move from where the row still is was never made
        facts = {"before": row.last_state, "after": row.state, "reason": QUEUED}
        if event.kind == "learner.moved" and facts.items() <= event.facts.items():
            return row.last_state
        break
    start = next((step.start for step in site.pipeline if step.operation == PARTNER_QUEUE), None)
    if row.state != start or row.last_state != COMPLETE:
        return None
    record = await site.ledger.record(row.user_id)
    if record is None or record.retirement_id != row.retirement_id or record.retired_at is None:
        return None
    return COMPLETE if all(step.name in record.finished for step in site.pipeline) else None


async def mind_twins(site: Site, usernames: Iterable[str]) -> None:
    """Enters the question for namesakes of these, before the LMS deletes their rows: it may ignore letter case.

    Contract, section 1.6. The next look at them then queues them again, whatever the LMS has of them.
    """
    waiting = {each.user_id: each for each in await site.ledger.unreported(PARTNER_QUEUE) if not each.asked}
    names = {username.casefold() for username in usernames}
    for learner in (await _rows(site, waiting)).values():
        if learner.username.casefold() in names:
            await _ask(site, waiting[learner.user_id])


async def _ask(site: Site, person: Unreported) -> int:
    return await site.ledger.add_receipt(
        user_id=person.user_id,
        retirement_id=person.retirement_id,
        step=person.step,
        service="LMS",
        reference=PARTNER_REPORT,
    )


async def _rows(site: Site, user_ids: Collection[int]) -> dict[int, Learner]:
    """The rows of these learners. No endpoint finds rows by id; the dead ends are listed only if need be."""
    found: dict[int, Learner] = {}
    alive = [state for state in site.pipeline.lms_states if state not in DEAD_ENDS]
    for states in (alive, list(DEAD_ENDS)):
        if len(found) < len(user_ids):
            found |= {each.user_id: each for each in await site.lms.queue(states, 0) if each.user_id in user_ids}
    return found
