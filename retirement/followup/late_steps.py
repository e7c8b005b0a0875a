"""Steps that are lacking for learners who are through: which can still be done, and doing them.

What the erasure of a learner needs lives as long as its keys: the user id for good, in the ledger; names and address
in the LMS' row, until the cleanup; and a username in a service until a step there has replaced it.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from retirement.connectors import Destroys, Identity, Operation
from retirement.connectors.kit.declaration import PERMANENT
from retirement.errors import Kept, RetirementError, RunAfter, StateConflict, as_ours
from retirement.followup.complete_rows import windows
from retirement.followup.job import Asked, planned
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.second_erasure import Again, erase_again
from retirement.learner import Learner
from retirement.ledger import TAKEN_BACK, LearnerRecord, learner_scope
from retirement.ledger.jobs import JobName
from retirement.lms.accounts import Account
from retirement.pipeline import ABORTED, COMPLETE, ERRORED, Step
from retirement.privacy import withheld
from retirement.site import Batch, Site
from retirement.site.watch import ENDED, watch

#: User id and retirement id.
_Retirement = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Lack:
    """One retirement that has ended retired, its row as far as the LMS has one, and the steps that it lacks."""

    record: LearnerRecord
    row: Learner | None
    steps: tuple[Step, ...]
    others: str = ""  #: what is lacking besides, and no step does any more
    request: bool = False  #: the LMS has lost the request as well, and the account has its own name
    lms: bool = False  #: the LMS came back from the backup as well, so rows tell what runs have to do again
    receipts: Mapping[str, str] | None = None  #: where steps were done before: what each gave; None: they never were

    @property
    def learner(self) -> Learner:
        """Who is erased; without a row nothing but the user id is known."""
        record = self.record
        return self.row or Learner(
            user_id=record.user_id,
            retirement_id=record.retirement_id,
            **dict.fromkeys(("username", "email", "name", "retired_username", "retired_email", "current_username"), ""),
            state=COMPLETE,
            last_state=COMPLETE,
            requested_at=record.requested_at,
            changed_at=record.requested_at,
        )


@dataclass(frozen=True, slots=True)
class LateSteps:
    """A job that does for each learner the steps that are lacking. `facts` are about the choice, for the ledger."""

    site: Site
    batch: Batch
    name: JobName
    sentence: str
    facts: Mapping[str, object]
    lacks: Sequence[Lack]

    async def preview(self) -> AsyncGenerator[Finding, None]:
        """Says of each learner what would be done, and what cannot."""
        live, taken = await self.site.ledger.leases.live(), await self._taken()
        for lack in self.lacks:
            yield await self._planned(lack, live, taken)

    async def do(self, found: Collection[Finding], asked: Asked) -> AsyncGenerator[Finding, None]:
        """Enters who asks and why, and does what is lacking; what fails at one learner stops no other."""
        meant, taken = planned(found), await self._taken()
        lacks = [lack for lack in self.lacks if lack.record.user_id in meant]
        rows = [lack.row for lack in lacks if lack.row]
        reason = withheld(asked.reason, rows)
        await self.site.ledger.jobs.asked(self.name, by=asked.by, reason=reason, learners=len(lacks), **self.facts)
        for lack in lacks:
            yield await (self._requested(lack) if lack.request else self._done(lack, taken))

    async def _planned(self, lack: Lack, live: Collection[str], taken: Collection[int]) -> Finding:
        user_id = lack.record.user_id
        state = lack.row.state if lack.row else ""
        if learner_scope(user_id) in live:
            return Finding(user_id, Verdict.BUSY, state, None, "a live run has them")
        if why := _not_over(lack):
            return Finding(user_id, Verdict.LEFT, state, None, why)
        if lack.row and state != COMPLETE:
            return Finding(user_id, Verdict.WAITING, state, None, _waits_for(state))
        if lack.request:
            text = "the LMS has lost the request: it is made again, and `retirement retire-learner` does the rest"
            return Finding(user_id, Verdict.WOULD_REQUEST, "", None, text)
        reachable, problems = self._within_reach(lack, taken)
        why = ""
        if not reachable or (why := await self._another(lack)):
            return Finding(user_id, Verdict.UNREACHED, state, None, why or "; ".join(problems))
        text = "; ".join([", ".join(step.name for step in reachable), *problems])
        return Finding(user_id, Verdict.WOULD_ERASE, state, None, text)

    def _within_reach(self, lack: Lack, taken: Collection[int]) -> tuple[list[Step], list[str]]:
        """The steps that can be done, and why the others cannot."""
        why = {step.name: self._unreachable(lack, step, taken) for step in lack.steps}
        problems = [f"{name}: {text}" for name, text in why.items() if text]
        return [step for step in lack.steps if not why[step.name]], [*problems, *([lack.others] if lack.others else ())]

    def _unreachable(self, lack: Lack, step: Step, taken: Collection[int]) -> str:
        """Why a step cannot be done any more, and what would be needed; "" where it can."""
        connector = self.site.connectors[step.service]
        policy, row = connector.policy(step.operation), lack.row
        if row is None:
            return _without_row(policy)
        if why := _not_repeatable(lack, step, policy):
            return why
        if not policy.can_be_repeated and row.user_id in taken:
            return "another account has the username or the address by now: a person has to look"
        if place := next((each for each in _looks_in(step, policy) if self._is_renamed(lack, each)), None):
            return f"{place} has the retired username by now, by which it finds nothing: erase them there by hand"
        return ""

    def _is_renamed(self, lack: Lack, service: str) -> bool:
        """Whether a step that is not done once more has taken the username from the learner's data in a service."""
        if service == "LMS":
            return lack.row is not None and lack.row.current_username == lack.row.retired_username
        connector, lacking = self.site.connectors[service], {step.name for step in lack.steps}
        done = [each for each in self.site.pipeline if each.service == service and each.name in lack.record.finished]
        kept = (each for each in done if each.name not in lacking)
        return any(connector.destroys_username(connector.settings, each.operation) is not Destroys.NO for each in kept)

    async def _taken(self) -> frozenset[int]:
        """User ids of learners whose username or address another account has by now; asks for those that matter."""
        rows = [lack.row for lack in self.lacks if lack.row and lack.row.state == COMPLETE and self._meets_others(lack)]
        owners = await _owners(self.site, rows) if rows else {}
        names = ((row.user_id, name.casefold()) for row in rows for name in (row.username, row.email))
        return frozenset(user_id for user_id, name in names if owners.get(name, user_id) != user_id)

    def _meets_others(self, lack: Lack) -> bool:
        """Whether a step would find the learner by what another account may have by now."""
        connectors = self.site.connectors
        return any(not connectors[step.service].policy(step.operation).can_be_repeated for step in lack.steps)

    async def _another(self, lack: Lack) -> str:
        """Why the user id, where it is all that is left, may be no retired learner's; "" where it is.

        An LMS that was restored gives the numbers of lost accounts to new ones.
        """
        account = None if lack.row else await self.site.lms.accounts.numbered(lack.record.user_id)
        if account is None:
            return ""
        if account.joined and account.joined > lack.record.requested_at:
            return "another account has the user id by now: a person has to look"
        if self.site.pipeline.renames_accounts and await has_own_name(self.site, lack.record, account):
            return "the account has its own name again: `retirement replay --service LMS` first, or the learner stays"
        return ""

    async def _done(self, lack: Lack, taken: Collection[int]) -> Finding:
        reachable, problems = self._within_reach(lack, taken)
        # Since the preview a person may have thought for days.
        if why := await self._another(lack):
            return Finding(lack.record.user_id, Verdict.UNREACHED, "", None, why)
        told: list[str] = []
        for step in reachable:
            try:
                erasure = await erase_again(self.site, self.batch, self._again(lack, step), lack.learner)
            except Exception as error:  # noqa: BLE001 - a defect at one learner: the others are done all the same
                return _failed(lack, step, as_ours(error), told)
            told.append(f"{step.name} {erasure.outcome.value}")
        state = lack.row.state if lack.row else ""
        verdict = Verdict.PARTLY_ERASED if problems else Verdict.ERASED
        return Finding(lack.record.user_id, verdict, state, None, "; ".join([", ".join(told), *problems]))

    def _again(self, lack: Lack, step: Step) -> Again:
        connector = self.site.connectors[step.service]
        policy, receipt = connector.policy(step.operation), (lack.receipts or {}).get(step.name)
        follow_up = policy.follow_up
        by_receipt = receipt if policy.again else None
        return Again(
            step.name,
            step.service,
            step.operation,
            partial(connector.repeat, step.operation, by_receipt)
            if by_receipt is not None
            else partial(connector.perform, step.operation),
            follow_up.first if follow_up else None,
            step.start if step.service == "LMS" and lack.row else None,
        )

    async def _requested(self, lack: Lack) -> Finding:
        user_id = lack.record.user_id
        account = await self.site.lms.accounts.numbered(user_id)
        made = await self.site.lms.requests.make([account.username]) if account else set()
        if not made:
            return Finding(user_id, Verdict.FAILED, "", None, "the LMS made no request")
        text = f"`retirement retire-learner --user-id {user_id} --before-cool-off-is-over` retires the learner now"
        return Finding(user_id, Verdict.REQUESTED, "", None, text)


async def _owners(site: Site, rows: Sequence[Learner]) -> dict[str, int]:
    """User ids of the accounts that have these learners' original usernames and addresses now, by the names."""
    lookup = site.lms.accounts
    found = [each async for each in lookup.named([row.username for row in rows])]
    found += [each async for each in lookup.addressed([row.email for row in rows if row.email])]
    return {name.casefold(): each.user_id for each in found for name in (each.username, each.email)}


def _without_row(policy: Operation) -> str:
    """Why a step cannot be done where nothing but the user id is left; "" where it can."""
    needs = sorted(each.value for each in policy.needs - {Identity.USER_ID})
    lost = f"the LMS has deleted who they were, and it takes {', '.join(needs)}"
    return f"{lost}: only a backup of the LMS has that" if needs or not policy.needs else ""


def _looks_in(step: Step, policy: Operation) -> list[str]:
    """The services in which a step looks the learner up by the username."""
    own = [step.service] if policy.finds_by_username else []
    return [*own, policy.looks_up_in] if policy.looks_up_in else own


def _not_repeatable(lack: Lack, step: Step, policy: Operation) -> str:
    """Why a step that was done before is not done again, since it may meet another person's record (decision 0022).

    An operation erases by its receipt, or by what belongs to the learner for good; usernames are the LMS', which is
    asked whose they are.
    """
    if lack.receipts is None:
        return ""
    if policy.again is not None:
        given = step.name in lack.receipts
        return "" if given else "it gave no receipt that names the record: a person has to look"
    if policy.needs - PERMANENT - {Identity.USERNAME}:
        return "it finds by an address, which another record may have by now: a person has to look"
    return ""


def _failed(lack: Lack, step: Step, error: RetirementError, told: Sequence[str]) -> Finding:
    """What an error makes of a learner; raises it again where each learner would meet it."""
    if error.consequence.run is RunAfter.STOPS:
        raise error
    verdict = Verdict.FAILED
    if isinstance(error, Kept):
        verdict = Verdict.HELD
    elif isinstance(error, StateConflict):
        verdict = Verdict.BUSY
    state = lack.row.state if lack.row else ""
    return Finding(lack.record.user_id, verdict, state, None, "; ".join([*told, f"{step.name}: {error}"]))


def _not_over(lack: Lack) -> str:
    """Why nothing is erased of a learner who may keep the account; "" where the retirement was and is to end."""
    if lack.record.ending in TAKEN_BACK:
        return "the request was taken back: nothing more is erased"
    if lack.row and lack.row.state == ABORTED:
        return f"the row is {ABORTED}, so the account may live on: nothing more is erased"
    if lack.record.retired_at is None and lack.row is None:
        return "the retirement has not ended, and the LMS shows no row of it: a person has to look"
    if lack.record.retired_at is None and lack.receipts is not None and not lack.lms:
        return "the retirement has not ended, and its runs do not repeat this: replay once more when it has"
    return ""


async def has_own_name(site: Site, record: LearnerRecord, account: Account) -> bool:
    """Whether an account has the name that its learner had before the retirement."""
    return any(each.user_id == record.user_id for each in await site.ledger.learners.by_username(account.username))


def _waits_for(state: str) -> str:
    if state == ERRORED:
        return "the row is not COMPLETE any more: `retirement redrive`, and the next queue run does it"
    return "the row is not COMPLETE any more: the next queue run does it"


async def rows_of(site: Site, records: Iterable[LearnerRecord]) -> dict[_Retirement, Learner]:
    """The rows that the LMS still has of these retirements."""
    wanted = {(each.user_id, each.retirement_id): each.requested_at.date() for each in records}
    if not wanted:
        return {}
    rows = list((await watch(site)).learners)
    days = wanted.values()
    for first, last in windows(min(days), max(days)):
        if any(first <= day <= last for day in days):
            # A retired learner stays in COMPLETE until the cleanup deletes the row.
            rows += [row for state in ENDED for row in (await site.lms.rows.by_date(state, first, last)).learners]
    found = {(row.user_id, row.retirement_id): row for row in rows}
    return {key: found[key] for key in wanted if key in found}
