"""Where the LMS row may stand while the steps of one learner run: never ahead of what is proved."""

from dataclasses import dataclass, field
from enum import StrEnum

from retirement.pipeline.steps import PENDING, Pipeline, Step


class Moves(StrEnum):
    """How often the row is moved while steps run."""

    EACH = "each"  #: into the start state of a step and out into its end state, as the reference does
    MERGED = "merged"  #: from the start state of a step into that of the next one


@dataclass
class Watermark:
    """Where the LMS row may stand while the steps of one learner run.

    `state` is the row's state, `finished` the steps whose work is proved, `running` those that have started
    and not ended. The caller moves the row to what `before` and `after` say, then notes it in `state`.
    """

    pipeline: Pipeline
    state: str
    finished: set[str]
    running: set[str] = field(default_factory=set)
    moves: Moves = Moves.EACH

    @property
    def lowest_unfinished(self) -> Step | None:
        return next((step for step in self.pipeline if step.name not in self.finished), None)

    @property
    def proved(self) -> str:
        """The furthest waiting state that the finished steps support: where a parked learner belongs."""
        lowest = self.lowest_unfinished
        place = len(self.pipeline) if lowest is None else self.pipeline.steps.index(lowest)
        return self.pipeline.steps[place - 1].end if place else PENDING

    def before(self, step: Step) -> str | None:
        """Notes that the step starts; the state that the row has to be in first, None where it is."""
        self.running.add(step.name)
        lowest = self.lowest_unfinished or step
        return None if self.state == lowest.start else lowest.start

    def after(self, step: Step) -> str | None:
        """Notes that the step's work is proved; the state that the row may advance to, None to stay.

        While other steps run the row skips end states, because their calls need a working state. Where moves are
        merged it stays for the next step, or the end of the run, to move it: it says less than was done, never more.
        """
        self.running.discard(step.name)
        self.finished.add(step.name)
        if self.moves is Moves.MERGED:
            return None
        lowest = self.lowest_unfinished
        target = lowest.start if lowest is not None and self.running else self.proved
        return target if self._is_ahead(target) else None

    def _is_ahead(self, target: str) -> bool:
        order = self.pipeline.lms_states
        return order.index(target) > order.index(self.state)
