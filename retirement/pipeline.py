"""The pipeline as a DAG, and the line that the LMS sees of it. Pure: no I/O, no clock.

The LMS keeps one state per learner, in one order; forward skips are allowed and backward moves are not
(contract, section 2.8). Its guarded endpoints refuse learners who sit in PENDING or `*_COMPLETE`
(section 2.7). So while steps run at the same time the row stays in the working state of the lowest
unfinished step and advances as a cumulative acknowledgement does.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256

PENDING, ERRORED, ABORTED, COMPLETE = "PENDING", "ERRORED", "ABORTED", "COMPLETE"
REQUIRED_STATES = (PENDING, ERRORED, ABORTED, COMPLETE)
DEAD_ENDS = (ERRORED, ABORTED, COMPLETE)

#: Width of `RetirementState.state_name` in the LMS (contract, section 2.1).
STATE_NAME_LENGTH = 30


@dataclass(frozen=True, slots=True)
class Step:
    """One configured row. Its name is its start state, as the Ansible role has it."""

    start: str
    end: str
    service: str
    operation: str
    after: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.start


@dataclass(frozen=True)
class Pipeline:
    """The steps in the order they are written, which is the order of their states in the LMS."""

    steps: tuple[Step, ...]
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {step.name: place for place, step in enumerate(self.steps)})

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def digest(self) -> str:
        """A short name for exactly these steps, by which the ledger tells one pipeline from its next version."""
        rows = [[step.start, step.end, step.service, step.operation, *step.after] for step in self.steps]
        return sha256(json.dumps(rows).encode()).hexdigest()[:12]

    @property
    def working_states(self) -> list[str]:
        """The states in which somebody has the learner, or had them when they died."""
        return [step.start for step in self.steps]

    def step(self, name: str) -> Step:
        """The step of that name; `KeyError` where there is none."""
        return self.steps[self._index[name]]

    @property
    def queue_states(self) -> list[str]:
        """The states whose learners wait for work: PENDING and every end state."""
        return [PENDING, *dict.fromkeys(step.end for step in self.steps)]

    @property
    def lms_states(self) -> list[str]:
        """The `RETIREMENT_STATES` list that the LMS needs for this pipeline."""
        ours = dict.fromkeys(state for step in self.steps for state in (step.start, step.end))
        return [PENDING, *ours, ERRORED, ABORTED, COMPLETE]

    def ancestors(self, name: str) -> frozenset[str]:
        """Every step that is sure to have ended before this one starts."""
        seen: set[str] = set()
        waiting = list(self.step(name).after)
        while waiting:
            if (step := waiting.pop()) not in seen:
                seen.add(step)
                waiting.extend(self.step(step).after)
        return frozenset(seen)

    def finished_at(self, state: str) -> frozenset[str] | None:
        """The steps that a learner in this waiting state has behind them.

        None where the state is no place to start from: a working state (somebody has the learner, or had
        them when they crashed), a dead end, or a state that the pipeline does not know.
        """
        if state == PENDING:
            return frozenset()
        for place, step in enumerate(self.steps):
            if step.end == state:
                return frozenset(earlier.name for earlier in self.steps[: place + 1])
        return None


def problems(steps: tuple[Step, ...]) -> Iterator[tuple[int, str, str]]:
    """What is wrong with the shape of these steps, as (place of the step, its field, text)."""
    names = {step.name: place for place, step in enumerate(steps)}
    states: dict[str, int] = {}
    for place, step in enumerate(steps):
        if step.start.endswith("_COMPLETE"):
            why = "ends with _COMPLETE, and the LMS refuses to erase anything of a learner in such a state"
            yield place, "start", f"{step.start} {why}; name it RETIRING_…"
        for field_name, state in (("start", step.start), ("end", step.end)):
            if len(state) > STATE_NAME_LENGTH:
                yield place, field_name, f"{state} has {len(state)} characters; the LMS stores {STATE_NAME_LENGTH}"
            if state in REQUIRED_STATES:
                yield place, field_name, f"{state} is the LMS' own state and cannot belong to a step"
            elif state in states:
                yield place, field_name, f"{state} is used twice (also by step {states[state] + 1})"
            states.setdefault(state, place)
        for other in step.after:
            if other not in names:
                yield place, "after", f"`after` names {other}, which is no step of this pipeline"
            elif names[other] >= place:
                why = _why_written_order(steps, step, other)
                yield place, "after", f"`after` names {other}, which is written later: {why}"


def _why_written_order(steps: tuple[Step, ...], step: Step, other: str) -> str:
    graph = {each.name: set(each.after) for each in steps}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return "the steps wait for each other in a circle: " + " → ".join(error.args[1])
    return f"write {other} above {step.name}, since the LMS takes states in written order"


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

        While other steps run the row skips end states, because their calls need a working state.
        """
        self.running.discard(step.name)
        self.finished.add(step.name)
        lowest = self.lowest_unfinished
        target = lowest.start if lowest is not None and self.running else self.proved
        return target if self._is_ahead(target) else None

    def _is_ahead(self, target: str) -> bool:
        order = self.pipeline.lms_states
        return order.index(target) > order.index(self.state)
