"""What a person is shown before one learner is retired, and the rule of the cool-off. Changes nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from retirement.errors import GuardStopped
from retirement.learner import Learner
from retirement.ledger import learner_scope
from retirement.pipeline import PENDING, Step
from retirement.privacy import withheld
from retirement.site import Batch, Site


@dataclass(frozen=True, slots=True)
class Preview:
    """One learner as LMS and ledger have them now, and what a run would do. Nothing personal but the user id."""

    user_id: int
    state: str
    requested_at: datetime
    due_at: datetime
    cool_off_until: datetime | None  #: None where the cool-off is over, or a run has begun already
    steps: tuple[Step, ...]  #: that a run would do, in their order
    holds: tuple[str, ...]  #: sentences on the holds of this learner
    busy: bool  #: whether another run has the learner

    @property
    def lines(self) -> list[str]:
        """What there is to know, one fact a line."""
        return [*self.facts, f"steps that a run would do: {', '.join(self.calls) or 'none'}"]

    @property
    def calls(self) -> list[str]:
        """The steps that a run would do, each with its service and operation."""
        return [f"{step.name} ({step.service}: {step.operation})" for step in self.steps]

    @property
    def facts(self) -> list[str]:
        """How the learner stands, one fact a line."""
        return [
            f"requested {self.requested_at:%Y-%m-%d %H:%M} UTC, due {self.due_at:%Y-%m-%d}",
            _cool_off(self.cool_off_until),
            f"state in the LMS: {self.state}",
            f"holds: {'; '.join(self.holds) or 'none'}",
            *(["another run has the learner now"] if self.busy else []),
        ]


def _cool_off(until: datetime | None) -> str:
    return f"cool-off: until {until:%Y-%m-%d %H:%M} UTC" if until else "cool-off: over"


async def preview(site: Site, batch: Batch, learner: Learner, cool_off: timedelta) -> Preview:
    """Looks at a learner whose row has just been read. Raises `ServiceError` and `LedgerError`."""
    holds = await site.ledger.holds.find()
    on_learner = [each for each in holds if each.org is None and each.user_id == learner.user_id]
    on_orgs = await batch.with_orgs(learner, [each for each in holds if each.org is not None])
    finished = site.pipeline.finished_at(learner.state)
    return Preview(
        learner.user_id,
        learner.state,
        learner.requested_at,
        batch.due_at(learner),
        cool_off_end(site, learner, cool_off),
        tuple(step for step in site.pipeline if finished is not None and step.name not in finished),
        tuple(f"{each.sentence} ({each.service or 'all services'})" for each in (*on_learner, *on_orgs)),
        learner_scope(learner.user_id) in await site.ledger.leases.live(),
    )


def cool_off_end(site: Site, learner: Learner, cool_off: timedelta) -> datetime | None:
    """When the cool-off of a learner ends who is in it now; None for each other learner."""
    end = learner.requested_at + cool_off
    return end if learner.state == PENDING and site.ledger.now() < end else None


async def let_through(site: Site, learner: Learner, cool_off: timedelta, early: str | None) -> None:
    """Raises `GuardStopped` for a learner who is in the cool-off, unless `early` says why; the ledger then has it."""
    end = cool_off_end(site, learner, cool_off)
    if end is None:
        return
    over = f"{end:%Y-%m-%d %H:%M} UTC"
    if not early:
        raise GuardStopped(f"nothing was called: the cool-off of learner {learner.user_id} is over on {over}")
    await site.ledger.events.note(
        "cool-off.cut", {"reason": withheld(early, [learner]), "until": over}, learner.user_id
    )
