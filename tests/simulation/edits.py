"""A pipeline that is edited between two runs: a step gets other states, is taken out, or is written into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from retirement.pipeline import Pipeline, Step

from .cast import HOLDINGS

#: The share of seeds in which the pipeline is edited.
SHARE = 0.3


@dataclass(frozen=True)
class Edit:
    """The pipeline before and after, and when it is edited, in seconds from the beginning."""

    before: Pipeline
    after: Pipeline
    at: float
    #: The new names of steps by their old ones, where they got others.
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def inserted(self) -> set[str]:
        """The steps that only the new pipeline has."""
        return {step.name for step in self.after} - {step.name for step in self.before} - {*self.names.values()}

    @property
    def removed(self) -> list[Step]:
        """The steps that only the old pipeline has."""
        kept = {step.name for step in self.after} | {*self.names}
        return [step for step in self.before if step.name not in kept]

    @property
    def lms_states(self) -> list[str]:
        """The states of an LMS that takes both pipelines."""
        longer, shorter = sorted((self.before, self.after), key=len, reverse=True)
        ours: dict[str, None] = {}
        for step in longer:
            new = shorter.step(self.names[step.name]) if step.name in self.names else step
            ours |= dict.fromkeys((step.start, step.end, new.start, new.end))
        first, *_, errored, aborted, complete = self.before.lms_states
        return [first, *ours, errored, aborted, complete]


def edit_of(random: Random, pipeline: Pipeline, before: float) -> Edit | None:
    """The edit of a seed, at the latest so many seconds from the beginning; None where there is none."""
    kind = random.choice((_renamed, _renamed, _removed, _inserted, _inserted))
    at = min(random.choice((0.5, random.uniform(0, 900), random.uniform(0, before))), before)
    edit = kind(random, pipeline, at)
    return edit if random.random() < SHARE else None


def _renamed(random: Random, pipeline: Pipeline, at: float) -> Edit:
    place = random.randrange(len(pipeline))
    old = pipeline.steps[place]
    new = replace(old, start=f"{old.start}_2", end=f"{old.end.removesuffix('_COMPLETE')}_2_COMPLETE")
    steps = [_after(step, {old.name: (new.name,)}) for step in pipeline]
    steps[place] = _after(new, {})
    return Edit(pipeline, Pipeline(tuple(steps)), at, {old.name: new.name})


def _removed(random: Random, pipeline: Pipeline, at: float) -> Edit | None:
    shorter = _without_one(random, pipeline)
    return Edit(pipeline, shorter, at) if shorter else None


def _inserted(random: Random, pipeline: Pipeline, at: float) -> Edit | None:
    shorter = _without_one(random, pipeline)
    return Edit(shorter, pipeline, at) if shorter else None


def _without_one(random: Random, pipeline: Pipeline) -> Pipeline | None:
    """The pipeline without one step of those that a site may do without; None where there is no such step."""
    free = [step for step in pipeline.steps[1:] if step.operation in HOLDINGS]
    if not free:
        return None
    gone = random.choice(free)
    return Pipeline(tuple(_after(step, {gone.name: gone.after}) for step in pipeline if step != gone))


def _after(step: Step, names: Mapping[str, tuple[str, ...]]) -> Step:
    """A step that comes after other ones than before, by the names of those."""
    after = dict.fromkeys(new for name in step.after for new in names.get(name, (name,)))
    return replace(step, after=tuple(after))
