"""The lease of a learner: the right to work on one learner, and the evidence of that work.

Every entry is fenced: it is made in the transaction that finds the lease still ours, so a run that was
overtaken cannot write. An attempt is one row: the intent before the call, its outcome or error after it.
"""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from retirement.errors import BreakerOpen, Kept, RetirementError
from retirement.learner import Learner
from retirement.ledger import breakers
from retirement.ledger.access import Access
from retirement.ledger.holds import active_holds
from retirement.ledger.leases import Leases, give_back, is_ours, require_ours
from retirement.ledger.receipts import Given
from retirement.ledger.runs import Began, End, attempts_of, ended_with
from retirement.ledger.setbacks import setbacks_of
from retirement.ledger.tables import Attempt, LearnerRecord, Receipt
from retirement.ledger.transaction import Change, Changed, New, Transaction


class LearnerLease:
    """The right to work on one learner until `end`, or until the lease is lost.

    `finished` has the proved outcomes of earlier runs of this retirement.
    """

    def __init__(self, access: Access, leases: Leases, learner: Learner, began: Began) -> None:
        self.user_id = learner.user_id
        self.retirement_id = learner.retirement_id
        self.lease = began.lease
        self.finished = began.finished
        self.calls = began.calls  #: service and operation that each of those was proved of
        self.holds = tuple(hold for hold in began.holds if hold.user_id == self.user_id)
        #: Those on organisations: the caller knows who belongs to one.
        self.org_holds = tuple(hold for hold in began.holds if hold.org is not None)
        #: Whether the LMS row stands where steps of another pipeline have brought it.
        self.of_another_pipeline = began.of_another_pipeline
        #: How the run before ended, and why; None where there was none, or it has died.
        self.ended_before = began.ended_before
        self.tried = began.tried  #: what of this retirement has been called, unless it has ended retired
        #: When the LMS row had last changed before the run that first proved a step, by the LMS' clock.
        self.row_before = began.row_before
        self._was_retired = began.was_retired
        self._access = access
        self._leases = leases
        self._open: dict[str, Attempt] = {}  #: the attempts that this run has begun, by their steps
        self._probing: dict[str, str | None] = {}

    def check(self) -> None:
        """Raises `LeaseLost` when the learner may be with another run by now. Reads no database."""
        self._leases.check(self.lease)

    async def intend(self, step: str, service: str, operation: str) -> bool:
        """Enters that the step is about to be called; durable when this returns.

        True: the service was down and this caller has to probe it first, then say `probed`. Raises `BreakerOpen`
        and enters nothing while the service is known to be down; `Kept` where a hold was placed meanwhile;
        `LeaseLost`; `LedgerError`.
        """

        def intend(tx: Transaction) -> tuple[Attempt, bool]:
            self._fence(tx)
            for hold in active_holds(tx):
                if hold.user_id == self.user_id and hold.service in (None, service):
                    raise Kept(hold.sentence, hold.service)
            probe = breakers.admit(tx, service, operation, self._access.patience)
            row = self._attempt(tx, step, service, operation)
            self._enter(tx, "step.intended", New(row), step=step)
            return row, probe

        self._open[step], probe = await self._access.write(intend)
        if probe:
            self._probing[service] = step
        return probe

    async def admit(self, service: str, request: str) -> bool:
        """Whether a service may be asked something that is no step; as `intend`, without an entry.

        True: it was down, this question is the probe, and its answer goes to `probed`. Raises `BreakerOpen`.
        """
        probe = await self._access.write(lambda tx: breakers.admit(tx, service, request, self._access.patience))
        if probe:
            self._probing[service] = None
        return probe

    async def prove(self, step: str, outcome: str, given: Given | None = None) -> None:
        """Enters the outcome of a step, called by this run or found out about an earlier one. Raises `LeaseLost`.

        `given` is what the service is asked about later; it is kept with the outcome or not at all.
        """

        def prove(tx: Transaction) -> None:
            self._fence(tx)
            change, attempt = self._ended(tx, step, outcome=outcome)
            changes: list[Change] = [change]
            if given:
                changes.append(New(_receipt(tx, attempt, given)))
            self._enter(tx, "step.proved", *changes, step=step, outcome=outcome)
            if attempt.service:
                breakers.succeeded(tx, attempt.service)

        await self._access.write(prove)
        self._open.pop(step, None)
        self.finished = self.finished | {step: outcome}

    async def fail(self, step: str | None, service: str, error: RetirementError) -> None:
        """Enters that a step failed, and with what; None where nothing but a question to the service did.

        A `Transient` counts towards the service's breaker. Raises `LeaseLost`.
        """
        kind, reason = type(error).__name__, str(error)

        def fail(tx: Transaction) -> None:
            self._fence(tx)
            known = step is not None and step in self._open
            changes = [self._ended(tx, step, error=kind, reason=reason)[0]] if step and known else []
            self._enter(tx, "step.failed", *changes, step=step, service=service, error=kind, reason=reason)
            if error.consequence.trips_breaker:
                earlier = self._earlier(tx, service)
                breakers.failed(tx, service, self.user_id, reason, self._access.patience, earlier=earlier)

        await self._access.write(fail)
        if step is not None:
            self._open.pop(step, None)

    async def probed(self, service: str, *, answered: bool, reason: str) -> None:
        """Enters what the probe that `intend` asked for came to: the breaker closes, or waits twice as long.

        Where the service did not answer, the intent is withdrawn: the step was not called.
        """
        step = self._probing.get(service)

        def probed(tx: Transaction) -> None:
            breakers.probed(tx, service, answered, reason, self._access.patience)
            if not answered and step is not None and step in self._open:
                self._fence(tx)
                change, _ = self._ended(tx, step, error=BreakerOpen.__name__, reason=reason)
                self._enter(tx, "step.withdrawn", change, step=step)

        await self._access.write(probed)
        self._probing.pop(service, None)
        if step is not None and not answered:
            self._open.pop(step, None)

    async def void(self, steps: Iterable[str], reason: str) -> None:
        """Enters that proved steps have to be done again, since the LMS row was moved back. Raises `LeaseLost`."""
        names = sorted(set(steps))

        def void(tx: Transaction) -> None:
            self._fence(tx)
            rows = [row for row in self._attempts(tx) if row.is_proved and row.step in names]
            changes = [Changed(replace(row, voided_at=tx.now, void_reason=reason)) for row in rows]
            self._enter(tx, "steps.voided", *changes, steps=names, reason=reason)

        await self._access.write(void)
        self.finished = {step: outcome for step, outcome in self.finished.items() if step not in names}

    async def reopen(self, state: str) -> None:
        """Enters that a retirement which had ended retired is open again, since the LMS row is back in `state`.

        From here on every step needs its proof once more before the learner counts as retired. Raises `LeaseLost`.
        """
        if not self._was_retired:
            return

        def reopen(tx: Transaction) -> None:
            self._fence(tx)
            if row := tx.row(LearnerRecord, self.user_id, self.retirement_id):
                self._enter(tx, "learner.reopened", Changed(replace(row, retired_at=None)), state=state)

        await self._access.write(reopen)
        self._was_retired = False

    async def moved(self, before: str, after: str, reason: str) -> None:
        """Enters that the LMS row is about to be moved by force. Raises `LeaseLost`."""

        def moved(tx: Transaction) -> None:
            self._fence(tx)
            self._enter(tx, "learner.moved", before=before, after=after, reason=reason)

        await self._access.write(moved)

    async def end(self, ending: str, reason: str, state: str) -> None:
        """Enters how the run ended, and gives the learner back; `state` is that of the LMS.

        Where the lease is lost nothing is changed, since another run has the learner. Raises `LedgerError`.
        """

        def end(tx: Transaction) -> None:
            row = tx.row(LearnerRecord, self.user_id, self.retirement_id)
            if row is None or not is_ours(tx, self.lease):
                return
            told = End(ending, reason, state)
            self._enter(tx, "run.ended", ended_with(tx, row, told), **asdict(told))
            give_back(tx, self.lease)

        try:
            await self._access.write(end)
        finally:
            self._leases.drop(self.lease)

    def _fence(self, tx: Transaction) -> None:
        require_ours(tx, self.lease)

    def _enter(self, tx: Transaction, kind: str, *changes: Change, **facts: Any) -> None:
        facts |= {"retirement": self.retirement_id, "fence": self.lease.fence}
        tx.enter(kind, *changes, user_id=self.user_id, facts=facts)

    def _earlier(self, tx: Transaction, service: str) -> list[datetime]:
        """When runs before this one failed at a service."""
        found = setbacks_of(tx, self.user_id, self.retirement_id)
        return [each.at for each in found if each.service == service and each.fence < self.lease.fence]

    def _attempts(self, tx: Transaction) -> list[Attempt]:
        return attempts_of(tx, self.user_id, self.retirement_id)

    def _attempt(self, tx: Transaction, step: str, service: str, operation: str) -> Attempt:
        return Attempt(
            id=tx.next_id,
            user_id=self.user_id,
            retirement_id=self.retirement_id,
            step=step,
            service=service,
            operation=operation,
            fence=self.lease.fence,
            began_at=tx.now,
        )

    def _ended(
        self,
        tx: Transaction,
        step: str,
        *,
        outcome: str | None = None,
        error: str | None = None,
        reason: str | None = None,
    ) -> tuple[New | Changed, Attempt]:
        """The attempt of a step with its end: the one that this run began, else the last that an earlier one did."""
        began = self._open.get(step) or self._last_open(tx, step)
        row = replace(began or self._attempt(tx, step, "", ""), ended_at=tx.now)
        row = replace(row, outcome=outcome) if outcome else replace(row, error=error, reason=reason)
        return (Changed(row) if began else New(row)), row

    def _last_open(self, tx: Transaction, step: str) -> Attempt | None:
        found = [row for row in self._attempts(tx) if row.step == step]
        return found[-1] if found and not found[-1].ended_at else None


def _receipt(tx: Transaction, attempt: Attempt, given: Given) -> Receipt:
    return Receipt(
        id=tx.next_id,
        user_id=attempt.user_id,
        retirement_id=attempt.retirement_id,
        step=attempt.step,
        service=attempt.service,
        operation=attempt.operation,
        reference=given.reference,
        received_at=tx.now,
        next_check_at=None if given.ask_after is None else tx.now + given.ask_after,
    )
