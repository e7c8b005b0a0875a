"""Gives accounts new usernames in the LMS and then in every service that has them, by a file of pairs.

The LMS comes first, since it may add a suffix to a name that is taken; its own final names go to the services. What
one service refuses, the others do all the same, and a second run with the same file does what is lacking. Contract:
section 4.14 of the LMS, A3.4 of the services. Names stay in memory, but for the file of results.
"""

import csv
import io
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from retirement.connectors.shared.renaming import RenamingConnector
from retirement.errors import Refused, ServiceError, Transient
from retirement.followup.job import Asked, planned
from retirement.followup.move_back import Finding, Verdict
from retirement.followup.name_pairs import Pair
from retirement.ledger.files import write_private
from retirement.ledger.renames import Progress
from retirement.lms.accounts import Account
from retirement.pipeline import COMPLETE
from retirement.privacy.spool import Spool
from retirement.process import in_parts
from retirement.site import Site
from retirement.wire.renaming import Renamed

#: The file of results, by the name and with the headings that the reference's has.
RESULTS, HEADINGS = "username_replacement_results.csv", ("Original Username", "New Username", "Status")
#: Names that one request has.
AT_ONCE = 100
#: The services that are no connector's, in the ledger and in findings.
LMS, FORUM = "LMS", "FORUM"


@dataclass(slots=True, repr=False)
class Place:
    """One pair, as far as it has come. `final` is the name by which the LMS has the account now; "" as before."""

    pair: Pair
    account: Account | None = None
    final: str = ""
    services: tuple[str, ...] = ()  #: that have the new name; a set for each pair would be most of what is kept
    problems: list[str] = field(default_factory=list)
    left: Finding | None = None  #: why nothing is done for it

    @property
    def user_id(self) -> int:
        """Of the account, which is known."""
        return self.account.user_id if self.account else 0

    @property
    def status(self) -> str:
        """As the reference's file of results has it."""
        if not self.final:
            return "FAILED"
        return "PARTIALLY FAILED" if self.problems else "SUCCESS"

    @property
    def finding(self) -> Finding:
        """What came of it: nothing personal."""
        if self.left:
            return self.left
        if not self.final:
            text = "; ".join(self.problems) or "nothing was asked of the LMS"
            return Finding(self.user_id, Verdict.FAILED, "", None, text)
        other = self.final.casefold() != self.pair.desired.casefold()
        told = ["the name was taken, so the LMS has added to it"] if other else []
        verdict = Verdict.PARTLY_RENAMED if self.problems else Verdict.RENAMED
        return Finding(self.user_id, verdict, "", None, "; ".join([*told, *self.problems]))


@dataclass(frozen=True, slots=True)
class Replacement:
    """The pairs of a file, looked up once; see `looked_up`. A hundred of them are in memory at a time."""

    site: Site
    places: Spool[Place]
    folder: Path

    @property
    def services(self) -> Mapping[str, RenamingConnector]:
        """The services that have usernames, in the order of the configuration."""
        found = self.site.connectors.items()
        return {name: each for name, each in found if isinstance(each, RenamingConnector)}

    @property
    def sentence(self) -> str:
        """What is done, to stand after the number of learners."""
        return f"accounts get new usernames in {', '.join([LMS, *self.services, FORUM])}"

    async def preview(self) -> AsyncGenerator[Finding, None]:
        """Says of each pair what would be done, in the order of the file."""
        for batch in self.places.batches(AT_ONCE):
            desired = [each.pair.desired for each in batch]
            taken = {each.username.casefold() async for each in self.site.lms.accounts.named(desired)}
            for place in batch:
                yield place.left or self._planned(place, is_taken=place.pair.desired.casefold() in taken)

    def _planned(self, place: Place, *, is_taken: bool) -> Finding:
        lacking = [each for each in (LMS, *self.services, FORUM) if each not in place.services]
        if not lacking:
            return Finding(place.user_id, Verdict.KNOWN, "", None, "every service has the new name")
        if place.final:
            text = f"lacking in {', '.join(lacking)}"
        else:
            text = "the name is taken: the LMS adds to it" if is_taken else ""
        return Finding(place.user_id, Verdict.WOULD_RENAME, "", None, text)

    async def do(self, found: Collection[Finding], asked: Asked) -> AsyncGenerator[Finding, None]:
        """Enters who asks and why, replaces the names and writes the file of results, after an error as well."""
        meant = planned(found)
        # An account may have been put into the queue since the preview.
        retiring = await _retiring(self.site) if meant else set()
        count = 0
        for place in self.places:
            if not _is_meant(place, meant):
                continue
            if left := _why_left(place, retiring, None):
                yield left
            else:
                count += 1
                asked.require_none_of((place.pair.current, place.pair.desired))
        number = await self.site.ledger.jobs.asked(
            "replace-usernames", by=asked.by, reason=asked.reason, learners=count
        )
        batches, done = self.places.batches(AT_ONCE), Spool[Place]()
        try:
            for batch in batches:
                due = [each for each in batch if _is_meant(each, meant) and not _why_left(each, retiring, None)]
                try:
                    await self._rename(due, number)
                finally:
                    done.extend(batch)
                for place in due:
                    yield place.finding
        finally:
            write_private(self.folder / RESULTS, _results(chain(done, *batches)))

    async def _rename(self, batch: Sequence[Place], number: int) -> None:
        await self._rename_in_lms(batch, number)
        for service in (*self.services, FORUM):
            await self._rename_in(service, batch, number)

    async def _rename_in_lms(self, batch: Sequence[Place], number: int) -> None:
        places = {each.pair.current: each for each in batch if not each.final}
        if not places:
            return
        pairs = {each.user_id: (each.pair.current, each.pair.desired) for each in places.values()}
        await self.site.ledger.renames.began(number, pairs)
        done = await self._final_names(places)
        for old, place in places.items():
            place.final = done.get(old, "")
        _note([each for each in places.values() if not each.final], "the LMS did not replace the name")
        await self._enter(LMS, [each for each in places.values() if each.final], number)

    async def _final_names(self, places: Mapping[str, Place]) -> Mapping[str, str]:
        """Asks the LMS for the new names; those that it has given, by the old ones."""
        try:
            answer = await self.site.lms.renaming.rename({old: each.pair.desired for old, each in places.items()})
        except Transient as error:
            if not error.in_doubt:
                raise
            return await self._looked_at(places.values())
        except Refused as error:
            _note(places.values(), str(error))
            return {}
        return await self._shown(places, answer.done)

    async def _shown(self, places: Mapping[str, Place], done: Mapping[str, str]) -> Mapping[str, str]:
        """The new names that the accounts really have: a name that was unknown counts as a success as well."""
        shown = self.site.lms.accounts.named([name for old, name in done.items() if old in places])
        owners = {each.username.casefold(): each.user_id async for each in shown}
        ours = {old: name for old, name in done.items() if old in places}
        return {old: name for old, name in ours.items() if owners.get(name.casefold()) == places[old].user_id}

    async def _looked_at(self, places: Collection[Place]) -> dict[str, str]:
        """Which accounts have a new name after an answer that was lost, by their user ids."""
        done = {}
        for place in places:
            account = await self.site.lms.accounts.numbered(place.user_id)
            if account and account.username.casefold() != place.pair.current.casefold():
                done[place.pair.current] = account.username
        return done

    async def _rename_in(self, service: str, batch: Sequence[Place], number: int) -> None:
        """Has a service replace what it lacks; what keeps it from doing so is noted, and the next service goes on."""
        places = {each.pair.current: each for each in batch if each.final and service not in each.services}
        if not places:
            return
        names = {old: each.final for old, each in places.items()}
        try:
            connector = self.services.get(service)
            answer = await (connector.rename(names) if connector else self._in_forum(names))
        except ServiceError as error:
            _note(places.values(), str(error))
            return
        done = [place for old, place in places.items() if answer.done.get(old) == place.final]
        _note([each for each in places.values() if each not in done], f"{service}: the name was not replaced there")
        await self._enter(service, done, number)

    async def _in_forum(self, names: Mapping[str, str]) -> Renamed:
        # An LMS without a forum has nothing to rename there.
        return await self.site.lms.renaming.rename_in_forum(names) or Renamed(names, frozenset())

    async def _enter(self, service: str, places: Sequence[Place], number: int) -> None:
        await self.site.ledger.renames.done(number, service, [each.user_id for each in places])
        for place in places:
            place.services = (*place.services, service)


def _results(places: Iterable[Place]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(HEADINGS)
    for place in places:
        rows.writerow((place.pair.current, place.final or place.pair.desired, place.status))
    return text.getvalue().encode("utf-8")


def _is_meant(place: Place, meant: Collection[int]) -> bool:
    return place.user_id in meant and not place.left


def _note(places: Collection[Place], problem: str) -> None:
    for place in places:
        place.problems.append(problem)


async def looked_up(site: Site, pairs: Sequence[Pair], folder: Path) -> Replacement:
    """Looks up whose names these are, and how far earlier runs have come. Changes nothing.

    Raises `Misconfigured` where the worker is not staff, since no other account is shown user ids.
    """
    before = await site.ledger.renames.progress()
    retiring = await _retiring(site) if pairs else set()
    own = await site.lms.accounts.own_id() if pairs else None
    places = Spool[Place]()
    for some in in_parts(pairs, AT_ONCE):
        accounts = await _by_name(site, some)
        for pair in some:
            place = Place(pair, accounts.get(pair.current.casefold()))
            await _look(site, place, before(pair.current, pair.desired))
            place.left = place.left or _why_left(place, retiring, own)
            places.append(place)
    return Replacement(site, places, folder)


async def _look(site: Site, place: Place, progress: Progress | None) -> None:
    """Takes up what an earlier run has done for a pair."""
    if place.account is None and progress:
        await _go_on(site, place, progress)
    if progress and place.account and place.user_id != progress.user_id:
        # Who has the freed name now was in no list of an operator's.
        place.left = _left(place, "another account has the current name by now, since this pair was begun")


async def _go_on(site: Site, place: Place, progress: Progress) -> None:
    """The LMS has replaced the name in an earlier run: by which one, the account says."""
    record = await site.ledger.learners.newest(progress.user_id)
    if record and record.retired_at:
        return  # the name that the account has now is the retired one, which no service gets from here
    place.account = await site.lms.accounts.numbered(progress.user_id)
    place.final = place.account.username if place.account else ""
    place.services = (LMS, *progress.services)


async def _by_name(site: Site, pairs: Sequence[Pair]) -> dict[str, Account]:
    found = site.lms.accounts.named([each.current for each in pairs])
    return {each.username.casefold(): each async for each in found}


async def _retiring(site: Site) -> set[int]:
    states = [state for state in site.pipeline.lms_states if state != COMPLETE]
    return {row.user_id async for page in site.lms.rows.pages(states, 0) for row in page.learners}


def _why_left(place: Place, retiring: Collection[int], own: int | None) -> Finding | None:
    if place.account is None:
        return _left(place, "the LMS has no account of the current name")
    if place.user_id in retiring:
        return _left(place, "a retirement of the account is under way")
    if place.user_id == own:
        return _left(place, "the pipeline works by this account")
    return None


def _left(place: Place, why: str) -> Finding:
    return Finding(place.user_id or None, Verdict.LEFT, "", None, f"line {place.pair.line}: {why}")
