"""What is proved about one learner: the LMS row says how far they are, the ledger says which steps ended.

Pure: no I/O, no clock. The LMS is the authority, and its row is never ahead of the ledger of the run that
moved it; the ledger may know of steps that ended beyond it, since steps run at the same time.
"""

from collections.abc import Collection

from retirement.pipeline import ABORTED, ERRORED, Pipeline, Watermark


def behind(pipeline: Pipeline, state: str, ended: Collection[str]) -> list[str]:
    """The steps that ended and have to be done again, since the row stands further back than they prove.

    Nobody of ours leaves a row so: an operator took it back, or the LMS was restored from an older backup.
    `state` is a waiting state of the pipeline.
    """
    finished = pipeline.finished_at(state) or frozenset()
    # What lies behind the row counts too: another driver may have done it, of which the ledger knows nothing.
    proved = Watermark(pipeline, state, {*finished, *_known(pipeline, ended)}).proved
    order = pipeline.lms_states
    if order.index(state) >= order.index(proved):
        return []
    return [step.name for step in pipeline if step.name in ended and step.name not in finished]


def proved_steps(pipeline: Pipeline, state: str, ended: Collection[str]) -> frozenset[str]:
    """The steps that a run has behind it when the row waits in `state`."""
    finished = pipeline.finished_at(state) or frozenset()
    if behind(pipeline, state, ended):
        return finished
    return finished | _known(pipeline, ended)


def proved_state(pipeline: Pipeline, state: str, ended: Collection[str], last: str | None = None) -> str | None:
    """The last proved end state of a row that stands in a working state; None where the state is no step's.

    A row in a working state has every step written before that one behind it: we keep it in the state of the
    lowest unfinished step, and drivers that go step by step do the same. `last` is the state in which the last
    run left the row. A row that stands before it, or before a step that ended, was taken back: what ended
    beyond the row proves nothing, for a restored backup has brought the learner's data back too.
    """
    place = next((place for place, step in enumerate(pipeline) if step.start == state), None)
    if place is None:
        return None
    finished = {step.name for step in pipeline.steps[:place]}
    if not _taken_back(pipeline, state, _known(pipeline, ended), last):
        finished |= _known(pipeline, ended)
    return Watermark(pipeline, state, finished).proved


def _taken_back(pipeline: Pipeline, state: str, ended: Collection[str], last: str | None) -> bool:
    order = pipeline.lms_states
    if last in order and last not in (ERRORED, ABORTED) and order.index(state) < order.index(last):
        return True
    # What comes after a step starts only when the row has left that step's state.
    here = next(step.name for step in pipeline if step.start == state)
    return any(here in pipeline.ancestors(name) for name in ended)


def _known(pipeline: Pipeline, ended: Collection[str]) -> set[str]:
    """Those of the steps that the pipeline still has."""
    return {step.name for step in pipeline if step.name in ended}
