"""Puts accounts into the queue: asks the LMS to make a request to retire for each, with who and why in the ledger.

What names an account stays in memory; findings, ledger and logs have the user id, or the line of the file.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from retirement.config import GuardSettings
from retirement.followup.job import Asked, planned
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.name_list import Line, problems_of
from retirement.learner import Learner
from retirement.ledger import Hold
from retirement.lms.accounts import Account
from retirement.pipeline import COMPLETE, PENDING
from retirement.process import in_parts
from retirement.site import Site

#: What names an account in a file, and the columns of one without headings: those of the LMS' own command.
COLUMNS, DEFAULT = ("user_id", "username", "email"), ("username", "email")
#: Names that one request has; the LMS makes a transaction of each.
AT_ONCE = 100
#: User ids that one question to the ledger has.
_LOOKED_UP = 500

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """What an operator gave of one account; `line` is that of the file, None outside one."""

    line: int | None = None
    user_id: int | None = None
    username: str = ""
    email: str = ""

    @property
    def place(self) -> str:
        """Where it stands, to begin a sentence with."""
        return "" if self.line is None else f"line {self.line}: "

    def fits(self, account: Account) -> bool:
        """Whether all that was given is of this account; letter case does not count, as in the LMS."""
        return (
            self.user_id in (None, account.user_id)
            and self.username.casefold() in ("", account.username.casefold())
            and self.email.casefold() in ("", account.email.casefold())
        )


def entries_of(path: object, lines: Iterable[Line]) -> list[Entry]:
    """The entries of a file. Raises `ConfigError` for lines that name no account; `path` begins its lines."""
    entries: list[Entry] = []
    problems: list[str] = []
    for line in lines:
        number = line["user_id"]
        if number and not (number.isascii() and number.isdecimal() and 0 < int(number) < 2**63):
            problems.append(f"{path}:{line.number}: user_id is not the number of an account")
        elif not (number or line["username"] or line["email"]):
            problems.append(f"{path}:{line.number}: names no account")
        else:
            entries.append(Entry(line.number, int(number) if number else None, line["username"], line["email"]))
    if problems:
        raise problems_of(problems)
    return entries


@dataclass(frozen=True)
class _Standing:
    """What LMS and ledger know beforehand: rows that are open, user ids that are retired, and holds."""

    open: dict[int, Learner]
    retired: frozenset[int]
    holds: Sequence[Hold]
    orgs: dict[int, set[str]] = field(default_factory=dict)

    def row_of(self, entry: Entry, account: Account | None) -> Learner | None:
        """The open request of the account, or that of one which had these names before."""
        if account:
            return self.open.get(account.user_id)
        name = (entry.username or entry.email).casefold()
        return self.open.get(entry.user_id or 0) or (self.by_name.get(name) if name else None)

    @cached_property
    def by_name(self) -> dict[str, Learner]:
        """The open requests by the original username and the original address."""
        rows = self.open.values()
        return {name.casefold(): row for row in rows for name in (row.email, row.username)}

    def hold_on(self, user_id: int) -> Hold | None:
        return next((hold for hold in self.holds if hold.is_on(user_id, self.orgs.get(user_id, ()))), None)


@dataclass(frozen=True, slots=True)
class Intake:
    """The accounts that were given, looked up once; see `looked_up`."""

    site: Site
    guard: GuardSettings
    entries: Sequence[Entry]
    accounts: dict[Entry, Account | None]
    worker: int | None  #: user id of the account that the pipeline itself works with

    @property
    def sentence(self) -> str:
        """What is done, to stand after the number of learners."""
        return "accounts get a request to retire, and the LMS takes away their passwords and links"

    async def preview(self) -> AsyncGenerator[Finding, None]:
        """Says of each account once whether a request would be made, in the order of the entries."""
        standing = await self._standing()
        seen: set[int] = set()
        for entry in self.entries:
            account = self.accounts[entry]
            if account is None or account.user_id not in seen:
                yield self._finding(entry, account, standing)
            if account:
                seen.add(account.user_id)

    async def do(self, found: Collection[Finding], asked: Asked) -> AsyncGenerator[Finding, None]:
        """Enters who asks and why, has the LMS make the requests, and looks whether they are there."""
        wanted = planned(found)
        accounts = list(
            {each.user_id: each for each in self.accounts.values() if each and each.user_id in wanted}.values()
        )
        if not accounts:
            return
        asked.require_none_of(name for each in accounts for name in (each.username, each.email))
        kept = await self._kept_since(accounts)
        for finding in kept.values():
            yield finding
        async for finding in self._asked_for([each for each in accounts if each.user_id not in kept], asked):
            yield finding

    async def _asked_for(self, accounts: Sequence[Account], asked: Asked) -> AsyncGenerator[Finding, None]:
        if not accounts:
            return
        number = await self.site.ledger.jobs.asked("request", by=asked.by, reason=asked.reason, learners=len(accounts))
        doubtful: list[int] = []
        for batch in in_parts(accounts, AT_ONCE):
            made = await self._make(batch, number)
            doubtful += [each.user_id for each in batch if each.user_id not in made]
            for user_id in made:
                yield _made(user_id)
        for finding in await self._looked_for(doubtful):
            yield finding

    async def _kept_since(self, accounts: Sequence[Account]) -> dict[int, Finding]:
        """Accounts that are left after all: since the preview a person may have thought for days."""
        holds = (await self._standing()).hold_on
        shown = self.site.lms.accounts.named([each.username for each in accounts])
        owners = {each.username.casefold(): each.user_id async for each in shown}
        kept: dict[int, Finding] = {}
        for each in accounts:
            if hold := holds(each.user_id):
                kept[each.user_id] = Finding(each.user_id, Verdict.HELD, "", None, hold.sentence)
            elif owners.get(each.username.casefold()) != each.user_id:
                text = "the account has another username since the preview: do it again"
                kept[each.user_id] = Finding(each.user_id, Verdict.LEFT, "", None, text)
        return kept

    async def _make(self, batch: Sequence[Account], number: int) -> list[int]:
        """The user ids of the accounts for which the LMS says that it has made a request."""
        # Before it is asked for, so that no request of ours is without its reason.
        await self.site.ledger.jobs.concern("learner.requested", number, [each.user_id for each in batch])
        made = {name.casefold() for name in await self.site.lms.requests.make([each.username for each in batch])}
        return [each.user_id for each in batch if each.username.casefold() in made]

    async def _looked_for(self, user_ids: Sequence[int]) -> list[Finding]:
        """What came of accounts that the LMS has not named: where an answer was lost, the request may be there."""
        there = (await self._standing()).open if user_ids else {}
        failed = (Finding(each, Verdict.FAILED, "", None, _NOT_MADE) for each in user_ids if each not in there)
        return [*(_made(each) for each in user_ids if each in there), *failed]

    async def _standing(self) -> _Standing:
        site, rows = self.site, self.site.lms.rows
        states = [state for state in site.pipeline.lms_states if state != COMPLETE]
        known = {each.user_id: each for each in self.accounts.values() if each}
        listing = await rows.queue(states, 0)
        records = [
            record
            for user_ids in in_parts(list(known), _LOOKED_UP)
            for record in await site.ledger.learners.retirements(user_ids)
        ]
        holds = await site.ledger.holds.find()
        orgs = await site.lms.accounts.enrolled_in(known.values()) if any(each.org for each in holds) else {}
        retired = frozenset(each.user_id for each in records if each.retired_at)
        return _Standing({each.user_id: each for each in listing.learners}, retired, holds, orgs)

    def _finding(self, entry: Entry, account: Account | None, standing: _Standing) -> Finding:
        # A request takes the address away from the account, and the last step takes the username.
        if row := standing.row_of(entry, account):
            return Finding(row.user_id, Verdict.KNOWN, row.state, None, "the LMS has a request already")
        if account is None:
            return Finding(None, Verdict.LEFT, "", None, f"{entry.place}{_unknown(entry)}")
        if account.user_id in standing.retired:
            return Finding(account.user_id, Verdict.KNOWN, COMPLETE, None, "the ledger has the account as retired")
        if not entry.fits(account):
            text = f"{entry.place}what stands there is not of one account"
            return Finding(account.user_id, Verdict.LEFT, "", None, text)
        if hold := standing.hold_on(account.user_id):
            return Finding(account.user_id, Verdict.HELD, "", None, hold.sentence)
        if why := self._refusal(account):
            return Finding(account.user_id, Verdict.LEFT, "", None, f"{entry.place}{why}")
        return Finding(account.user_id, Verdict.WOULD_REQUEST, "", PENDING, "")

    def _refusal(self, account: Account) -> str:
        domain = account.email.rpartition("@")[2].casefold().rstrip(".")
        if account.user_id == self.worker:
            return "this is the account by which the pipeline works"
        if account.user_id in self.guard.staff_ids or domain in {each.casefold() for each in self.guard.staff_domains}:
            return "one of the site's own people, by guard.staff_ids or guard.staff_domains"
        if "," in account.username:
            return "its username has a comma, which the LMS' endpoint cannot carry: `manage.py lms retire_user` there"
        return ""


_NOT_MADE = (
    "the LMS made no request: as a rule it has an older one of this account, which `manage.py lms retire_user` "
    "there would name"
)


def _made(user_id: int) -> Finding:
    return Finding(user_id, Verdict.REQUESTED, PENDING, None, "")


async def looked_up(site: Site, guard: GuardSettings, entries: Sequence[Entry]) -> Intake:
    """Looks the accounts up, by the first that each entry has of username, address and user id. Changes nothing.

    Raises `Misconfigured` where the worker is not staff, since no other account is shown user ids.
    """
    lookup = site.lms.accounts
    by_name = {each.username.casefold(): each async for each in lookup.named(_given(entries, "username"))}
    others = [each for each in entries if not each.username]
    by_email = {each.email.casefold(): each async for each in lookup.addressed(_given(others, "email"))}
    found: dict[Entry, Account | None] = {}
    for entry in entries:
        if entry.username:
            found[entry] = by_name.get(entry.username.casefold())
        elif entry.email:
            found[entry] = by_email.get(entry.email.casefold())
        else:
            found[entry] = await lookup.numbered(entry.user_id or 0)
    return Intake(site, guard, entries, found, await lookup.own_id())


def _unknown(entry: Entry) -> str:
    if "," in entry.username:
        return "a username with a comma cannot be looked up: give the user id"
    return "the LMS has no account of that name"


def _given(entries: Sequence[Entry], name: str) -> list[str]:
    return list(dict.fromkeys(_texts(entries, name)))


def _texts(entries: Sequence[Entry], name: str) -> Iterator[str]:
    for entry in entries:
        text: str = getattr(entry, name)
        if text:
            yield text
