"""Learners that a queue run does not take although their retirement has not ended: which are late, and what helps.

No run takes a row in a state that no step has, an ERRORED one, or one that cannot be seen.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

from retirement.learner import Learner
from retirement.pipeline import ERRORED, Pipeline
from retirement.pipeline.strays import ADOPT, is_stray, strays, works
from retirement.queue.forecast import Breach
from retirement.site import Batch, Site
from retirement.site.watch import Watched

#: Learners that one sentence names.
NAMED = 20


async def breaches(site: Site, batch: Batch, watched: Watched) -> list[Breach]:
    """A breach without an end in sight for each learner that no run will take: strays, and those not to be seen."""
    lost = strays(site.pipeline, watched.learners)
    await _ask_countries(site, batch, lost)
    found = [Breach(each.user_id, None, batch.due_at(each)) for each in lost]
    found += [Breach(each.record.user_id, None, each.record.due_at) for each in watched.unseen]
    return sorted(found, key=lambda each: (each.due, each.user_id))


async def left_behind(site: Site, batch: Batch, watched: Watched, taken: Collection[int]) -> list[str]:
    """Sentences about learners who are overdue and were not taken by a run; none where there are none.

    `taken` are the user ids that the run has reports of. A hold on the learner is no fault. Asks for countries, where
    deadlines depend on them. Raises `ServiceError` and `LedgerError`.
    """
    now = site.ledger.now()
    late = await _late(site, batch, [each for each in watched.learners if each.user_id not in taken], now)
    kept = {hold.user_id for hold in await site.ledger.holds.find() if hold.service is None}
    unseen = [each for each in watched.unseen if now > each.record.due_at and each.record.user_id not in kept]
    return [*_by_state(site.pipeline, late), *(f"learner {each.record.user_id}: {each.text}" for each in unseen)]


async def _late(site: Site, batch: Batch, learners: Collection[Learner], now: datetime) -> list[Learner]:
    """Those of the learners whose deadline is over, without those that a hold keeps wholly."""
    await _ask_countries(site, batch, learners)
    active = [hold for hold in await site.ledger.holds.find() if hold.service is None]
    return [each for each in learners if now > batch.due_at(each) and not batch.holds_on(each, active)]


async def _ask_countries(site: Site, batch: Batch, learners: Collection[Learner]) -> None:
    unknown = [each for each in learners if each.user_id not in batch.countries]
    if site.deadlines.by_country and unknown:
        batch.countries |= await site.lms.accounts.countries(unknown)


def _by_state(pipeline: Pipeline, late: Iterable[Learner]) -> Iterator[str]:
    ids: dict[str, list[int]] = {}
    for each in late:
        ids.setdefault(each.state, []).append(each.user_id)
    for state, found in sorted(ids.items()):
        named = f"{len(found)} in {state} ({_ids(found)})"
        yield f"overdue and not taken by this run: {named}, {_what_helps(pipeline, state)}"


def _ids(user_ids: Sequence[int]) -> str:
    """The first of them: a sentence is no list, and `retirement status` names them all."""
    more = len(user_ids) - NAMED
    return f"user ids {', '.join(map(str, user_ids[:NAMED]))}{f' and {more} more' if more > 0 else ''}"


def _what_helps(pipeline: Pipeline, state: str) -> str:
    if is_stray(pipeline, state):
        return f"a state that no step has: {ADOPT}"
    if state == ERRORED:
        return "once the cause is mended: `retirement redrive`"
    if works(pipeline, state):
        return "which another run has, or had: `retirement reconcile`"
    return "who come with a later run, or by a higher queue.limit"
