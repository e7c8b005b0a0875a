"""What an erasure comes to, and what asking about it later comes to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Outcome(StrEnum):
    """What became of the learner's data in one service."""

    ERASED = "erased"  #: removed, as far as the service's answer goes
    ABSENT = "absent"  #: the service holds nothing of this learner
    ACCEPTED = "accepted"  #: the service will do it later
    MANUAL = "manual"  #: a person has to do it
    RETAINED = "retained"  #: kept on a legal basis


@dataclass(frozen=True, slots=True)
class Erasure:
    """The outcome of an operation; `receipt` is what the service is asked about later, and never personal."""

    outcome: Outcome
    receipt: str | None = None


class Verdict(StrEnum):
    """What a service says when it is asked about an erasure."""

    GONE = "gone"  #: done: its job has ended, or it does not find the learner
    WORKING = "working"  #: not yet
    #: What the receipt names is gone, and another record has the learner's name or address: it may be a stranger who
    #: took a name that was free, or the person who signed up anew. A person decides, and nothing is erased.
    ANOTHER = "another"
    PRESENT = "present"  #: what the receipt names is there, still or again: it has to be erased once more
    FAILED = "failed"  #: it will not do it; a person has to look

    @classmethod
    def worst(cls, verdicts: "Iterable[Verdict]") -> "Verdict":
        """What the parts of one erasure come to: of their verdicts the last of the list above, GONE for no part."""
        return max(verdicts, key=list(cls).index, default=cls.GONE)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """When a service is asked about an erasure, counted from the erasure.

    `first`: not before; `every`: the pause between questions; `overdue`: by when the service should have
    confirmed; `again`: how long after its confirmation it is asked once more, since something may have brought
    the learner back (None: never).
    """

    first: timedelta
    every: timedelta
    overdue: timedelta
    again: timedelta | None = None
