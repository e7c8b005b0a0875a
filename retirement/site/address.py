"""Whether the learner of an e-mail address was erased: every retirement of the address that is known, and what is not.

A yes means that each of them has ended retired. One that has not is named by the user id; what could not be asked is
said beside the answer, since no answer is about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from retirement.errors import ServiceError
from retirement.learner import Learner
from retirement.ledger import LearnerRecord, not_retired
from retirement.lms import Listing
from retirement.pipeline import COMPLETE
from retirement.site.by_name import Name
from retirement.site.site import Site
from retirement.site.watch import ENDED, Watched, watch

#: What neither the ledger nor the LMS' retirements tell, whatever they say.
NEVER_ASKED = (
    "the LMS, for an account with the address that never asked for its retirement",
    "the services and databases, for what they still hold: `retirement verify` and `retirement residue` ask them",
)


@dataclass(frozen=True, slots=True)
class NotRetired:
    """A retirement that has not ended retired, and what is known of it."""

    user_id: int
    retirement_id: int
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an address; `erased` None: neither yes nor no can be said."""

    erased: bool | None
    retirements: tuple[LearnerRecord, ...]
    not_retired: tuple[NotRetired, ...]
    not_asked: tuple[str, ...]


async def was_erased(site: Site, email: str) -> Answer:
    """The answer for an address, by digests in the ledger and by rows of the LMS in memory. Raises `LedgerError`."""
    name = Name("email", email)
    records = await name.retirements(site.ledger)
    rows, not_asked = await _rows(site, name, records)
    keys = await _unknown_keys(site)
    left, elsewhere = [*unfinished(records), *_left(rows, records)], [*_elsewhere(rows, records), *_unseen(records)]
    erased: bool | None = False if left else bool(records)
    if not left and (elsewhere or (keys and not records)):
        erased = None  # digests under those keys cannot be compared, and another driver's word is no proof
    return Answer(erased, tuple(records), (*left, *elsewhere), (*not_asked, *keys, *NEVER_ASKED))


async def _unknown_keys(site: Site) -> list[str]:
    unknown = await site.ledger.learners.unknown_keys()
    return [f"{count} retirements of the ledger, under key {key}: not in ledger.keys" for key, count in unknown.items()]


def unfinished(records: Iterable[LearnerRecord]) -> list[NotRetired]:
    """Those of a learner's or an address' retirements that have not ended retired, as far as the ledger tells."""
    return list(map(of_record, not_retired(records)))


def of_record(record: LearnerRecord) -> NotRetired:
    """What the ledger has of a retirement that has not ended retired."""
    why = f"it ended {record.ending}{f': {record.reason}' if record.reason else ''}"
    return NotRetired(record.user_id, record.retirement_id, why if record.ending else "its run is under way, or died")


async def _rows(site: Site, name: Name, records: Iterable[LearnerRecord]) -> tuple[list[Learner], list[str]]:
    """Rows of the LMS with the address, in whatever state, and which rows could not be compared."""
    try:
        watched = await watch(site)
        ended = await _ended(site, name, watched)
    except ServiceError as error:
        return [], [f"the LMS, for retirements that this ledger does not know: {error}"]
    known = {each.user_id for each in records}
    unseen = [each for each in watched.unseen if each.record.user_id not in known]
    hidden = [f"the row of learner {each.record.user_id}: {each.why}" for each in unseen]
    of_name = [each for each in watched.learners if name.is_of(each)]
    return [*of_name, *ended.learners], [*hidden, *watched.unreadable, *ended.unreadable]


async def _ended(site: Site, name: Name, watched: Watched) -> Listing:
    """The rows that have ended, of all who ever retired, without those of other addresses."""
    found: list[Learner] = []
    unreadable: list[str] = []
    async for page in site.lms.rows.pages([state for state in watched.order if state in ENDED], 0):
        found += [each for each in page.learners if name.is_of(each)]
        unreadable += page.unreadable
    return Listing(found, tuple(unreadable))


def _left(rows: Iterable[Learner], records: Iterable[LearnerRecord]) -> list[NotRetired]:
    """Rows that are not COMPLETE, of retirements that the ledger does not know or has as retired."""
    said = {(each.user_id, each.retirement_id) for each in not_retired(records)}
    return [
        NotRetired(each.user_id, each.retirement_id, f"the LMS has its row in {each.state}")
        for each in rows
        if each.state != COMPLETE and (each.user_id, each.retirement_id) not in said
    ]


def _unseen(records: Iterable[LearnerRecord]) -> list[NotRetired]:
    """Retirements that were COMPLETE when the first run of ours came: no step is proved."""
    why = "the row was COMPLETE before any run of ours, and the ledger has no proof: another driver retired the learner"
    retired = [each for each in records if each.retired_at and not each.finished]
    return [NotRetired(each.user_id, each.retirement_id, why) for each in retired]


def _elsewhere(rows: Iterable[Learner], records: Iterable[LearnerRecord]) -> list[NotRetired]:
    """Rows in COMPLETE of which the ledger has nothing."""
    known = {(each.user_id, each.retirement_id) for each in records}
    why = "the LMS has its row in COMPLETE, and the ledger has no proof: another driver retired the learner"
    return [
        NotRetired(each.user_id, each.retirement_id, why)
        for each in rows
        if each.state == COMPLETE and (each.user_id, each.retirement_id) not in known
    ]
