"""Learners in states that no step has: the reconciler names them, and an operator has them moved to where they belong.

No run moves them by itself: which of today's steps such a row has behind it is for a person to look at.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from functools import partial

from retirement.followup.elsewhere import elsewhere
from retirement.followup.move_back import Aim, Finding, Verdict, move_back, proved
from retirement.followup.selection import Selection
from retirement.learner import Learner
from retirement.ledger import LearnerRecord
from retirement.pipeline import COMPLETE, ERRORED, PENDING, Pipeline
from retirement.pipeline.strays import Place, adopt_command, is_stray, place_of, strays
from retirement.site import Site
from retirement.site.partner_visit import home_of
from retirement.site.watch import Unseen, Watched, watch

#: What the LMS stores with the forced move of an adopted row.
ADOPTED = "Adopted by an operator: no step of the pipeline has the state."


async def name_strays(site: Site, chosen: Selection, *, watched: Watched) -> AsyncGenerator[Finding, None]:
    """A finding for each learner that no run takes: rows in states that no step has, and rows that cannot be seen."""
    for learner in strays(site.pipeline, watched.learners):
        if chosen.means(learner.user_id):
            yield await elsewhere(site, chosen, learner) or _stray(learner)
    for unseen in watched.unseen:
        # A run that died is closed below, and is told as unproved then.
        closed_below = unseen.state == COMPLETE and unseen.record.ending is None
        if chosen.is_left(unseen.record.user_id) and not closed_below:
            yield _unseen(unseen)


def _stray(learner: Learner) -> Finding:
    text = f"no step has this state: {adopt_command(learner.user_id)} shows where they belong"
    return Finding(learner.user_id, Verdict.STRAY, learner.state, None, text)


def _unseen(unseen: Unseen) -> Finding:
    return Finding(unseen.record.user_id, Verdict.UNSEEN, unseen.record.state or "", None, unseen.text)


async def adopt(
    site: Site, *, user_id: int | None = None, user_ids: Collection[int] | None = None, dry_run: bool = False
) -> AsyncGenerator[Finding, None]:
    """Moves rows in states that no step has to the last end state that is proved, and ERRORED rows that were in one.

    `user_ids`: these only. Raises `ServiceError` and `LedgerError` where nothing can be read; what concerns one
    learner is a finding.
    """
    chosen, watched = Selection(user_id, await site.ledger.leases.live(), dry_run), await watch(site)
    aiming = partial(_aim, order=watched.order)
    for learner in filter(partial(_is_adopted, site.pipeline), watched.learners):
        if chosen.means(learner.user_id) and (user_ids is None or learner.user_id in user_ids):
            found = await elsewhere(site, chosen, learner)
            yield found or await move_back(site, learner, dry_run=dry_run, aiming=aiming)


def _is_adopted(pipeline: Pipeline, learner: Learner) -> bool:
    return is_stray(pipeline, learner.last_state if learner.state == ERRORED else learner.state)


async def _aim(
    site: Site, row: Learner, ended: Collection[str], record: LearnerRecord | None, *, order: Sequence[str]
) -> Aim:
    if await home_of(site, row):
        return await proved(site, row, ended, record)
    place = place_of(site.pipeline, row, ended, order)
    # What ended beyond the row proves nothing: a restored backup has brought the learner's data back too.
    passed = site.pipeline.finished_at(place.state or PENDING) or frozenset()
    return Aim(place.state, _why(place), ADOPTED, tuple(sorted({*ended} & {*site.pipeline.working_states} - passed)))


def _why(place: Place) -> str:
    if place.state is None:
        return "the account has its retired name, and where the LMS has this state is not known: set the row by hand"
    again = f"; done again, since the ledger has no proof of it: {', '.join(place.again)}" if place.again else ""
    taken = f"; taken from where the row stands, without proof: {', '.join(place.unproved)}" if place.unproved else ""
    start = "from the first step" if place.state == PENDING else "from there"
    return f"the next queue run goes on {start}{again}{taken}"
