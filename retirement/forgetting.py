"""Whether the LMS may forget who a learner was: what the ledger proves, what holds keep, what an operator said."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from retirement import certificate as certificates
from retirement.certificate import Certificate
from retirement.errors import ConfigError
from retirement.learner import Learner
from retirement.ledger import Hold, Ledger, chain
from retirement.ledger.extract import extract
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


async def against(site: Site, row: Learner, holds: Collection[Hold], told: Told | None) -> Archived | Told | None:
    """What keeps a learner, or on whose word they go; None where the ledger proves enough."""
    org_holds = [hold for hold in holds if hold.org is not None]
    if on := site.holds_on(row, holds) or await site.with_orgs(row, org_holds):
        return Archived(row.user_id, What.HELD, "; ".join(hold.sentence for hold in on))
    found = await _certificate(site.ledger, row)
    if isinstance(found, str):
        return told if told and told.incomplete else Archived(row.user_id, What.KEPT, found)
    if found["complete"]:
        return None
    text = "; ".join(found["not_complete"])
    if found["only_promised"]:
        return told if told and told.receipts else Archived(row.user_id, What.WAITING, text)
    is_enough = told and told.incomplete and (told.receipts or not _open_receipts(found))
    return told if is_enough else Archived(row.user_id, What.KEPT, text)


async def _certificate(ledger: Ledger, row: Learner) -> Certificate | str:
    """The certificate of that retirement, or why there is none."""
    found = await extract(ledger, row.user_id)
    # As of now: a hold ends without an entry, and a certificate has the time of the last one.
    today = replace(found, head=replace(found.head, at=chain.written(ledger.now())))
    try:
        issued = certificates.certificate_of(today, row.retirement_id)
    except ConfigError as error:
        return f"{error}: another driver retired them"
    if issued["requested_at"] != chain.written(row.requested_at):
        return f"the ledger's retirement {row.retirement_id} was requested at another time: is it of another site?"
    return issued


def _open_receipts(found: Certificate) -> bool:
    return any(each["state"] == "open" for each in found["receipts"])
