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

#: Service and operation of the step that gives the account its retired username (contract, section 4.8).
ACCOUNT_STEP = ("LMS", "retirement_lms_retire")

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
        """The states in which a run has the learner, or had them when it died."""
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

    @property
    def renames_accounts(self) -> bool:
        """Whether the account of a learner who is through has the retired username."""
        return any((step.service, step.operation) == ACCOUNT_STEP for step in self.steps)

    def ancestors(self, name: str) -> frozenset[str]:
        """Every step that is sure to have ended before this one starts."""
        seen: set[str] = set()
        waiting = list(self.step(name).after)
        while waiting:
            if (step := waiting.pop()) not in seen:
                seen.add(step)
                waiting.extend(self.step(step).after)
        return frozenset(seen)

    def passed_at(self, state: str) -> list[str]:
        """The steps that lie behind a row in this state, in their order; none behind one that says nothing of it."""
        if state == COMPLETE:
            return self.working_states
        return [step.name for step in self.steps if step.name in (self.finished_at(state) or ())]

    def finished_at(self, state: str) -> frozenset[str] | None:
        """The steps that a learner in this waiting state has behind them.

        None where the state is no place to start from: a working state (a run has the learner, or had them when
        it died), a dead end, or a state that the pipeline does not know.
        """
        if state == PENDING:
            return frozenset()
        for place, step in enumerate(self.steps):
            if step.end == state:
                return frozenset(earlier.name for earlier in self.steps[: place + 1])
        return None


def problems(steps: tuple[Step, ...]) -> Iterator[tuple[int, str, str]]:
    """What is wrong with the shape of these steps, as (place of the step, its field, text)."""
    states: dict[str, int] = {}
    for place, step in enumerate(steps):
        if step.start.endswith("_COMPLETE"):
            why = "ends with _COMPLETE, and the LMS refuses to erase anything of a learner in such a state"
            yield place, "start", f"{step.start} {why}; name it RETIRING_…"
        for name, state in (("start", step.start), ("end", step.end)):
            yield from ((place, name, text) for text in _problems_of_state(state, states.get(state)))
            states.setdefault(state, place)
        yield from ((place, "after", text) for text in _problems_of_order(steps, place))


def _problems_of_state(state: str, used_by: int | None) -> Iterator[str]:
    """What is wrong with a state of a step; `used_by` is the place of the first step with the same state."""
    if len(state) > STATE_NAME_LENGTH:
        yield f"{state} has {len(state)} characters; the LMS stores {STATE_NAME_LENGTH}"
    if state in REQUIRED_STATES:
        yield f"{state} is the LMS' own state and cannot belong to a step"
    elif used_by is not None:
        yield f"{state} is used twice (also by step {used_by + 1})"


def _problems_of_order(steps: tuple[Step, ...], place: int) -> Iterator[str]:
    """What is wrong with the steps that the one at this place comes after."""
    names = {step.name: place for place, step in enumerate(steps)}
    for other in steps[place].after:
        if other not in names:
            yield f"`after` names {other}, which is no step of this pipeline"
        elif names[other] >= place:
            yield f"`after` names {other}, which is written later: {_why_written_order(steps, steps[place], other)}"


def _why_written_order(steps: tuple[Step, ...], step: Step, other: str) -> str:
    graph = {each.name: set(each.after) for each in steps}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return "the steps wait for each other in a circle: " + " → ".join(error.args[1])
    return f"write {other} above {step.name}, since the LMS takes states in written order"
