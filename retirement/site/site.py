"""Everything that the learners of one process share: pipeline, ledger, LMS and one connector per service.

One connection pool per service, one token for all of them. Nothing here belongs to one learner or one run, and
nothing changes once it is opened; what a run learns is in its `Batch`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from retirement.connectors import Connector
from retirement.errors import RunAfter, ServiceError
from retirement.learner import Learner
from retirement.ledger import Ledger
from retirement.lms import Lms
from retirement.pipeline import Moves, Pipeline, Step
from retirement.site.batch import Batch, ForumLane
from retirement.site.deadlines import Deadlines, due_at
from retirement.wire.auth import TokenSource
from retirement.wire.pace import Paces

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Site:
    """Everything that the learners of one process share."""

    pipeline: Pipeline
    lms: Lms
    tokens: TokenSource
    connectors: Mapping[str, Connector]
    ledger: Ledger
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(30))
    lms_states: Sequence[str] = ()  #: the site's `RETIREMENT_STATES`, as far as the configuration gives them
    has_old_forum: bool = False  #: up to 0.4.3; where it is not known, the first collision shows it
    moves: Moves = Moves.EACH
    nights: int = 5  #: on so many a service may fail a learner while others pass
    clock: Callable[[], float] = time.monotonic
    #: How many requests at a time each service takes; None where the number of learners at a time is fixed.
    paces: Paces | None = None

    def batch(self) -> Batch:
        """The memory of a run that begins now."""
        return Batch(self.lms, self.deadlines, ForumLane(narrow=self.has_old_forum))

    def due_at(self, learner: Learner) -> datetime:
        """When the retirement has to be complete, where the learner's country is not known; see `Batch.due_at`."""
        return due_at(learner, self.deadlines.days_for(None))

    def skew(self, theirs: datetime, since: float) -> float:
        """Seconds that this machine's clock is ahead of that of the LMS; 0 where leases bear the difference.

        They last by the clocks of the machines that take them, where the ledger is a SQLite file. The LMS was asked
        for its time at `since`, by `clock`: a slow one may have read its own at any moment from then on.
        """
        after = (self.ledger.now() - theirs).total_seconds()
        before = after - (self.clock() - since)
        seconds = max(before, 0.0) or min(after, 0.0)
        return seconds if abs(seconds) > self.ledger.lease_seconds / 4 else 0.0

    async def preflight(self) -> None:
        """Asks what every learner would stumble over: token, permission, states, routes. Changes nothing.

        Only a wrong address, credential or permission is a reason to stop here; a service that is down or odd
        is met again by the learners that it concerns. Raises `ConfigError`, `LedgerError` and `ServiceError`.
        """
        since = self.clock()
        theirs = await self.lms.rows.require_states()
        if theirs and (seconds := self.skew(theirs, since)):
            logger.warning("this machine's clock is %+.0f s off the LMS: set both by NTP", seconds)
        # The LMS has proved its address and our permission above; `doctor` asks for its single routes.
        # A service whose breaker is open is not asked before its time.
        skipped = {"LMS"} | {each.service for each in await self.ledger.breakers.down()}
        asked = (self._probe(step) for step in self.pipeline if step.service not in skipped)
        # Each question is answered before one of them ends the run.
        for error in filter(None, await asyncio.gather(*asked, return_exceptions=True)):
            raise error

    async def _probe(self, step: Step) -> None:
        """Asks for the route of a step; raises what is found, unless that concerns only learners who meet it."""
        try:
            await self.connectors[step.service].probe(step.operation)
        except ServiceError as error:
            if error.consequence.run is not RunAfter.GOES_ON:
                raise
