"""The partner report: course partners learn which of their learners are retired, and each report is sent once.

The LMS hands the rows of its partner queue out once and flags them, whether or not the answer arrives, and no
endpoint lists flagged rows (contract, section 2.11). So a claim is in the ledger before it is sent, its answer is
sealed there before anything is done with it, and it is dropped only when the files are written and the LMS has
deleted the rows. A learner who was put into the queue by a step of ours may be missing from a claim whose answer
arrived: `retirement.partners.unreported` queues the learner again, and the next claim has the row.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from retirement.errors import RetirementError, ServiceError, Transient
from retirement.learner import Learner
from retirement.ledger import Claim, LearnerRecord, Lease, not_retired
from retirement.ledger.claims import BEGUN, SEALED, WRITTEN, Part
from retirement.partners.claimed import Origin, Reported, SealedClaim, read, user_ids_of
from retirement.partners.destination import Destination
from retirement.partners.handover import HandedOver, HandOver
from retirement.partners.unreported import UnreportedLearners, note_namesakes
from retirement.pipeline import COMPLETE
from retirement.pipeline.proof import doubt
from retirement.privacy.spool import Spool
from retirement.process import in_parts
from retirement.site import Batch, Site
from retirement.site.watch import look_at_each

logger = logging.getLogger(__name__)

#: Claims that one run makes at most: one that is lost, one that shows who was in it, one that has them again.
ROUNDS = 4
#: Learners of one claim at most. A longer answer of the LMS is several claims, which partners get in as many files.
LEARNERS = 1_000


@dataclass
class Delivery:
    """What one run has delivered and what it has not: organisations, user ids and numbers, no learner's name."""

    files: dict[str, int] = field(default_factory=dict)  #: written by this run, with the learners in each
    orgs: Counter[str] = field(default_factory=Counter)  #: learners in the reports to each organisation
    learners: int = 0  #: that were in the claims delivered
    told: list[int] = field(default_factory=list)  #: learners in the files of this run
    without_org: int = 0  #: of those, learners of no organisation: no report is due
    again: int = 0  #: rows of learners who were in an earlier report
    queued_again: list[int] = field(default_factory=list)  #: learners whose rows were in an answer that was lost
    never_queued: list[int] = field(default_factory=list)  #: the LMS had no organisation of these learners
    waiting: set[int] = field(default_factory=set)  #: learners that a partner waits for; `problems` says why
    not_retired: dict[int, str] = field(default_factory=dict)  #: learners in a report, and where their row is
    lost: list[str] = field(default_factory=list)  #: why claims of this run were lost
    left: dict[int, str] = field(default_factory=dict)  #: learners whose report is still due, and why
    problems: list[str] = field(default_factory=list)  #: what else the next run has to do, or a person
    error: RetirementError | None = None  #: what ended the run before it was through

    def add(self, found: HandedOver, rows: Sequence[Reported], *, again: int) -> None:
        """Counts one claim: its files, its new rows that are delivered, and how many were in an earlier report."""
        self.files |= found.files
        self.orgs.update(found.orgs)
        self.learners += len(rows)
        self.told += [row.user_id for row in rows]
        self.without_org += sum(not row.organisations for row in rows)
        self.again += again


async def deliver(site: Site, batch: Batch, destination: Destination) -> Delivery:
    """Finishes what earlier runs have begun, claims, delivers, and queues learners that a claim lacks again.

    Raises `BusyElsewhere` while another run does the same, `ConfigError` where a sink cannot be used as it is set, and
    `ServiceError` where none answers; what stops the run later is `Delivery.error`. Wherever it stops or dies, the next
    run goes on from there.
    """
    try:
        return await _delivered(site, batch, destination)
    finally:
        for error in await destination.close():
            logger.warning("%s", error)


async def _delivered(site: Site, batch: Batch, destination: Destination) -> Delivery:
    down = await destination.require()
    lease = await site.ledger.leases.take("partner-report", what="the partner report")
    run = _Run(site, batch, destination, lease, down)
    try:
        await run.finish_earlier()
        await run.claim_until_complete()
        await run.look_who_is_not_retired()
    except RetirementError as error:
        run.delivery.error = error
    finally:
        await site.ledger.leases.release(lease)
    return run.delivery


class _Run:
    """One run, under the lease of the partner report."""

    def __init__(
        self, site: Site, batch: Batch, destination: Destination, lease: Lease, down: Mapping[str, ServiceError]
    ) -> None:
        self.site = site
        self._batch = batch
        self.ledger = site.ledger
        self.delivery = Delivery()
        self._destination = destination
        self._lease = lease
        self._hand_over = HandOver(site.ledger, destination, self._ensure_allowed, down)
        #: A claim has a row whose user id cannot be read, so no learner can be said to be missing from it.
        self._has_unknown = False
        #: The answer of the claim before was lost.
        self._lost_before = False

    async def finish_earlier(self) -> None:
        """Closes claims whose run stopped before the answer, and delivers what was kept. No other run has the lease."""
        self.delivery.problems += await self._hand_over.discard_drafts(self._destination.platform)
        claims = self.ledger.claims
        for number in await claims.numbers(BEGUN):
            await claims.lost(number, "the process stopped between request and answer")
        for number in await claims.numbers(WRITTEN):
            rows, _ = read(SealedClaim.unpacked(await claims.unseal(number)).rows)
            await self._clear(number, rows)
        for number in await claims.numbers(SEALED):
            await self._deliver(await claims.one(number))

    async def claim_until_complete(self) -> None:
        """Claims until no learner is missing. Raises the `Transient` of a second claim in a row that was lost."""
        unreported = UnreportedLearners(self.site, self.delivery, self._ensure_allowed)
        for _ in range(ROUNDS):
            claim_id = await self._claimed()
            if claim_id is None:
                # Sent again at once: the ledger knows the learners of the lost answer, and the next answer lacks them.
                continue
            claim = await self._deliver_from(claim_id)
            if self._has_unknown or not await unreported.queue_again(claim):
                return
        self.delivery.problems.append("learners were queued again and are in no claim yet; the next run has them")

    async def look_who_is_not_retired(self) -> None:
        """Finds those whom partners are told of though their retirement has not ended: the step comes before others."""
        asked: dict[int, LearnerRecord | None] = {}
        for some in in_parts(self.delivery.told, LEARNERS):
            known = await self.ledger.learners.retirements(some)
            newest = {each.user_id: each for each in known}  # those of one learner are in the order of their requests
            retired = newest.keys() - {each.user_id for each in not_retired(known)}
            asked |= {user_id: newest.get(user_id) for user_id in some if user_id not in retired}
        found = self.delivery.not_retired
        found |= dict.fromkeys(asked, "the LMS has no row")

        def look(row: Learner) -> None:
            record = asked[row.user_id]
            found.pop(row.user_id, None)
            if row.state != COMPLETE:
                found[row.user_id] = f"the row is {row.state}"
            elif record and (why := doubt(self.site.pipeline, row, record)):
                found[row.user_id] = why

        if asked:
            await look_at_each(self.site, asked, look)

    async def _claimed(self) -> int | None:
        """The number of a new claim, None where its answer was lost. Raises where the one before was lost too."""
        try:
            claim_id = await self._claim()
        except Transient as error:
            if self._lost_before or not error.in_doubt:
                raise
            self._lost_before = True
            self.delivery.lost.append(str(error))
            return None
        self._lost_before = False
        return claim_id

    async def _claim(self) -> int:
        """Intent, call, seal: what the LMS hands out is in the ledger before it is used."""
        self._ensure_allowed()
        claim_id = await self.ledger.claims.begin()
        rows = Spool[Any]()
        try:
            await self.site.lms.partner_queue.claim(rows.append)
        except ServiceError as error:
            await self.ledger.claims.lost(claim_id, str(error))
            raise
        parts = self._parts(rows)
        first, user_ids = next(parts)
        await self.ledger.claims.seal(claim_id, first, user_ids, apart=lambda: islice(self._parts(rows), 1, None))
        return claim_id

    def _parts(self, rows: Spool[Any]) -> Iterator[Part]:
        """The parts of an answer, each small enough to be in memory whole; odd rows are in parts of their own."""
        for some in rows.batches(LEARNERS) if len(rows) else [[]]:
            readable, odd = read(some)
            yield self._sealed([row.model_dump() for row in readable]).packed(), [row.user_id for row in readable]
            if odd:
                yield self._sealed(odd).packed(), user_ids_of(odd)

    def _sealed(self, rows: list[Any], origin: Origin | None = None) -> SealedClaim:
        place = self._destination
        return SealedClaim(rows, place.folder, place.platform, place.places, origin)

    async def _deliver_from(self, claim_id: int) -> Claim:
        """Delivers what was sealed with this claim and after it; returns the claim as it is then."""
        for number in await self.ledger.claims.numbers(SEALED):
            if number >= claim_id:
                await self._deliver(await self.ledger.claims.one(number))
        return await self.ledger.claims.one(claim_id)

    async def _deliver(self, claim: Claim) -> None:
        """Delivers a claim, without learners of earlier claims; then the LMS may delete the rows that are through."""
        sealed = SealedClaim.unpacked(await self.ledger.claims.unseal(claim.id))
        if (rows := self._deliverable(claim, sealed)) is None:
            return
        earlier = await self.ledger.claims.also_in(claim.user_ids, but=claim.id, open_only=False)
        new = _without(earlier, rows)
        self._ensure_allowed()
        origin = sealed.origin or Origin(claim.id, claim.began_at.date(), _orgs_of(rows))
        found = await self._hand_over.deliver(origin, sealed.platform, new)
        self.delivery.problems += found.problems
        self.delivery.waiting |= found.waiting
        done = _without(found.waiting, rows)
        self.delivery.add(found, _without(found.waiting, new), again=len(rows) - len(new))
        if found.waiting and done:
            await self._part(claim, sealed, origin, found.waiting)
        if done or not rows:
            await self.ledger.claims.written(claim.id, found.files)
            await self._clear(claim.id, done)

    def _deliverable(self, claim: Claim, sealed: SealedClaim) -> list[Reported] | None:
        """The rows of a claim; None where all of them have to wait, and the problems say why."""
        rows, odd = read(sealed.rows)
        problem = _elsewhere(claim, sealed, self._destination)
        if odd:
            # Kept, so that a release that can read them delivers them.
            self._has_unknown = self._has_unknown or len(claim.user_ids) < len(sealed.rows)
            problem = f"claim {claim.id}: {len(odd)} rows are not as the contract says; kept"
        if problem:
            self.delivery.problems.append(problem)
        return None if problem else rows

    async def _part(self, claim: Claim, sealed: SealedClaim, origin: Origin, waiting: set[int]) -> None:
        """Puts the rows that have to wait into a claim of their own, whose files keep the names of this one."""
        parts: dict[bool, list[Any]] = {True: [], False: []}
        for row in sealed.rows:
            parts[row["user_id"] in waiting].append(row)
        packed = {waits: replace(sealed, rows=part, origin=origin).packed() for waits, part in parts.items()}
        ids = {waits: [row["user_id"] for row in part] for waits, part in parts.items()}
        await self.ledger.claims.parted(claim.id, (packed[False], ids[False]), (packed[True], ids[True]))

    async def _clear(self, claim_id: int, rows: Sequence[Reported]) -> None:
        """Has the LMS delete the rows of a claim whose files are there, then drops what was sealed.

        A learner of another claim that waits keeps the row, which goes with that claim.
        """
        claims = self.ledger.claims
        elsewhere = await claims.also_in([row.user_id for row in rows], but=claim_id, open_only=True)
        if rows := _without(elsewhere, rows):
            await note_namesakes(self.site, [row.original_username for row in rows])
            self._ensure_allowed()
            # A row that is gone already was deleted by a run that died before it could say so.
            await self.site.lms.partner_queue.delete(row.original_username for row in rows)
        await claims.delivered(claim_id)

    def _ensure_allowed(self) -> None:
        """Before each thing that cannot be undone; raises `LeaseLost` and `Interrupted`."""
        self._batch.ensure_allowed(lambda: self.ledger.leases.check(self._lease))


def _elsewhere(claim: Claim, sealed: SealedClaim, destination: Destination) -> str | None:
    """Why a claim waits that was begun for other places, where its files may be in part; None where it need not."""
    if sealed.folder and sealed.folder != destination.folder:
        return (
            f"claim {claim.id} was begun for {sealed.folder} and may be there in part: "
            "give that folder as --output once, so that no learner is in two files"
        )
    now = destination.places
    moved = [name for name, place in sealed.places.items() if now.get(name, place) != place]
    if moved:
        return (
            f"claim {claim.id} was begun for sink {moved[0]} at {sealed.places[moved[0]]} and may be there in part: "
            "give the sink its former place once, or the new one another name"
        )
    return None


def _without(user_ids: set[int], rows: Sequence[Reported]) -> list[Reported]:
    return [row for row in rows if row.user_id not in user_ids]


def _orgs_of(rows: Sequence[Reported]) -> tuple[str, ...]:
    return tuple(sorted({org for row in rows for org in row.organisations}))


def summary(delivery: Delivery) -> str:
    """What a run came to, in one line without a learner's name."""
    parts = [f"{delivery.learners} learners reported in {len(delivery.files)} files"]
    counted = {
        "without an organisation": delivery.without_org,
        "reported before": delivery.again,
        "queued again": len(set(delivery.queued_again)),
        "never queued, since the LMS has no organisation of them": len(delivery.never_queued),
        "not retired yet": len(delivery.not_retired),
        "still due": len(delivery.left.keys() | delivery.waiting),
    }
    return ", ".join([*parts, *(f"{count} {what}" for what, count in counted.items() if count)])


def document(delivery: Delivery) -> dict[str, Any]:
    """A run for `--json`; `errors` is empty where nothing is left to do."""
    return {
        "summary": summary(delivery),
        "learners": delivery.learners,
        "organisations": dict(sorted(delivery.orgs.items())),
        "files": delivery.files,
        "without_organisation": delivery.without_org,
        "reported_before": delivery.again,
        "queued_again": sorted(set(delivery.queued_again)),
        "never_queued": sorted(delivery.never_queued),
        "not_retired": {str(user_id): why for user_id, why in sorted(delivery.not_retired.items())},
        "waiting": sorted(delivery.waiting),
        "claims_lost": delivery.lost,
        "errors": [
            *(str(delivery.error).splitlines() if delivery.error else []),
            *delivery.problems,
            *(f"learner {user_id}: {why}" for user_id, why in sorted(delivery.left.items())),
        ],
    }
