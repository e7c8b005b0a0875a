"""A tenure: the right to work on one learner, and the evidence of that work.

Every entry is fenced: it is made in the transaction that finds the lease still ours, so a run that was
overtaken cannot write. An attempt is one row: the intent before the call, its outcome or error after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from retirement.errors import BreakerOpen, Busy, Kept, LedgerError, RetirementError, Transient
from retirement.learner import Learner
from retirement.ledger import breakers, chain, tables
from retirement.ledger.book import Book, Change, Changed, New
from retirement.ledger.holds import Hold, active_holds
from retirement.ledger.leases import Lease, Leases, give_back, is_live, is_ours, learner_scope, require_ours, take
from retirement.ledger.receipts import Given, receipt_row

#: The ending that makes a learner count as retired.
RETIRED = "retired"

_attempts = tables.attempt


@dataclass(frozen=True, slots=True)
class _Began:
    lease: Lease
    finished: dict[str, str]
    begun: frozenset[str]
    holds: list[Hold]
    of_another_pipeline: bool
    ended_before: tuple[str, str] | None


class Tenure:
    """The right to work on one learner until `end`, or until the lease is lost.

    `finished` has the proved outcomes of earlier runs of this retirement. `begun` are steps whose intent is all
    there is: an earlier run died in them, and the service may or may not have done the work.
    """

    def __init__(self, ledger: Leases, learner: Learner, began: _Began) -> None:
        self.user_id = learner.user_id
        self.retirement_id = learner.retirement_id
        self.lease = began.lease
        self.finished = began.finished
        self.begun = began.begun
        self.holds = tuple(hold for hold in began.holds if hold.user_id == self.user_id)
        #: Those on organisations: the caller knows who belongs to one.
        self.org_holds = tuple(hold for hold in began.holds if hold.org is not None)
        #: Whether the last run that proved anything had other steps than this one.
        self.of_another_pipeline = began.of_another_pipeline
        #: How the run before ended, and why; None where there was none, or it has died.
        self.ended_before = began.ended_before
        self._ledger = ledger
        self._open: dict[str, int] = {}
        self._probing: dict[str, str | None] = {}

    def check(self) -> None:
        """Raises `LeaseLost` when the learner may be somebody else's by now. Asks nobody."""
        self._ledger.check(self.lease)

    async def intend(self, step: str, service: str, operation: str) -> bool:
        """Enters that the step is about to be called; durable when this returns.

        True: the service was down and this caller has to probe it first, then say `probed`. Raises `BreakerOpen`
        and enters nothing while the service is known to be down; `Kept` where a hold was placed meanwhile;
        `LeaseLost`; `LedgerError`.
        """

        def intend(book: Book) -> tuple[int, bool]:
            self._fence(book)
            for hold in active_holds(book):
                if hold.user_id == self.user_id and hold.service in (None, service):
                    raise Kept(hold.sentence, hold.service)
            probe = breakers.admit(book, service, operation, self._ledger.patience)
            row = self._attempt(book, step) | {"service": service, "operation": operation}
            self._enter(book, "step.intended", New(_attempts, row), step=step)
            return row["id"], probe

        self._open[step], probe = await self._ledger.write(intend)
        if probe:
            self._probing[service] = step
        return probe

    async def admit(self, service: str, request: str) -> bool:
        """Whether a service may be asked something that is no step; as `intend`, without an entry.

        True: it was down, this question is the probe, and its answer goes to `probed`. Raises `BreakerOpen`.
        """
        probe = await self._ledger.write(lambda book: breakers.admit(book, service, request, self._ledger.patience))
        if probe:
            self._probing[service] = None
        return probe

    async def prove(self, step: str, outcome: str, given: Given | None = None) -> None:
        """Enters the outcome of a step, called by this run or found out about an earlier one. Raises `LeaseLost`.

        `given` is what the service is asked about later; it is kept with the outcome or not at all.
        """

        def prove(book: Book) -> None:
            self._fence(book)
            change = self._ended(book, step, {"outcome": outcome})
            changes: list[Change] = [change]
            if given:
                about = {name: change.row[name] for name in ("user_id", "retirement_id", "step", "service")}
                ask_at = None if given.ask_after is None else book.now + given.ask_after
                about["operation"] = change.row["operation"]
                changes.append(New(tables.receipt, receipt_row(book, about, given.reference, ask_at)))
            self._enter(book, "step.proved", *changes, step=step, outcome=outcome)
            if service := change.row["service"]:
                breakers.succeeded(book, service)

        await self._ledger.write(prove)
        self._open.pop(step, None)
        self.finished = self.finished | {step: outcome}

    async def fail(self, step: str | None, service: str, error: RetirementError) -> None:
        """Enters that a step failed, and with what; None where nothing but a question to the service did.

        A `Transient` counts towards the service's breaker. Raises `LeaseLost`.
        """
        kind, reason = type(error).__name__, str(error)

        def fail(book: Book) -> None:
            self._fence(book)
            known = step is not None and step in self._open
            changes = [self._ended(book, step, {"error": kind, "reason": reason})] if step and known else []
            self._enter(book, "step.failed", *changes, step=step, service=service, error=kind, reason=reason)
            if isinstance(error, Transient) and not isinstance(error, (BreakerOpen, Busy)):
                breakers.failed(book, service, self.user_id, reason, self._ledger.patience)

        await self._ledger.write(fail)
        if step is not None:
            self._open.pop(step, None)

    async def probed(self, service: str, *, answered: bool, reason: str) -> None:
        """Enters what the probe that `intend` asked for came to: the breaker closes, or waits twice as long.

        Where the service did not answer, the intent is withdrawn: the step was not called.
        """
        step = self._probing.get(service)

        def probed(book: Book) -> None:
            breakers.probed(book, service, answered, reason, self._ledger.patience)
            if not answered and step is not None and step in self._open:
                self._fence(book)
                change = self._ended(book, step, {"error": BreakerOpen.__name__, "reason": reason})
                self._enter(book, "step.withdrawn", change, step=step)

        await self._ledger.write(probed)
        self._probing.pop(service, None)
        if step is not None and not answered:
            self._open.pop(step, None)

    async def void(self, steps: Iterable[str], reason: str) -> None:
        """Enters that proved steps have to be done again, since the LMS row was moved back. Raises `LeaseLost`."""
        names = sorted(set(steps))

        def void(book: Book) -> None:
            self._fence(book)
            mine = (_attempts.c.user_id == self.user_id, _attempts.c.retirement_id == self.retirement_id)
            proved = (_attempts.c.outcome.is_not(None), _attempts.c.voided_at.is_(None))
            rows = book.rows(select(_attempts).where(*mine, *proved, _attempts.c.step.in_(names)))
            changes = [Changed(_attempts, row | {"voided_at": book.at, "void_reason": reason}) for row in rows]
            self._enter(book, "steps.voided", *changes, steps=names, reason=reason)

        await self._ledger.write(void)
        self.finished = {step: outcome for step, outcome in self.finished.items() if step not in names}

    async def moved(self, before: str, after: str, reason: str) -> None:
        """Enters that the LMS row is about to be moved by force. Raises `LeaseLost`."""

        def moved(book: Book) -> None:
            self._fence(book)
            self._enter(book, "learner.moved", before=before, after=after, reason=reason)

        await self._ledger.write(moved)

    async def end(self, ending: str, reason: str, state: str) -> None:
        """Enters how the run ended, and gives the learner back; `state` is that of the LMS.

        Where the lease is lost nothing is changed, since the learner is somebody else's. Raises `LedgerError`.
        """

        def end(book: Book) -> None:
            row = book.row(tables.learner, self.user_id, self.retirement_id)
            if row is None or not is_ours(book, self.lease):
                return
            facts = {"ending": ending, "reason": reason, "state": state}
            self._enter(book, "run.ended", _ended_with(book, row, facts), **facts)
            give_back(book, self.lease)

        try:
            await self._ledger.write(end)
        finally:
            self._ledger.drop(self.lease)

    def _fence(self, book: Book) -> None:
        require_ours(book, self.lease)

    def _enter(self, book: Book, kind: str, *changes: Change, **facts: Any) -> None:
        facts |= {"retirement": self.retirement_id, "fence": self.lease.fence}
        book.enter(kind, *changes, user_id=self.user_id, facts=facts)

    def _attempt(self, book: Book, step: str) -> dict[str, Any]:
        row: dict[str, Any] = {column.name: None for column in _attempts.columns}
        row |= {"id": book.next_id, "user_id": self.user_id, "retirement_id": self.retirement_id, "step": step}
        return row | {"service": "", "operation": "", "fence": self.lease.fence, "began_at": book.at}

    def _ended(self, book: Book, step: str, result: Mapping[str, Any]) -> New | Changed:
        """The attempt of a step with its end: the one that this run began, else the last that an earlier one did."""
        row = book.row(_attempts, self._open[step]) if step in self._open else self._last_open(book, step)
        if row is None and step in self._open:
            raise LedgerError("a row of attempt is not there any more; `retirement ledger verify` says which")
        ended = {"ended_at": book.at, **result}
        return Changed(_attempts, row | ended) if row else New(_attempts, self._attempt(book, step) | ended)

    def _last_open(self, book: Book, step: str) -> dict[str, Any] | None:
        found = [row for row in attempts_of(book, self.user_id, self.retirement_id) if row["step"] == step]
        return found[-1] if found and not found[-1]["ended_at"] else None


class Tenures(Leases):
    """Take the right to work on a learner."""

    async def tenure(
        self, learner: Learner, *, due_at: datetime, pipeline: str | None, steps: Sequence[str] = ()
    ) -> Tenure:
        """Takes a learner and enters that a run has begun; `pipeline` names the pipeline of that run and its `steps`.

        None: this run takes no steps, so what the ledger knows of the last pipeline stays.
        Raises `StateConflict` while another run has the learner, and `LedgerError`.
        """
        facts = {
            "requested_at": chain.written(learner.requested_at),
            "due_at": chain.written(due_at),
            "email_digest": self.digests.email(learner.email),
            "username_digest": self.digests.username(learner.username),
            "domain_digest": self.digests.domain(learner.email),
            "key_id": self.digests.key_id,
        }
        began = await self._leased(
            lambda book: self._begin(book, learner, facts, pipeline, steps), lambda began: began.lease
        )
        return Tenure(self, learner, began)

    async def close_run(self, user_id: int, retirement_id: int, *, ending: str, reason: str, state: str) -> bool:
        """Enters the end of a run that died without one; False where it has one by now, or somebody lives on."""

        def close(book: Book) -> bool:
            row = book.row(tables.learner, user_id, retirement_id)
            if row is None or row["ending"] is not None or is_live(book, learner_scope(user_id)):
                return False
            facts = {"ending": ending, "reason": reason, "state": state}
            told = {"retirement": retirement_id, **facts}
            book.enter("run.closed", _ended_with(book, row, facts), user_id=user_id, facts=told)
            return True

        return await self.write(close)

    def _begin(
        self, book: Book, learner: Learner, facts: Mapping[str, Any], pipeline: str | None, steps: Sequence[str]
    ) -> _Began:
        user_id, retirement_id = learner.user_id, learner.retirement_id
        lease = take(book, self, learner_scope(user_id), f"learner {user_id}")
        before = book.row(tables.learner, user_id, retirement_id)
        row = {column.name: None for column in tables.learner.columns} | (before or {})
        last = row["pipeline"]
        row |= {"user_id": user_id, "retirement_id": retirement_id, **facts, "pipeline": pipeline or last or ""}
        row |= {"fence": lease.fence, "began_at": book.at, "first_seen_at": row["first_seen_at"] or book.at}
        row |= dict.fromkeys(("ending", "reason", "ended_at"))
        told = {"retirement": retirement_id, "fence": lease.fence, "holder": lease.holder}
        told |= {"taken_over": lease.taken_over} | ({"steps": list(steps)} if pipeline else {})
        change = Changed(tables.learner, row) if before else New(tables.learner, row)
        book.enter("run.began", change, user_id=user_id, facts=told)
        attempts = attempts_of(book, user_id, retirement_id)
        finished = {each["step"]: each["outcome"] for each in attempts if each["outcome"] and not each["voided_at"]}
        newest = {each["step"]: each for each in attempts}
        begun = frozenset(step for step, each in newest.items() if not each["ended_at"] and step not in finished)
        changed = bool(finished and pipeline and last and last != pipeline)
        ended = (before["ending"], before["reason"] or "") if before and before["ending"] else None
        return _Began(lease, finished, begun, active_holds(book), changed, ended)


def _ended_with(book: Book, row: Mapping[str, Any], facts: Mapping[str, str]) -> Changed:
    """A learner's row at the end of a run; who was retired once stays so since then."""
    retired_at = row["retired_at"] or (book.at if facts["ending"] == RETIRED else None)
    return Changed(tables.learner, {**row, **facts, "ended_at": book.at, "retired_at": retired_at})


def attempts_of(book: Book, user_id: int, retirement_id: int) -> list[dict[str, Any]]:
    """The attempts of a retirement, oldest first."""
    mine = (_attempts.c.user_id == user_id, _attempts.c.retirement_id == retirement_id)
    return list(book.rows(select(_attempts).where(*mine).order_by(_attempts.c.id)))
