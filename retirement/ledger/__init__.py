"""The ledger: append-only, hash-chained evidence of what was done for whom, never the authority on state.

`opened` gives a `Ledger`; `Ledger.tenure` the right to work on one learner. What it stores is in `tables`, how
entries are chained in `chain`, how one finds out that somebody changed it in `verification`.
"""

from retirement.ledger.archives import ARCHIVE_ASKED, ARCHIVE_CLEARED, Forgetting, Named
from retirement.ledger.book import Book
from retirement.ledger.breakers import Breaker
from retirement.ledger.chain import Head
from retirement.ledger.claims import GONE, NOTHING, PARTNER_REPORT, QUEUED_AGAIN, Claim, Unreported
from retirement.ledger.handle import Ledger, opened
from retirement.ledger.holds import Hold
from retirement.ledger.leases import Lease, LiveLease, learner_scope
from retirement.ledger.place import LedgerPlace
from retirement.ledger.queue_runs import Decision, History, QueueRun
from retirement.ledger.receipts import Given, Receipt
from retirement.ledger.records import Attempt, Event, LearnerRecord
from retirement.ledger.schema import migrate
from retirement.ledger.tenure import RETIRED, Tenure
from retirement.ledger.verification import Problem, Verdict, verify

__all__ = [
    "ARCHIVE_ASKED",
    "ARCHIVE_CLEARED",
    "GONE",
    "NOTHING",
    "PARTNER_REPORT",
    "QUEUED_AGAIN",
    "RETIRED",
    "Attempt",
    "Book",
    "Breaker",
    "Claim",
    "Decision",
    "Event",
    "Forgetting",
    "Given",
    "Head",
    "History",
    "Hold",
    "LearnerRecord",
    "Lease",
    "Ledger",
    "LedgerPlace",
    "LiveLease",
    "Named",
    "Problem",
    "QueueRun",
    "Receipt",
    "Tenure",
    "Unreported",
    "Verdict",
    "learner_scope",
    "migrate",
    "opened",
    "verify",
]
