"""What is proved about one learner: the LMS row says how far they are, the ledger says which steps ended.

Pure: no I/O, no clock. The LMS is the authority, and its row is never ahead of the ledger of the run that
moved it; the ledger may know of steps that ended beyond it, since steps run at the same time.
"""

from collections.abc import Collection

from retirement.pipeline import Pipeline, Watermark


def behind(pipeline: Pipeline, state: str, ended: Collection[str]) -> list[str]:
    """The steps that ended and have to be done again, since the row stands further back than they prove.

    Nobody of ours leaves a row so: an operator took it back, or the LMS was restored from an older backup.
    `state` is a waiting state of the pipeline.
    """
    proved = Watermark(pipeline, state, _known(pipeline, ended)).proved
    order = pipeline.lms_states
    if order.index(state) >= order.index(proved):
        return []
    finished = pipeline.finished_at(state) or frozenset()
    return [step.name for step in pipeline if step.name in ended and step.name not in finished]


def proved_steps(pipeline: Pipeline, state: str, ended: Collection[str]) -> frozenset[str]:
    """The steps that a run has behind it when the row waits in `state`."""
    finished = pipeline.finished_at(state) or frozenset()
    if behind(pipeline, state, ended):
        return finished
    return finished | _known(pipeline, ended)


def proved_state(pipeline: Pipeline, state: str, ended: Collection[str]) -> str | None:
    """The last proved end state of a row that stands in a working state; None where the state is no step's.

    A row in a working state has every step written before that one behind it: we keep it in the state of the
    lowest unfinished step, and drivers that go step by step do the same.
    """
    place = next((place for place, step in enumerate(pipeline) if step.start == state), None)
    if place is None:
        return None
    finished = {step.name for step in pipeline.steps[:place]} | _known(pipeline, ended)
    return Watermark(pipeline, state, finished).proved


def _known(pipeline: Pipeline, ended: Collection[str]) -> set[str]:
    """Those of the steps that the pipeline still has."""
    return {step.name for step in pipeline if step.name in ended}
