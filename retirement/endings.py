"""Where a run leaves a learner, and what it reports: nothing personal, so it may be stored and shown."""

from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """Where one run left one learner."""

    RETIRED = "retired"  #: COMPLETE
    ERRORED = "errored"  #: a service refused; the LMS row says ERRORED
    PARKED = "parked"  #: given back to the queue unharmed
    HELD = "held"  #: kept, wholly or in some service, by a registered hold; the rest is done
    ELSEWHERE = "held-elsewhere"  #: somebody else has the learner, or left them in a working state
    RESCINDED = "rescinded"  #: the request was taken back, by the learner or in the LMS' admin
    STOPPED = "stopped"  #: given back because the whole run stopped
    STRANDED = "stranded"  #: the LMS could not be told; `retirement reconcile` brings the row back


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step came to; `skipped` where an earlier run had finished it."""

    step: str
    result: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What one run did for one learner."""

    user_id: int
    ending: Ending
    reason: str
    steps: tuple[StepReport, ...]
    seconds: float
