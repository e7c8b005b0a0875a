"""Whether the LMS may delete who a learner was: what the ledger proves, what holds keep, what an operator said."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from retirement import certificate as certificates
from retirement.certificate import Certificate
from retirement.errors import ConfigError
from retirement.learner import Learner
from retirement.ledger import Hold, Ledger, chain
from retirement.ledger.extract import Extract, SharedEntries, extract
from retirement.site import Batch, Site


class CleanupResult(StrEnum):
    """What came of one learner."""

    CLEARED = "cleared"  #: the LMS has deleted the row
    WOULD_CLEAR = "would-clear"  #: nothing is against it, and this only looks
    WAITING = "waiting"  #: something was promised and is not confirmed yet, or a run has them
    HELD = "held"  #: a hold keeps them
    KEPT = "kept"  #: their erasure is not proved; a person has to look
    REFUSED = "refused"  #: the LMS does not clean them up
    UNANSWERED = "unanswered"  #: no answer came that says what became of them; the next run asks again


#: Of these a person has to know.
TROUBLE = frozenset({CleanupResult.KEPT, CleanupResult.REFUSED, CleanupResult.UNANSWERED})


@dataclass(frozen=True, slots=True)
class CleanupFinding:
    """One learner in COMPLETE whose time has come; `user_id` None: rows that cannot be listed or read."""

    user_id: int | None
    what: CleanupResult
    text: str


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's word, which names no learner: `incomplete` certificates do, and open `receipts` do."""

    reason: str
    by: str
    incomplete: bool = False
    receipts: bool = False

    @property
    def facts(self) -> dict[str, str]:
        """What the ledger keeps of it."""
        return {"reason": self.reason, "by": self.by}


@dataclass(frozen=True, slots=True)
class Clearance:
    """Nothing keeps the learner, as of entry `seq` of the ledger; on whose word, where the ledger has no proof."""

    seq: int
    override: Override | None


async def judge(
    site: Site,
    batch: Batch,
    row: Learner,
    holds: Collection[Hold],
    override: Override | None,
    shared: SharedEntries,
) -> CleanupFinding | Clearance:
    """Why the learner must not be cleaned up, or a clearance. Sends no request: `batch` knows the organisations.

    `shared` are the entries about several learners that the run has read.
    """
    if on := batch.holds_on(row, holds):
        return CleanupFinding(row.user_id, CleanupResult.HELD, "; ".join(hold.sentence for hold in on))
    found = await extract(site.ledger, row.user_id, shared)
    lacks = _lacks(found, row, site.ledger.now())
    if lacks is None:
        return Clearance(found.head.seq, None)
    if override and await _is_enough(site.ledger, row, lacks, override):
        return Clearance(found.head.seq, override)
    return lacks


def _lacks(found: Extract, row: Learner, now: datetime) -> CleanupFinding | None:
    """What the certificate lacks, WAITING where that is only promised; None for one that is complete."""
    try:
        issued = _issued(found, row, now)
    except ConfigError as error:
        return CleanupFinding(row.user_id, CleanupResult.KEPT, str(error))
    if issued["complete"]:
        return None
    what = CleanupResult.WAITING if certificates.only_promised(issued) else CleanupResult.KEPT
    return CleanupFinding(row.user_id, what, "; ".join(issued["not_complete"]))


async def _is_enough(ledger: Ledger, row: Learner, lacks: CleanupFinding, override: Override) -> bool:
    """Whether the word covers what is missing: promises, or proof, and then open receipts have to be covered too."""
    if lacks.what is CleanupResult.WAITING:
        return override.receipts
    if not override.incomplete:
        return False
    return override.receipts or not await ledger.receipts.find(user_id=row.user_id, open_only=True)


def _issued(found: Extract, row: Learner, now: datetime) -> Certificate:
    """The certificate of that very retirement; raises `ConfigError` where the ledger has none."""
    # As of now: a hold ends without an entry, and a certificate has the time of the last one.
    today = replace(found, head=replace(found.head, at=chain.written(now)))
    try:
        issued = certificates.certificate_of(today, row.retirement_id)
    except ConfigError as error:
        raise ConfigError(f"{error}: another driver retired them") from None
    if issued["requested_at"] != chain.written(row.requested_at):
        why = "was requested at another time: is it of another site?"
        raise ConfigError(f"the ledger's retirement {row.retirement_id} {why}")
    return issued
