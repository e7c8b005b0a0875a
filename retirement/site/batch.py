"""The memory of one run: its learners, what it has asked about them, what they have met, and whether it stops."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from retirement.errors import RetirementError, RunAfter
from retirement.learner import Learner
from retirement.ledger import Hold
from retirement.lms import Lms
from retirement.site.deadlines import Deadlines, due_at
from retirement.site.stopping import Stop


class ForumLane:
    """One learner at a time between forum and account, for forums up to 0.4.3 (contract, section 4.16).

    That forum blanks the account's e-mail, which is unique, so the next learner's forum step fails until the
    first one's account step is done. Open until the first collision shows that this site has such a forum.
    """

    def __init__(self, narrow: bool = False) -> None:
        self.narrow = narrow
        self._lock = asyncio.Lock()
        self._owner: int | None = None

    async def enter(self, user_id: int) -> None:
        if self.narrow and self._owner != user_id:
            await self._lock.acquire()
            self._owner = user_id

    def leave(self, user_id: int) -> None:
        if self._owner == user_id:
            self._owner = None
            self._lock.release()


@dataclass
class Batch:
    """What one run knows of its learners and shares among them; `Site.batch` makes it, and it ends with the run."""

    lms: Lms
    deadlines: Deadlines
    forum_lane: ForumLane
    stop: Stop = field(default_factory=Stop)
    #: Rows that the run has just listed, so that a user id is not looked up again.
    learners: dict[int, Learner] = field(default_factory=dict)
    #: Organisations by user id, asked for together where a hold is on one.
    orgs: dict[int, set[str]] = field(default_factory=dict)
    #: Countries by user id, as the LMS shows them, where deadlines depend on them.
    countries: dict[int, str] = field(default_factory=dict)
    _failures: dict[tuple[object, ...], set[int]] = field(default_factory=dict)
    #: Learners whose row was let go.
    _through: int = 0

    def let_go(self, user_id: int) -> None:
        """Forgets the row of a learner who is through: rows of a long queue are most of what a run has in memory."""
        if self.learners.pop(user_id, None):
            self._through += 1

    async def learner(self, user_id: int) -> Learner | None:
        """The learner of that LMS user id, None where the LMS has no retirement of them."""
        return self.learners.get(user_id) or await self.lms.rows.find(user_id)

    def due_at(self, learner: Learner) -> datetime:
        """When the retirement has to be complete, counted from the request, by the learner's country if known."""
        return due_at(learner, self.deadlines.days_for(self.countries.get(learner.user_id)))

    def note_failure(self, error: RetirementError, user_id: int) -> None:
        """Stops the run for what every learner would meet: a ledger that cannot be written, a misconfiguration.

        One learner alone may meet what looks like a misconfiguration, such as a firewall that dislikes a name; with
        others under way it takes a second learner to stop them all.
        """
        run = error.consequence.run
        if run is RunAfter.STOPS:
            self.stop.set(error)
        elif run is RunAfter.STOPS_IF_SHARED:
            met_by = self._failures.setdefault(error.shared_by, set())
            met_by.add(user_id)
            if len(met_by) >= min(2, len(self.learners) + self._through or 1):
                self.stop.set(error)

    def ensure_allowed(self, check: Callable[[], None]) -> None:
        """Before each thing that cannot be undone: raises `LeaseLost` by `check`, and `Interrupted` once the run stops.

        `check` is that of the lease under which the thing is done.
        """
        check()
        self.stop.ensure_unset()

    async def with_orgs(self, row: Learner, org_holds: Collection[Hold]) -> list[Hold]:
        """Those of the holds on organisations that the learner belongs to; the LMS is asked only where there is one."""
        if org_holds and row.user_id not in self.orgs:
            self.orgs[row.user_id] = await self.lms.accounts.orgs(row)
        return self.holds_on(row, org_holds)

    def without_orgs(self, rows: Iterable[Learner]) -> list[Learner]:
        """Those of the learners whose organisations the run does not know yet."""
        return [row for row in rows if row.user_id not in self.orgs]

    def holds_on(self, learner: Learner, holds: Iterable[Hold]) -> list[Hold]:
        """Those of the holds that are on the learner, or on an organisation that they are known to belong to."""
        return [hold for hold in holds if hold.is_on(learner.user_id, self.orgs.get(learner.user_id, ()))]
