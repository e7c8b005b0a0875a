"""What the ledger stores: the chain of entries, the evidence that is a projection of it, and the leases.

Nothing personal has a column: a learner is the user id of the LMS, and keyed digests answer questions about an e-mail
or a username.
"""

from retirement.ledger.columns import plain
from retirement.ledger.tables.brakes import Breaker, Hold, Pause
from retirement.ledger.tables.chain import Entry, HandedHead, SignedRow
from retirement.ledger.tables.learners import Attempt, LearnerRecord, Receipt, proved
from retirement.ledger.tables.partners import Claim, ParcelKey
from retirement.ledger.tables.queue import Answer, Decision, Question, QueueRun, Way
from retirement.ledger.tables.row import Row, table_of
from retirement.ledger.tables.site import BoundKey, LeaseRow, Permission, SiteRow

__all__ = [
    "BY_NAME",
    "EVIDENCE",
    "SCHEMA",
    "Answer",
    "Attempt",
    "BoundKey",
    "Breaker",
    "Claim",
    "Decision",
    "Entry",
    "HandedHead",
    "Hold",
    "LearnerRecord",
    "LeaseRow",
    "ParcelKey",
    "Pause",
    "Permission",
    "Question",
    "QueueRun",
    "Receipt",
    "Row",
    "SignedRow",
    "SiteRow",
    "Way",
    "event",
    "metadata",
    "proved",
    "table_of",
]

#: The revision of `migrations/versions` that these tables are at.
SCHEMA = "0010"

metadata = Row.metadata

#: The chain, as it is stored.
event = plain(table_of(Entry))
#: What a row is, by the name of its table.
BY_NAME: dict[str, type[Row]] = {table_of(each.class_).name: each.class_ for each in Row.registry.mappers}
#: The tables whose every row is the replay of the chain, as they are stored.
EVIDENCE = {each.name: plain(each) for each in metadata.sorted_tables if BY_NAME[each.name].is_evidence}
