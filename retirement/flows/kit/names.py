"""What our flows, their deployments and their final states are called in Prefect."""

from retirement import errors
from retirement.errors import Ending, RetirementError

#: The flows of ours that work on learners; on a shared server all others are left alone.
FLOWS = ("retire-learner", "retire-queue")
#: Our other flows, by the lease that a run of them has; None where it has none. Their names are common words, so a
#: run is ours only where it has our tag.
JOBS = {
    "reconcile": None,
    "verify-erasure": "verify",
    "cleanup": "archive",
    "partner-report": "partner-report",
    "expire-reports": "partner-report",
    **dict.fromkeys(
        (
            "redrive",
            "bulk-update",
            "request",
            "replace-usernames",
            "replay",
            "backfill",
            "hold",
            "breaker",
            "doctor",
            "expire-texts",
            "digest",
        )
    ),
}
#: The tag of every deployment of ours.
TAG = "retirement"
#: The tags of each run of a learner, beside those that it gets at its end.
OF_LEARNER = (TAG, "learner")

_ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RetirementError)]
#: Names of final states, Prefect's and ours. A test compares them with the states that the flows make.
ENDS = tuple(
    dict.fromkeys(
        (
            *("Completed", "Failed", "Cancelled", "Crashed", "SomeFailed", "Unknown"),
            *("Reconciled", "Verified", "SomeUnconfirmed", "CleanedUp", "SomeKept", "Reported", "SomeDue", "Expired"),
            *(
                "Previewed",
                "Redriven",
                "Updated",
                "Requested",
                "Renamed",
                "Replayed",
                "Backfilled",
                "NotDone",
                "Placed",
                "NotPlaced",
                "Released",
                "NotReleased",
                "OneOfTwo",
                "Open",
                "Closed",
                "NotChanged",
            ),
            *("Well", "Unwell", "Written", "NotSent"),
            *(ending.state for ending in Ending),
            *(error.consequence.state or error.__name__ for error in _ERRORS),
        )
    )
)
