"""Runs over one site of a test that share a batch, as the learners of a queue run do."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from retirement.config import Configuration
from retirement.learner import Learner
from retirement.pipeline.endings import Report
from retirement.queue import intake
from retirement.queue.intake import Intake
from retirement.retire import engine
from retirement.retire.engine import Perform
from retirement.retire.learner_run import LearnerRun
from retirement.site import Batch, Site

_BATCHES: WeakKeyDictionary[Site, Batch] = WeakKeyDictionary()


def batch_of(site: Site) -> Batch:
    """The one batch of all runs of a test over this site."""
    return _BATCHES.setdefault(site, site.batch())


async def retire(site: Site, learner: Learner, perform: Callable[[LearnerRun], Perform] | None = None) -> Report:
    """One learner, beside those of the same site."""
    return await engine.retire(site, batch_of(site), learner, perform)


async def take_in(site: Site, configuration: Configuration, cool_off_days: int) -> Intake:
    """What a queue run would take on."""
    return await intake.take_in(site, batch_of(site), configuration, cool_off_days)
