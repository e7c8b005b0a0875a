"""The ledger: append-only, hash-chained evidence of what was done for each learner, never the authority on state.

`opened` gives a `Ledger`; `Ledger.learners.lease` the right to work on one learner. What it stores is in `tables`, how
entries are chained in `chain`, how a change that is no entry is found in `verification`.
"""

from retirement.ledger.acts import Act
from retirement.ledger.belonging import SITE_NAMED
from retirement.ledger.chain import Head
from retirement.ledger.claims import GONE, NOTHING, PARTNER_REPORT, QUEUED_AGAIN, Unreported
from retirement.ledger.cleanups import CLEANUP_ASKED, CLEANUP_CLEARED, AskedCleanups, CleanupIntent
from retirement.ledger.decisions import Asked, Said, question_scope
from retirement.ledger.digests import comparable
from retirement.ledger.events import Event
from retirement.ledger.heads import SIGNING_KEY, SignedHead
from retirement.ledger.history import History
from retirement.ledger.learner_lease import LearnerLease
from retirement.ledger.leases import Lease, LiveLease, learner_scope
from retirement.ledger.ledger import Ledger, opened
from retirement.ledger.location import LedgerLocation
from retirement.ledger.maintenance import KEY_ROTATED, Rotation, migrate, rotate_key
from retirement.ledger.notary import sign_head
from retirement.ledger.permissions import Holder
from retirement.ledger.permitted import EVERYTHING, Action, Area
from retirement.ledger.receipts import Given
from retirement.ledger.redaction import Redaction, redact
from retirement.ledger.retention import TakenOut, take_out_older
from retirement.ledger.runs import RETIRED
from retirement.ledger.signing import Signing, pem_of, public_key_of, signer_of
from retirement.ledger.tables import (
    Attempt,
    Breaker,
    Claim,
    Decision,
    Hold,
    LearnerRecord,
    Pause,
    Permission,
    Question,
    QueueRun,
    Receipt,
)
from retirement.ledger.transaction import Piece, Transaction
from retirement.ledger.unended import TAKEN_BACK, not_retired
from retirement.ledger.verification import Problem, Verdict, verify

__all__ = [
    "CLEANUP_ASKED",
    "CLEANUP_CLEARED",
    "EVERYTHING",
    "GONE",
    "KEY_ROTATED",
    "NOTHING",
    "PARTNER_REPORT",
    "QUEUED_AGAIN",
    "RETIRED",
    "SIGNING_KEY",
    "SITE_NAMED",
    "TAKEN_BACK",
    "Act",
    "Action",
    "Area",
    "Asked",
    "AskedCleanups",
    "Attempt",
    "Breaker",
    "Claim",
    "CleanupIntent",
    "Decision",
    "Event",
    "Given",
    "Head",
    "History",
    "Hold",
    "Holder",
    "LearnerLease",
    "LearnerRecord",
    "Lease",
    "Ledger",
    "LedgerLocation",
    "LiveLease",
    "Pause",
    "Permission",
    "Piece",
    "Problem",
    "Question",
    "QueueRun",
    "Receipt",
    "Redaction",
    "Rotation",
    "Said",
    "SignedHead",
    "Signing",
    "TakenOut",
    "Transaction",
    "Unreported",
    "Verdict",
    "comparable",
    "learner_scope",
    "migrate",
    "not_retired",
    "opened",
    "pem_of",
    "public_key_of",
    "question_scope",
    "redact",
    "rotate_key",
    "sign_head",
    "signer_of",
    "take_out_older",
    "verify",
]
