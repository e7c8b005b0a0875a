"""Rows in states that no step of the pipeline has: which they are, and where they belong. Pure.

A step that was taken out, a state that was renamed and a former driver leave such rows, and no run takes them.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from retirement.learner import Learner
from retirement.pipeline.steps import ERRORED, PENDING, Pipeline
from retirement.pipeline.watermark import Watermark

#: The command that moves stray rows.
ADOPT = "`retirement reconcile --adopt`"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stray row belongs: the state, the steps before it that the ledger does not prove, and those done again.

    No state: nothing says where.
    """

    state: str | None
    unproved: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


def is_stray(pipeline: Pipeline, state: str) -> bool:
    """Whether no step of the pipeline has this state, and it is none of the LMS' own."""
    return state not in pipeline.lms_states


def strays(pipeline: Pipeline, learners: Iterable[Learner]) -> list[Learner]:
    """Those of the learners whose row is in a state that no step has."""
    return [each for each in learners if is_stray(pipeline, each.state)]


def by_state(pipeline: Pipeline, learners: Iterable[Learner]) -> dict[str, list[int]]:
    """User ids of those of the learners that no run takes, by the state that no step has."""
    found: dict[str, list[int]] = {}
    for each in strays(pipeline, learners):
        found.setdefault(each.state, []).append(each.user_id)
    return dict(sorted(found.items()))


def works(pipeline: Pipeline, state: str) -> bool:
    """Whether a run works on a learner in this state, or has died there: of this pipeline, or of another one.

    The LMS tells a foreign working state from an end state by the name alone (contract of the LMS, 2.7).
    """
    return state in pipeline.working_states or (is_stray(pipeline, state) and not state.endswith("_COMPLETE"))


def adopt_command(user_id: int) -> str:
    """The command that moves the row of one learner; it shows the move first and asks."""
    return f"`retirement reconcile --adopt --user-id {user_id}`"


def stray_text(user_id: int, state: str) -> str:
    """What to say of a learner that no run takes, with the command that helps."""
    return (
        f"learner {user_id} is in {state}, a state that no step has: {adopt_command(user_id)} shows where they belong"
    )


def place_of(pipeline: Pipeline, row: Learner, ended: Collection[str], order: Sequence[str]) -> Place:
    """Where a stray row belongs; of an ERRORED row, by the state before it.

    `ended` are the steps that the ledger has as ended, `order` the states of the LMS in its order. A step counts
    where the ledger proves it and the row stands behind it: a row further back was taken back, with the learner's
    data. The row alone proves no step, for the pipeline that moved it there need not have had it; what is done again
    does no harm (contract of the LMS, section 7). But once the account has its retired name steps that look for
    the original one find nothing: then all steps before the row count, as the former driver went.
    """
    is_renamed = row.current_username == row.retired_username
    state = row.last_state if row.state == ERRORED else row.state
    if state not in order:
        return Place(None if is_renamed else PENDING, again=_written(pipeline, ended))
    before = _before(pipeline, order[: order.index(state)])
    target = Watermark(pipeline, PENDING, before if is_renamed else before & set(ended)).proved
    passed = pipeline.finished_at(target) or frozenset()
    return Place(target, _written(pipeline, passed - set(ended)), _written(pipeline, before - passed))


def _before(pipeline: Pipeline, order: Sequence[str]) -> set[str]:
    """The steps whose end state is one of these."""
    return {step.name for step in pipeline if step.end in order}


def _written(pipeline: Pipeline, names: Collection[str]) -> tuple[str, ...]:
    """Those of the steps that the pipeline has, as they are written."""
    return tuple(step.name for step in pipeline if step.name in names)
