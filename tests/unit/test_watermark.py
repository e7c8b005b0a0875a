"""The LMS row while steps run at the same time: never ahead of the proof, never backward, never idle."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retirement.pipeline import Moves, Pipeline, Step, Watermark
from retirement.pipeline.proof import proved_state


@st.composite
def graphs(draw: st.DrawFn) -> Pipeline:
    """Pipelines of up to seven steps with any edges that the written order allows."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, 7))):
        after = tuple(step.name for step in steps if draw(st.booleans()))
        steps.append(Step(f"RETIRING_{number}", f"{number}_COMPLETE", "LMS", "an_operation", after))
    return Pipeline(tuple(steps))


def _line(length: int) -> Pipeline:
    return Pipeline(
        tuple(
            Step(f"RETIRING_{n}", f"{n}_COMPLETE", "LMS", "an_operation", (f"RETIRING_{n - 1}",) if n else ())
            for n in range(length)
        )
    )


@dataclass
class Run:
    """A run in small: moves the row as the engine does and checks the promises after every move."""

    pipeline: Pipeline
    mark: Watermark
    done: set[str]
    running: set[str] = field(default_factory=set)
    moves: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, pipeline: Pipeline, state: str = "PENDING", moves: Moves = Moves.EACH) -> Run:
        finished = pipeline.finished_at(state)
        assert finished is not None
        return cls(pipeline, Watermark(pipeline, state, set(finished), moves=moves), set(finished))

    def end(self) -> None:
        """The last move of a run: to what is proved, from where it may be ahead of the row only."""
        order = self.pipeline.lms_states
        if order.index(self.mark.proved) > order.index(self.mark.state):
            self._move(self.mark.proved)

    @property
    def choices(self) -> list[tuple[str, Step]]:
        ready = [
            ("start", step)
            for step in self.pipeline
            if step.name not in self.done | self.running and self.done >= set(step.after)
        ]
        return ready + [("end", step) for step in self.pipeline if step.name in self.running]

    def act(self, action: str, step: Step) -> None:
        if action == "start":
            self._move(self.mark.before(step))
            self.running.add(step.name)
        else:
            assert self._working, "a call may look at the row until it has ended"
            self.running.discard(step.name)
            self.done.add(step.name)
            self._move(self.mark.after(step))
        self.check()

    def _move(self, target: str | None) -> None:
        if target is not None:
            order = self.pipeline.lms_states
            assert order.index(target) > order.index(self.mark.state), "the LMS refuses moves that are not forward"
            self.mark.state = target
            self.moves.append(target)

    @property
    def _working(self) -> bool:
        return self.mark.state in {step.start for step in self.pipeline}

    @property
    def proved(self) -> str:
        """Said in another way than the code: the end of the longest finished beginning."""
        state = "PENDING"
        for step in self.pipeline:
            if step.name not in self.done:
                break
            state = step.end
        return state

    def check(self) -> None:
        order = self.pipeline.lms_states
        reached = order.index(self.mark.state)
        claimed = {step.name for step in self.pipeline if order.index(step.end) <= reached}
        assert claimed <= self.done, "the row claims more than is proved"
        assert self._working or not self.running, "guarded endpoints refuse learners who wait"
        assert self.proved == self.mark.proved
        assert self.mark.moves is Moves.MERGED or order.index(self.proved) <= reached or not self._working


@pytest.mark.parametrize("moves", Moves)
@given(graphs(), st.data())
def test_a_run_keeps_every_promise_in_every_order(moves: Moves, pipeline: Pipeline, data: st.DataObject) -> None:
    """Any graph, any order of starts and ends: the row ends at the last end state."""
    run = Run.of(pipeline, moves=moves)
    while choices := run.choices:
        run.act(*data.draw(st.sampled_from(choices)))
    run.end()

    assert pipeline.steps[-1].end == run.mark.state
    assert {step.name for step in pipeline} == run.mark.finished


@pytest.mark.parametrize("moves", Moves)
@given(graphs(), st.data())
def test_a_crash_anywhere_can_be_resumed_from_what_is_proved(
    moves: Moves, pipeline: Pipeline, data: st.DataObject
) -> None:
    """Given back to the proved state, the learner is offered again and nothing that is claimed is missing.

    The reconciler finds that state from the row and the steps that the ledger has as ended.
    """
    crashed = Run.of(pipeline, moves=moves)
    for _ in range(data.draw(st.integers(0, 2 * len(pipeline)))):
        if choices := crashed.choices:
            crashed.act(*data.draw(st.sampled_from(choices)))

    if crashed._working:
        found = proved_state(pipeline, crashed.mark.state, crashed.done, "PENDING")
        assert found == crashed.mark.proved
    resumed = Run.of(pipeline, crashed.mark.proved, moves)
    assert resumed.done <= crashed.done
    assert crashed.mark.proved in pipeline.queue_states
    while choices := resumed.choices:
        resumed.act(*data.draw(st.sampled_from(choices)))
    resumed.end()
    assert pipeline.steps[-1].end == resumed.mark.state


@given(graphs(), st.data())
def test_a_start_that_failed_does_not_lift_the_row(pipeline: Pipeline, data: st.DataObject) -> None:
    """A step whose call fails stays unfinished: its siblings end, and the row stays at or below it."""
    run = Run.of(pipeline)
    while starts := [step for action, step in run.choices if action == "start"]:
        run.act("start", data.draw(st.sampled_from(starts)))
    failed = data.draw(st.sampled_from(sorted(run.running)))
    for step in list(pipeline):
        if step.name in run.running and step.name != failed:
            run.act("end", step)

    order = pipeline.lms_states
    assert order.index(run.mark.state) <= order.index(failed)
    assert order.index(run.mark.proved) < order.index(failed)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_line_goes_from_start_to_end_step_by_step(length: int) -> None:
    """Exactly the moves of the reference driver."""
    run = Run.of(_line(length))
    while choices := run.choices:
        run.act(*choices[0])

    assert [f"{n}_COMPLETE" if end else f"RETIRING_{n}" for n in range(length) for end in (0, 1)] == run.moves


@pytest.mark.parametrize("length", [1, 2, 5])
def test_merged_moves_go_from_start_to_start(length: int) -> None:
    """Nine steps take ten moves with COMPLETE, where the reference takes nineteen."""
    run = Run.of(_line(length), moves=Moves.MERGED)
    while choices := run.choices:
        run.act(*choices[0])
    run.end()

    assert [*(f"RETIRING_{n}" for n in range(length)), f"{length - 1}_COMPLETE"] == run.moves


@pytest.mark.parametrize("place", range(5))
def test_a_line_resumed_anywhere_makes_the_moves_that_are_left(place: int) -> None:
    """What is behind the learner is not moved through again."""
    run = Run.of(_line(5), f"{place}_COMPLETE")
    while choices := run.choices:
        run.act(*choices[0])

    expected = [state for n in range(place + 1, 5) for state in (f"RETIRING_{n}", f"{n}_COMPLETE")]
    assert expected == run.moves


def test_the_row_stays_at_the_lowest_unfinished_step() -> None:
    """Two steps at once, the later one ends first: the row waits for the earlier, then skips ahead."""
    steps = [Step(f"RETIRING_{n}", f"{n}_COMPLETE", "LMS", "an_operation", ()) for n in range(3)]
    run = Run.of(Pipeline(tuple(steps)))
    for action, n in [("start", 0), ("start", 1), ("end", 1), ("start", 2), ("end", 0), ("end", 2)]:
        run.act(action, steps[n])

    assert run.moves == ["RETIRING_0", "RETIRING_2", "2_COMPLETE"]


def test_a_step_that_is_tried_again_moves_nothing() -> None:
    """The row is where the step needs it already."""
    pipeline = _line(2)
    mark = Watermark(pipeline, "RETIRING_0", set())

    assert mark.before(pipeline.steps[0]) is None


def test_nothing_is_unfinished_at_the_end() -> None:
    """Then the proved state is the last end state."""
    pipeline = _line(2)
    mark = Watermark(pipeline, "1_COMPLETE", {"RETIRING_0", "RETIRING_1"})

    assert mark.lowest_unfinished is None
    assert mark.proved == "1_COMPLETE"
