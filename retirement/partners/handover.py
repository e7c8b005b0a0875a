"""Brings the rows of one claim to every sink, and says which learners some partner still waits for.

A file is entered as a receipt once it was read back, and what has a receipt is not written again. A learner is done
when every partner of theirs has them in every sink; a partner or a sink that fails keeps its own learners only.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from retirement.errors import ConfigError, Refused, ServiceError
from retirement.ledger import Ledger
from retirement.ledger.deliveries import DeliveredFile
from retirement.partners.claimed import Origin, Reported
from retirement.partners.destination import Destination
from retirement.partners.files import COLUMNS, KNOWN, Naming, Report, index_of, slug_of
from retirement.partners.sinks.kit import Allowed, Sink
from retirement.privacy import words_of

_HEADING = re.compile(r"\w{1,40}")


@dataclass
class HandedOver:
    """What became of the rows of one claim."""

    files: dict[str, int] = field(default_factory=dict)  #: written by this run, with the learners in each
    orgs: Counter[str] = field(default_factory=Counter)  #: learners in the files of this run, by organisation
    waiting: set[int] = field(default_factory=set)  #: learners that some partner does not have yet
    problems: list[str] = field(default_factory=list)  #: why, a line for each partner and sink


class HandOver:
    """The sinks of one run. `down` are those that cannot be used, which are not asked again in this run."""

    def __init__(
        self, ledger: Ledger, destination: Destination, allowed: Allowed, down: Mapping[str, ServiceError]
    ) -> None:
        self._ledger, self._destination, self._allowed = ledger, destination, allowed
        self._down = dict(down)

    async def discard_drafts(self, platform: str) -> list[str]:
        """Has the sinks delete what runs that died have left half written; why one could not, a line for each."""
        found = HandedOver()
        for sink in self._destination.sinks:
            if sink.name in self._down:
                continue
            try:
                await sink.discard_drafts(f"{slug_of(platform)}_", self._allowed)
            except (ConfigError, ServiceError) as error:
                self._note(sink, error, f"drafts, sink {sink.name}: {error}", found)
        return found.problems

    async def deliver(self, origin: Origin, platform: str, rows: Sequence[Reported]) -> HandedOver:
        """Delivers these rows of a claim. Raises what ends a run: `LedgerError`, `LeaseLost`, `Interrupted`."""
        found = HandedOver()
        naming = Naming(platform, origin, self._destination.partners)
        due = self._due(rows, found)
        receipts = await self._ledger.deliveries.find([origin.claim])
        for sink in self._destination.sinks:
            files = [each.file for each in receipts if each.file.sink == sink.name]
            for report in _reports(sink, naming, due, files):
                if file := await self._one(sink, origin, report, found):
                    files.append(file)
                else:
                    found.waiting.update(report.user_ids)
            if files and not await self._is_indexed(sink, naming.index, files, found):
                found.waiting |= {row.user_id for row in rows if row.organisations}
        return found

    def _due(self, rows: Sequence[Reported], found: HandedOver) -> dict[str, "_Theirs"]:
        """The rows of each partner; a learner of an organisation without a partner, or of a partner without a sink."""
        due: defaultdict[str, _Theirs] = defaultdict(_Theirs)
        nowhere: Counter[str] = Counter()
        odd: Counter[str] = Counter()
        for row in rows:
            for org in row.organisations:
                headings = self._destination.partners.headings_of(org) or row.headings_of(org)
                if unknown := [each for each in headings if each not in KNOWN]:
                    odd[_odd_headings(org, unknown, row)] += 1
                    found.waiting.add(row.user_id)
                    continue
                partners = self._destination.partners.of(org)
                for partner in partners:
                    due[partner].add(org, row, headings)
                if not partners or not all(map(self._is_taken, partners)):
                    nowhere[org] += 1
                    found.waiting.add(row.user_id)
        for org, learners in sorted(nowhere.items()):
            text = f"organisation {org} has no partner with a sink; add it to partners.organisations"
            found.problems.append(f"{text}, or set partners.default: {learners} learners wait")
        found.problems += [f"{text}: {learners} learners wait" for text, learners in sorted(odd.items())]
        return dict(sorted(due.items()))

    def _is_taken(self, partner: str) -> bool:
        return any(sink.takes(partner) for sink in self._destination.sinks)

    async def _one(self, sink: Sink, origin: Origin, report: Report, found: HandedOver) -> DeliveredFile | None:
        """Delivers one file and enters its receipt; None where it has to wait, and `found` says why."""
        try:
            self._require_up(sink)
            place = await sink.deliver(report, self._allowed)
        except (ConfigError, ServiceError) as error:
            text = f"partner {report.partner}, sink {sink.name}: {error}: {len(report.user_ids)} learners wait"
            self._note(sink, error, text, found)
            return None
        file = DeliveredFile(
            claim=origin.claim,
            sink=sink.name,
            partner=report.partner,
            orgs=report.orgs,
            file=report.name,
            place=place,
            size=len(report.content),
            digest=report.sha256,
            user_ids=report.user_ids,
            at=sink.place,
        )
        await self._ledger.deliveries.add(file)
        if report.name not in found.files:
            found.files[report.name] = len(report.user_ids)
            found.orgs.update(report.learners)
        return file

    async def _is_indexed(self, sink: Sink, name: str, files: Sequence[DeliveredFile], found: HandedOver) -> bool:
        """Writes what the receipts say of this claim and sink; False where the claim has to wait for it."""
        entries = [entry for each in files for entry in _entries(each)]
        try:
            self._require_up(sink)
            await sink.write_index(name, index_of(entries), self._allowed)
        except (ConfigError, ServiceError) as error:
            self._note(sink, error, f"index, sink {sink.name}: {error}", found)
            return False
        return True

    def _require_up(self, sink: Sink) -> None:
        if error := self._down.get(sink.name):
            raise error

    def _note(self, sink: Sink, error: ConfigError | ServiceError, text: str, found: HandedOver) -> None:
        """The other partners would wait as long for the same answer, unless it is about one file."""
        if isinstance(error, ServiceError) and not isinstance(error, Refused):
            self._down[sink.name] = error
        found.problems.append(text)


class _Theirs:
    """The rows of one partner, and the organisations through which they are the partner's."""

    def __init__(self) -> None:
        self.rows: dict[int, Reported] = {}
        self.orgs: set[str] = set()
        #: In the order in which the organisations want them; one that wants none gets the usual ones.
        self.columns: dict[str, None] = {}
        #: Of each learner those that an organisation of theirs wants.
        self.wanted: defaultdict[int, set[str]] = defaultdict(set)

    def add(self, org: str, row: Reported, headings: Sequence[str]) -> None:
        """Adds a learner of one organisation, which wants these columns; none: the usual ones."""
        self.rows[row.user_id] = row
        self.orgs.add(org)
        self.columns |= dict.fromkeys(headings or COLUMNS)
        self.wanted[row.user_id].update(headings or COLUMNS)


def _reports(
    sink: Sink, naming: Naming, due: Mapping[str, _Theirs], files: Sequence[DeliveredFile]
) -> Iterator[Report]:
    """The files that a sink has no receipts of: those learners of each partner that no earlier file has."""
    for partner, theirs in due.items():
        before = [each for each in files if each.partner == partner]
        told = {user_id for each in before for user_id in each.user_ids}
        rows = [row for user_id, row in theirs.rows.items() if user_id not in told]
        if rows and sink.takes(partner):
            yield naming.report(partner, len(before), rows, theirs.orgs, tuple(theirs.columns), theirs.wanted)


def _odd_headings(org: str, unknown: Sequence[str], row: Reported) -> str:
    """A line about headings that are no columns; the LMS may send any text as one, also what the learner is called."""
    theirs = {*words_of(f"{row.original_username} {row.original_email} {row.original_name}")}
    plain = (_HEADING.fullmatch(each) and theirs.isdisjoint(words_of(each)) for each in unknown)
    named = ", ".join(
        each if is_plain else "one that is no word" for each, is_plain in zip(unknown, plain, strict=True)
    )
    return f"organisation {org} wants {named} as headings; set partners.headings of it to some of {', '.join(KNOWN)}"


def _entries(file: DeliveredFile) -> list[dict[str, object]]:
    learners = len(file.user_ids)
    return [
        {"organisation": org, "file": file.file, "learners": learners}
        | ({} if org == file.partner else {"partner": file.partner})
        for org in file.orgs
    ]
