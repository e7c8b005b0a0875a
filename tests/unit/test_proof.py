"""What a row and a ledger prove together, for every pipeline, every place and every order of events."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from retirement.pipeline import COMPLETE, ERRORED, PENDING, Pipeline, Step, Watermark
from retirement.pipeline.proof import behind, out_of_order, proved_state, proved_steps

from .doubles import shipped
from .test_watermark import graphs

LINE, DAG = shipped("default"), shipped("dag")


def line(length: int) -> Pipeline:
    """A pipeline whose steps follow each other."""
    after: list[tuple[str, ...]] = [(), *((f"RETIRING_{n}",) for n in range(length - 1))]
    return Pipeline(tuple(Step(f"RETIRING_{n}", f"{n}_COMPLETE", "LMS", "some", after[n]) for n in range(length)))


pipelines = st.one_of(graphs(), st.integers(1, 7).map(line))


def some_steps(pipeline: Pipeline) -> st.SearchStrategy[set[str]]:
    """Any of the steps, and one that an older pipeline had."""
    return st.sets(st.sampled_from([*pipeline.working_states, "RETIRING_OF_OLD"]))


@given(st.data(), pipelines)
def test_a_learner_is_never_taken_beyond_an_unfinished_step(data: st.DataObject, pipeline: Pipeline) -> None:
    """From a working state: as far as the steps before it and the ended ones reach without a gap, and no further.

    Where a step has ended that comes after the row's own, the row was taken back, and what ended proves nothing.
    """
    ended = data.draw(some_steps(pipeline))
    place = data.draw(st.integers(0, len(pipeline) - 1))

    state = proved_state(pipeline, pipeline.steps[place].start, ended)

    assert state is not None
    reached = pipeline.finished_at(state)
    assert reached is not None
    here = pipeline.steps[place].name
    taken_back = any(here in pipeline.ancestors(name) for name in ended & set(pipeline.working_states))
    done = {step.name for step in pipeline.steps[:place]} | (set() if taken_back else ended)
    assert set(pipeline.working_states[:place]) <= reached <= done
    assert len(reached) == len(pipeline) or pipeline.steps[len(reached)].name not in done


@given(st.data(), pipelines)
def test_a_row_before_the_last_end_was_taken_back(data: st.DataObject, pipeline: Pipeline) -> None:
    """A run left it further on, so a backup was restored: what ended beyond the row proves nothing."""
    ended = data.draw(some_steps(pipeline))
    place = data.draw(st.integers(0, len(pipeline) - 1))
    last = data.draw(st.sampled_from(pipeline.steps[place:]))

    state = proved_state(pipeline, pipeline.steps[place].start, ended, last.end)

    assert state == (pipeline.steps[place - 1].end if place else PENDING)


@given(st.data(), pipelines)
def test_steps_are_voided_exactly_where_the_row_stands_further_back(data: st.DataObject, pipeline: Pipeline) -> None:
    """Further back than it and the ended steps reach without a gap; then those that it does not vouch for."""
    ended = data.draw(some_steps(pipeline))
    state = data.draw(st.sampled_from(pipeline.queue_states))
    finished = pipeline.finished_at(state)
    assert finished is not None
    reach = next((n for n, step in enumerate(pipeline) if step.name not in ended | finished), len(pipeline))

    again = behind(pipeline, state, ended)

    assert bool(again) == (reach > len(finished))
    assert set(again) == ((ended & set(pipeline.working_states)) - finished if again else set())
    assert behind(pipeline, state, ended - set(again)) == []


@given(st.data(), pipelines)
def test_what_came_after_a_new_step_is_done_again(data: st.DataObject, pipeline: Pipeline) -> None:
    """And with it all that ended beyond the row, for a restored backup may have taken the row back; else nothing."""
    ended = data.draw(some_steps(pipeline))
    state = data.draw(st.sampled_from(pipeline.queue_states))
    finished = pipeline.finished_at(state)
    assert finished is not None
    beyond = (ended & set(pipeline.working_states)) - finished
    has_gap = any(not pipeline.ancestors(name) <= finished | beyond for name in beyond)

    again = out_of_order(pipeline, state, ended)

    assert set(again) == (beyond if has_gap else set())


@given(st.data(), pipelines)
def test_a_run_believes_the_row_and_what_the_ledger_adds_to_it(data: st.DataObject, pipeline: Pipeline) -> None:
    """What the row says is behind, and the ended steps unless the row was taken back."""
    ended = data.draw(some_steps(pipeline))
    state = data.draw(st.sampled_from(pipeline.queue_states))
    finished = pipeline.finished_at(state) or frozenset()

    proved = proved_steps(pipeline, state, ended)

    added = set() if behind(pipeline, state, ended) else ended & set(pipeline.working_states)
    assert proved == finished | added


def test_states_that_belong_to_no_step_prove_nothing() -> None:
    """Waiting states, dead ends, and what the pipeline does not know."""
    for pipeline in (LINE, DAG):
        for state in (*pipeline.queue_states, ERRORED, COMPLETE, "LOCKING"):
            assert proved_state(pipeline, state, pipeline.working_states) is None


@dataclass
class Run:
    """A run in small steps, each of which may be its last: intents, proofs and moves of the row."""

    pipeline: Pipeline
    mark: Watermark
    ended: set[str]
    calling: list[Step] = field(default_factory=list)
    proved: list[Step] = field(default_factory=list)

    @classmethod
    def of(cls, pipeline: Pipeline, state: str, ended: set[str]) -> Run:
        """A run that begins as `open_run` does."""
        before = proved_steps(pipeline, state, ended)
        return cls(pipeline, Watermark(pipeline, state, set(before)), set(ended))

    def one(self, data: st.DataObject) -> bool:
        """Does one of the things that may happen next; False where there is none."""
        started = {step.name for step in (*self.calling, *self.proved)}
        free = [step for step in self.pipeline if step.name not in self.mark.finished | started]
        ready = [step for step in free if self.mark.finished.issuperset(step.after)]
        choices = [("start", step) for step in ready] + [("prove", step) for step in self.calling]
        choices += [("leave", step) for step in self.proved]
        if not choices:
            return False
        action, step = data.draw(st.sampled_from(choices))
        if action == "start":
            self.mark.state = self.mark.before(step) or self.mark.state
            self.calling.append(step)
        elif action == "prove":
            self.calling.remove(step)
            self.proved.append(step)
            self.ended.add(step.name)
        else:
            self.proved.remove(step)
            self.mark.state = self.mark.after(step) or self.mark.state
        return True


@given(st.data(), pipelines)
def test_runs_that_die_anywhere_lose_nothing_and_claim_nothing(data: st.DataObject, pipeline: Pipeline) -> None:
    """Run after run dies; the row and the ledger never say more than was done, and nothing is done twice."""
    state, ended = PENDING, set[str]()
    for _ in range(4):
        assert behind(pipeline, state, ended) == []
        assert proved_steps(pipeline, state, ended) == ended
        run, last = Run.of(pipeline, state, ended), state
        for _ in range(data.draw(st.integers(0, 3 * len(pipeline)))):
            if not run.one(data):
                break
        ended, state = run.ended, run.mark.state
        state = proved_state(pipeline, state, ended, last) or state
        assert (pipeline.finished_at(state) or frozenset()) <= ended


def test_a_row_that_stands_before_where_a_run_left_it_was_taken_back() -> None:
    """A backup from the middle of a run brings the learner's data back, and with it the work."""
    first, second, third = LINE.steps[:3]

    assert proved_state(LINE, first.start, {first.name}) == first.end
    assert proved_state(LINE, first.start, {first.name}, last=third.end) == PENDING
    assert proved_state(LINE, second.start, {first.name, second.name}, last=ERRORED) == second.end
