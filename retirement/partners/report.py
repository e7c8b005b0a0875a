"""The partner report: course partners learn which of their learners are retired, and each report is sent once.

The LMS hands the rows of its partner queue out once and flags them, whether or not the answer arrives, and no
endpoint lists flagged rows (contract, section 2.11). So a claim is in the ledger before it is sent, its answer is
sealed there before anything is done with it, and it is dropped only when the files are written and the LMS has
deleted the rows. A learner who was put into the queue by a step of ours may be missing from a claim whose answer
arrived: `retirement.partners.unreported` queues the learner again, and the next claim has the row.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from retirement.errors import ConfigError, RetirementError, ServiceError, Transient
from retirement.ledger import Claim, Lease, not_retired
from retirement.ledger.claims import BEGUN, DELIVERED, SEALED, WRITTEN
from retirement.partners.files import Destination, Reported, SealedClaim, per_org, read, user_ids_of
from retirement.partners.unreported import UnreportedLearners, note_namesakes
from retirement.pipeline import COMPLETE
from retirement.pipeline.proof import doubt
from retirement.site import Batch, Site
from retirement.site.watch import locate_all

#: Claims that one run makes at most: one that is lost, one that shows who was in it, one that has them again.
ROUNDS = 4


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
    not_retired: dict[int, str] = field(default_factory=dict)  #: learners in a report, and where their row is
    lost: list[str] = field(default_factory=list)  #: why claims of this run were lost
    left: dict[int, str] = field(default_factory=dict)  #: learners whose report is still due, and why
    problems: list[str] = field(default_factory=list)  #: what else the next run has to do, or a person
    error: RetirementError | None = None  #: what ended the run before it was through

    def add(self, files: Mapping[str, int], rows: Sequence[Reported], *, again: int) -> None:
        """Counts one claim: its files, its rows that are new, and how many were in an earlier report."""
        self.files |= files
        self.orgs.update(per_org(rows))
        self.learners += len(rows)
        self.without_org += sum(not row.organisations for row in rows)
        self.again += again


async def deliver(site: Site, batch: Batch, destination: Destination) -> Delivery:
    """Finishes what earlier runs have begun, claims, writes the files, and queues learners that a claim lacks again.

    Raises `BusyElsewhere` while another run does the same, and `ConfigError` where there is no folder to write to; what
    stops the run later is `Delivery.error`. Wherever it stops or dies, the next run goes on from there.
    """
    destination.require()
    lease = await site.ledger.leases.take("partner-report", what="the partner report")
    run = _Run(site, batch, destination, lease)
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

    def __init__(self, site: Site, batch: Batch, destination: Destination, lease: Lease) -> None:
        self.site = site
        self._batch = batch
        self.ledger = site.ledger
        self.delivery = Delivery()
        self._destination = destination
        self._lease = lease
        #: A claim has a row whose user id cannot be read, so no learner can be said to be missing from it.
        self._has_unknown = False
        #: The answer of the claim before was lost.
        self._lost_before = False

    async def finish_earlier(self) -> None:
        """Closes claims whose run stopped before the answer, and delivers what was kept. No other run has the lease."""
        for claim in await self.ledger.claims.find(state=BEGUN):
            await self.ledger.claims.lost(claim.id, "the process stopped between request and answer")
        for claim in await self.ledger.claims.find(state=WRITTEN):
            rows, _ = read(SealedClaim.unpacked(await self.ledger.claims.unseal(claim.id)).rows)
            await self._clear(claim, rows)
        for claim in await self.ledger.claims.find(state=SEALED):
            await self._hand_over(claim)

    async def claim_until_complete(self) -> None:
        """Claims until no learner is missing. Raises the `Transient` of a second claim in a row that was lost."""
        unreported = UnreportedLearners(self.site, self.delivery, self._ensure_allowed)
        for _ in range(ROUNDS):
            claim_id = await self._claimed()
            if claim_id is None:
                # Sent again at once: the ledger knows the learners of the lost answer, and the next answer lacks them.
                continue
            claim = await self._hand_over_from(claim_id)
            if self._has_unknown or not await unreported.queue_again(claim):
                return
        self.delivery.problems.append("learners were queued again and are in no claim yet; the next run has them")

    async def look_who_is_not_retired(self) -> None:
        """Finds those whom partners are told of though their retirement has not ended: the step comes before others."""
        known = await self.ledger.learners.retirements(self.delivery.told)
        newest = {each.user_id: each for each in known}  # those of one learner are in the order of their requests
        retired = newest.keys() - {each.user_id for each in not_retired(known)}
        asked = set(self.delivery.told) - retired
        rows = await locate_all(self.site, asked) if asked else {}
        for user_id in sorted(asked):
            row, record = rows.get(user_id), newest.get(user_id)
            if row is None or row.state != COMPLETE:
                self.delivery.not_retired[user_id] = f"the row is {row.state}" if row else "the LMS has no row"
            elif record and (why := doubt(self.site.pipeline, row, record)):
                self.delivery.not_retired[user_id] = why

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
        try:
            rows = await self.site.lms.partner_queue.claim()
        except ServiceError as error:
            await self.ledger.claims.lost(claim_id, str(error))
            raise
        readable, odd = read(rows)
        sealed = SealedClaim([row.model_dump() for row in readable], self._destination).packed()
        apart = (SealedClaim(odd, self._destination).packed(), user_ids_of(odd)) if odd else None
        await self.ledger.claims.seal(claim_id, sealed, [row.user_id for row in readable], apart=apart)
        return claim_id

    async def _hand_over_from(self, claim_id: int) -> Claim:
        """Hands over what was sealed with this claim and after it; returns the claim as it is then."""
        for claim in await self.ledger.claims.find(state=SEALED):
            if claim.id >= claim_id:
                await self._hand_over(claim)
        (found,) = [each for each in await self.ledger.claims.find() if each.id == claim_id]
        return found

    async def _hand_over(self, claim: Claim) -> None:
        """Writes the files of a claim, without learners of earlier claims; then the LMS may delete the rows."""
        sealed = SealedClaim.unpacked(await self.ledger.claims.unseal(claim.id))
        rows, odd = read(sealed.rows)
        if odd:
            # Kept, so that a release that can read them delivers them.
            self._has_unknown = self._has_unknown or len(claim.user_ids) < len(sealed.rows)
            self.delivery.problems.append(f"claim {claim.id}: {len(odd)} rows are not as the contract says; kept")
            return
        if sealed.destination.folder != self._destination.folder:
            self.delivery.problems.append(
                f"claim {claim.id} was begun for {sealed.destination.folder} and may be there in part: "
                "give that folder as --output once, so that no learner is in two files"
            )
            return
        earlier = await self._in_earlier(claim)
        new = [row for row in rows if row.user_id not in earlier]
        self._ensure_allowed()
        files = sealed.destination.write(claim.id, claim.began_at.date(), new)
        await self.ledger.claims.written(claim.id, files)
        self.delivery.add(files, new, again=len(rows) - len(new))
        self.delivery.told += [row.user_id for row in new]
        await self._clear(claim, rows)

    async def _in_earlier(self, claim: Claim) -> set[int]:
        claims = await self.ledger.claims.find()
        kept = [each for each in claims if each.id < claim.id and each.state in (SEALED, WRITTEN, DELIVERED)]
        return {user_id for each in kept for user_id in each.user_ids}

    async def _clear(self, claim: Claim, rows: Sequence[Reported]) -> None:
        """Has the LMS delete the rows of a claim whose files are there, then drops what was sealed."""
        if rows:
            await note_namesakes(self.site, [row.original_username for row in rows])
            self._ensure_allowed()
            # A row that is gone already was deleted by a run that died before it could say so.
            await self.site.lms.partner_queue.delete(row.original_username for row in rows)
        await self.ledger.claims.delivered(claim.id)

    def _ensure_allowed(self) -> None:
        """Before each thing that cannot be undone; raises `LeaseLost` and `Interrupted`."""
        self._batch.ensure_allowed(lambda: self.ledger.leases.check(self._lease))


def destination(folder: Path | str | None, url: str) -> Destination:
    """The folder, with the host of the LMS as the name of the platform. Raises `ConfigError` without a folder."""
    if folder is None:
        raise ConfigError("partner_reports: the configuration names no folder for the files; set it")
    return Destination(Path(folder).expanduser().absolute(), urlsplit(url).hostname or "lms")


def summary(delivery: Delivery) -> str:
    """What a run came to, in one line without a learner's name."""
    parts = [f"{delivery.learners} learners reported in {len(delivery.files)} files"]
    counted = {
        "without an organisation": delivery.without_org,
        "reported before": delivery.again,
        "queued again": len(set(delivery.queued_again)),
        "never queued, since the LMS has no organisation of them": len(delivery.never_queued),
        "not retired yet": len(delivery.not_retired),
        "still due": len(delivery.left),
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
        "claims_lost": delivery.lost,
        "errors": [
            *(str(delivery.error).splitlines() if delivery.error else []),
            *delivery.problems,
            *(f"learner {user_id}: {why}" for user_id, why in sorted(delivery.left.items())),
        ],
    }
