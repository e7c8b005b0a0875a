"""The partner report: who learns which learners of theirs are retired, without losing or doubling anybody.

The LMS hands the rows of its partner queue out once and flags them, whether or not the answer arrives, and no
endpoint lists flagged rows (contract, section 2.11). So a claim is in the ledger before it is sent, its answer is
sealed there before anything is done with it, and it is dropped only when the files are written and the LMS has
deleted the rows. Whom a good claim lacks although a step of ours had put them into the queue,
`retirement.unreported` looks after; then the next claim has them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from retirement.errors import Held, RetirementError, ServiceError, StateConflict, Transient
from retirement.ledger import Claim, Lease
from retirement.ledger.claims import BEGUN, DELIVERED, SEALED, WRITTEN
from retirement.partner_files import Destination, Parcel, Reported, per_org, read, user_ids_of
from retirement.site import Site
from retirement.unreported import Missing, mind_twins

#: Claims that one run makes at most: one that is lost, one that shows who was in it, one that has them again.
ROUNDS = 4


@dataclass
class Delivery:
    """What one run has delivered, and whom it could not: organisations, user ids and numbers, nobody's name."""

    files: dict[str, int] = field(default_factory=dict)  #: written by this run, with the learners in each
    orgs: Counter[str] = field(default_factory=Counter)  #: learners that each organisation was told of
    learners: int = 0  #: that were in the claims delivered
    without_org: int = 0  #: of those, nobody has to be told
    again: int = 0  #: of those, the partners had been told before
    queued_again: list[int] = field(default_factory=list)  #: whom a lost answer had swallowed
    nothing: int = 0  #: the LMS has no report of them, so nothing is due
    lost: list[str] = field(default_factory=list)  #: why claims of this run were lost
    left: dict[int, str] = field(default_factory=dict)  #: whose report is still due, and why
    problems: list[str] = field(default_factory=list)  #: what else the next run has to do, or a person
    error: RetirementError | None = None  #: what ended the run before it was through


async def deliver(site: Site, destination: Destination) -> Delivery:
    """Finishes what earlier runs have begun, claims, writes the files, and looks after whom a claim lacks.

    Raises `Held` while another run does the same, and `ConfigError` where there is no folder to write to; what
    stops the run later is `Delivery.error`. Wherever it stops or dies, the next run goes on from there.
    """
    destination.require()
    try:
        lease = await site.ledger.lease("partner-report", what="the partner report")
    except StateConflict as error:
        raise Held(str(error)) from None
    run = _Run(site, destination, lease)
    try:
        await run.finish_earlier()
        await run.claim_and_look_after()
    except RetirementError as error:
        run.delivery.error = error
    finally:
        await site.ledger.release(lease)
    return run.delivery


class _Run:
    """One run, under the lease of the partner report."""

    def __init__(self, site: Site, destination: Destination, lease: Lease) -> None:
        self.site = site
        self.ledger = site.ledger
        self.delivery = Delivery()
        self._destination = destination
        self._lease = lease
        #: Somebody whose id cannot be read is in a claim, so nobody can be said to be in none.
        self._blind = False

    async def finish_earlier(self) -> None:
        """Closes what died around its call, and delivers what was kept. Nobody lives: the lease is ours."""
        for claim in await self.ledger.claims(state=BEGUN):
            await self.ledger.claim_lost(claim.id, "its run died around the call")
        for claim in await self.ledger.claims(state=WRITTEN):
            rows, _ = read(Parcel.unpacked(await self.ledger.open_claim(claim.id)).rows)
            await self._clear(claim, rows)
        for claim in await self.ledger.claims(state=SEALED):
            await self._hand_over(claim)

    async def claim_and_look_after(self) -> None:
        """Claims until nobody is missing. Raises the `Transient` of a second claim in a row that was lost."""
        lost = False
        missing = Missing(self.site, self.delivery, self._stay)
        for _ in range(ROUNDS):
            try:
                claim_id = await self._claim()
            except Transient as error:
                if lost or not error.in_doubt:
                    raise
                # Sent again at once: whom the lost answer had, the ledger knows, and the next answer lacks.
                lost = True
                self.delivery.lost.append(str(error))
                continue
            lost = False
            for claim in await self.ledger.claims(state=SEALED):
                if claim.id >= claim_id:
                    await self._hand_over(claim)
            (claim,) = [each for each in await self.ledger.claims() if each.id == claim_id]
            if self._blind or not await missing.look_after(claim):
                return
        self.delivery.problems.append("learners were queued again and are in no claim yet; the next run has them")

    async def _claim(self) -> int:
        """Intent, call, seal: what the LMS hands out is in the ledger before anybody reads it."""
        self._stay()
        claim_id = await self.ledger.claim_began()
        try:
            rows = await self.site.lms.claim()
        except ServiceError as error:
            await self.ledger.claim_lost(claim_id, str(error))
            raise
        readable, odd = read(rows)
        parcel = Parcel([row.model_dump() for row in readable], self._destination).packed()
        apart = (Parcel(odd, self._destination).packed(), user_ids_of(odd)) if odd else None
        await self.ledger.claim_sealed(claim_id, parcel, [row.user_id for row in readable], apart=apart)
        return claim_id

    async def _hand_over(self, claim: Claim) -> None:
        """Writes the files of a claim, for those whom no earlier claim has; then the rows may go."""
        parcel = Parcel.unpacked(await self.ledger.open_claim(claim.id))
        rows, odd = read(parcel.rows)
        if odd:
            # Kept, so that a release that can read them delivers them.
            self._blind = self._blind or len(claim.user_ids) < len(parcel.rows)
            self.delivery.problems.append(f"claim {claim.id}: {len(odd)} rows are not as the contract says; kept")
            return
        if parcel.destination.folder != self._destination.folder:
            self.delivery.problems.append(
                f"claim {claim.id} was begun for {parcel.destination.folder} and may be there in part: "
                "give that folder as --output once, so that nobody is in two files"
            )
            return
        earlier = await self._in_earlier(claim)
        new = [row for row in rows if row.user_id not in earlier]
        self._stay()
        files = parcel.destination.write(claim.id, claim.began_at.date(), new)
        await self.ledger.claim_written(claim.id, files)
        self.delivery.files |= files
        self.delivery.orgs.update(per_org(new))
        self.delivery.learners += len(new)
        self.delivery.without_org += sum(not row.organisations for row in new)
        self.delivery.again += len(rows) - len(new)
        await self._clear(claim, rows)

    async def _in_earlier(self, claim: Claim) -> set[int]:
        claims = await self.ledger.claims()
        kept = [each for each in claims if each.id < claim.id and each.state in (SEALED, WRITTEN, DELIVERED)]
        return {user_id for each in kept for user_id in each.user_ids}

    async def _clear(self, claim: Claim, rows: Sequence[Reported]) -> None:
        """Has the LMS delete the rows of a claim whose files are there, then drops what was sealed."""
        if rows:
            await mind_twins(self.site, [row.original_username for row in rows])
            self._stay()
            # Whose row is gone already was deleted by a run that died before it could say so.
            await self.site.lms.forget_reported(row.original_username for row in rows)
        await self.ledger.claim_delivered(claim.id)

    def _stay(self) -> None:
        """Raises `LeaseLost`, or what the run was stopped for, before the next thing that cannot be undone."""
        self.ledger.check(self._lease)
        if self.site.stop.reason:
            raise self.site.stop.reason


def destination(folder: Path, url: str) -> Destination:
    """The folder, with the host of the LMS as the name of the platform."""
    return Destination(folder.expanduser().absolute(), urlsplit(url).hostname or "lms")


def summary(delivery: Delivery) -> str:
    """What a run came to, in one line without anybody's name."""
    parts = [f"{delivery.learners} learners reported in {len(delivery.files)} files"]
    counted = {
        "without an organisation": delivery.without_org,
        "reported before": delivery.again,
        "queued again": len(set(delivery.queued_again)),
        "in the queue for nobody": delivery.nothing,
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
        "nothing_to_report": delivery.nothing,
        "claims_lost": delivery.lost,
        "errors": [
            *(str(delivery.error).splitlines() if delivery.error else []),
            *delivery.problems,
            *(f"learner {user_id}: {why}" for user_id, why in sorted(delivery.left.items())),
        ],
    }
