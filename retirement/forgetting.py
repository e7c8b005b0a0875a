"""Whether the LMS may forget who a learner was: what the ledger proves, what holds keep, what an operator said."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from retirement import certificate as certificates
from retirement.certificate import Certificate
from retirement.errors import ConfigError
from retirement.learner import Learner
from retirement.ledger import Hold, Ledger, chain
from retirement.ledger.extract import Extract, extract
from retirement.site import Site


class What(StrEnum):
    """What came of one learner."""

    CLEARED = "cleared"  #: the LMS has forgotten who they were
    WOULD_CLEAR = "would-clear"  #: nothing is against it, and this only looks
    WAITING = "waiting"  #: something was promised and is not confirmed yet, or a run has them
    HELD = "held"  #: a hold keeps them
    KEPT = "kept"  #: their erasure is not proved; a person has to look
    REFUSED = "refused"  #: the LMS does not clean them up
    UNANSWERED = "unanswered"  #: no answer came that says what became of them; the next run asks again


#: Of these a person has to know.
TROUBLE = frozenset({What.KEPT, What.REFUSED, What.UNANSWERED})


@dataclass(frozen=True, slots=True)
class Archived:
    """One learner in COMPLETE whose time has come; `user_id` None: rows that cannot be listed or read."""

    user_id: int | None
    what: What
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """An operator's word, which names nobody: `incomplete` certificates do, and open `receipts` do."""

    reason: str
    by: str
    incomplete: bool = False
    receipts: bool = False

    @property
    def facts(self) -> dict[str, str]:
        """What the ledger keeps of it."""
        return {"reason": self.reason, "by": self.by}


@dataclass(frozen=True, slots=True)
class Cleared:
    """Nothing keeps a learner, as of entry `seq` of the ledger; on whose word, where the ledger has no proof."""

    seq: int
    told: Told | None


async def against(site: Site, row: Learner, holds: Collection[Hold], told: Told | None) -> Archived | Cleared:
    """What keeps a learner, or that nothing does. Asks nobody: the organisations are those that the site knows."""
    if on := site.holds_on(row, holds):
        return Archived(row.user_id, What.HELD, "; ".join(hold.sentence for hold in on))
    found = await extract(site.ledger, row.user_id)
    try:
        issued = _issued(found, row, site.ledger.now())
    except ConfigError as error:
        text, is_promised = str(error), False
    else:
        if issued["complete"]:
            return Cleared(found.head.seq, None)
        text, is_promised = "; ".join(issued["not_complete"]), certificates.only_promised(issued)
    if told and await _is_enough(site.ledger, row, told, is_promised=is_promised):
        return Cleared(found.head.seq, told)
    return Archived(row.user_id, What.WAITING if is_promised else What.KEPT, text)


async def _is_enough(ledger: Ledger, row: Learner, told: Told, *, is_promised: bool) -> bool:
    """Whether the word covers what is missing: promises, or proof, and then open receipts have to be covered too."""
    if is_promised:
        return told.receipts
    if not told.incomplete:
        return False
    return told.receipts or not await ledger.receipts(user_id=row.user_id, open_only=True)


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
