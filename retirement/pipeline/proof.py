"""What is proved about one learner: the LMS row says how far they are, the ledger says which steps ended.

Pure: no I/O, no clock. The LMS is the authority, and its row is never ahead of the ledger of the run that
moved it; the ledger may know of steps that ended beyond it, since steps run at the same time.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from retirement.learner import Learner
from retirement.pipeline.steps import ABORTED, COMPLETE, ERRORED, PENDING, Pipeline
from retirement.pipeline.watermark import Watermark

#: Why proofs are void that `restored` names.
RESTORED = "the LMS row has not changed since before the step was called: the LMS came back from a backup"


class Known(Protocol):
    """What the ledger has of a retirement: steps that are proved, and steps that were called."""

    @property
    def finished(self) -> Mapping[str, str]: ...

    @property
    def tried(self) -> Collection[str]: ...


def doubt(pipeline: Pipeline, row: Learner | None, known: Known | None = None) -> str:
    """What keeps a learner from being called retired, from their row as it was just read; "" where nothing does.

    The account has the retired username from its own step on (contract of the LMS, 4.3), so a step that answered
    "done" and did nothing shows here. `known` is for a row that others may have made COMPLETE.
    """
    if row is None:
        return "the LMS has no row of this retirement any more"
    if row.state != COMPLETE:
        return f"the LMS has the row in {row.state}, not in {COMPLETE}"
    if pipeline.renames_accounts and row.current_username != row.retired_username:
        return f"the row is {COMPLETE}, and the account does not have the retired username"
    return not_proved(pipeline, known) if known else ""


def not_proved(pipeline: Pipeline, known: Known) -> str:
    """What keeps a learner whom others have made COMPLETE from being called retired; "" where nothing does.

    From the first step on that a run of ours has tried, each needs its proof: the row alone would turn a step that
    failed into one that is done. What lies before was behind the row when the first run took the learner over.
    """
    names = [step.name for step in pipeline]
    first = next((place for place, name in enumerate(names) if name in known.tried), len(names))
    lacking = [name for name in names[first:] if name not in known.finished]
    return f"the row is {COMPLETE}, and no run has proved {', '.join(lacking)}" if lacking else ""


def behind(pipeline: Pipeline, state: str, ended: Collection[str]) -> list[str]:
    """The steps that ended and have to be done again, since the row stands further back than they prove.

    No run of ours leaves a row so: an operator took it back, or the LMS was restored from an older backup.
    `state` is a waiting state of the pipeline.
    """
    finished = pipeline.finished_at(state) or frozenset()
    # What lies behind the row counts too: another driver may have done it, of which the ledger knows nothing.
    proved = Watermark(pipeline, state, {*finished, *_known(pipeline, ended)}).proved
    order = pipeline.lms_states
    if order.index(state) >= order.index(proved):
        return []
    return [step.name for step in pipeline if step.name in ended and step.name not in finished]


def restored(pipeline: Pipeline, row: Learner, before: Mapping[str, datetime]) -> list[str]:
    """The steps whose proof is of a time that the LMS has lost, since it came back from a backup.

    A run that proves a step has moved the row, and its last move is later than what it found. So a row that has not
    changed since that run began is an older one, and the learner's data is back with it. `before` is, for each
    proved step, when the row had last changed before the run that proved it first.
    """
    state = row.last_state if row.state in (ERRORED, ABORTED) else row.state
    place = next((place for place, step in enumerate(pipeline) if step.start == state), 0)
    passed = pipeline.finished_at(state) or {step.name for step in pipeline.steps[:place]}
    return [
        step.name
        for step in pipeline
        if step.name in before and row.changed_at <= before[step.name] and step.name not in passed
    ]


def out_of_order(pipeline: Pipeline, state: str, ended: Collection[str]) -> list[str]:
    """The steps that have to be done again where the last run had another pipeline; as a rule none.

    Steps ended that come after one which is new in the pipeline and not behind the row. Whether the row was taken
    back cannot be told then: all that ended beyond it is done again, for a restored backup brings data back.
    """
    finished = pipeline.finished_at(state) or frozenset()
    beyond = _known(pipeline, ended) - finished
    if all(pipeline.ancestors(name) <= finished | beyond for name in beyond):
        return []
    return [step.name for step in pipeline if step.name in beyond]


def called_otherwise(pipeline: Pipeline, calls: Mapping[str, tuple[str, str]]) -> list[str]:
    """The steps whose proof is of another service or operation than the step has now, since its states were used again.

    `calls` has service and operation of each proof. Where a proof has none, a person or the reconciler has given it.
    """
    steps = [step for step in pipeline if any(calls.get(step.name, ()))]
    return [step.name for step in steps if calls[step.name] != (step.service, step.operation)]


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


def without_new_steps(pipeline: Pipeline, state: str, ended: Collection[str]) -> str:
    """The last end state up to this one whose steps have all ended, for a row that another pipeline brought there.

    A step that was written into the pipeline since then lies behind the row, and no run has done it.
    """
    passed = pipeline.finished_at(state) or frozenset()
    return Watermark(pipeline, PENDING, set(passed & _known(pipeline, ended))).proved


def _taken_back(pipeline: Pipeline, state: str, ended: Collection[str], last: str | None) -> bool:
    if _is_before(pipeline, state, last):
        return True
    # What comes after a step starts only when the row has left that step's state.
    here = next(step.name for step in pipeline if step.start == state)
    return any(here in pipeline.ancestors(name) for name in ended)


def _is_before(pipeline: Pipeline, state: str, last: str | None) -> bool:
    """Whether a state comes before the one in which the last run left the row, where that one is on the way."""
    order = pipeline.lms_states
    return last in order and last not in (ERRORED, ABORTED) and order.index(state) < order.index(last)


def _known(pipeline: Pipeline, ended: Collection[str]) -> set[str]:
    """Those of the steps that the pipeline still has."""
    return {step.name for step in pipeline if step.name in ended}
