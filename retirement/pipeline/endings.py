"""What a run reports of a learner and of each step: nothing personal, so it may be stored and shown."""

from dataclasses import dataclass

from retirement.errors import Ending

#: What a step came to that an earlier run has finished, and one that no run has proved and the row lies beyond.
SKIPPED, TAKEN = "skipped", "without-proof"


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step came to; `skipped`: an earlier run has finished it, `without-proof`: only the row says so."""

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
    failed_step: str = ""  #: the step whose failure decided the ending

    @property
    def has_erased(self) -> bool:
        """Whether this run has ended a step itself, so that the ledger has more of the learner than before it."""
        return any(each.result not in (SKIPPED, TAKEN) for each in self.steps)

    @property
    def without_proof(self) -> list[str]:
        """The steps that count as done since the row was past them: another driver or an operator has put it there."""
        return [each.step for each in self.steps if each.result == TAKEN]
