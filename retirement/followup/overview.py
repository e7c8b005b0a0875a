"""The site at a glance, by LMS user ids and counts: for `retirement status` and for the page of the day in Prefect."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from retirement.config import Configuration
from retirement.errors import Ending
from retirement.followup.questions import is_overdue
from retirement.learner import Learner
from retirement.ledger import Asked, Breaker, LearnerRecord, Ledger, learner_scope
from retirement.pipeline import DEAD_ENDS, ERRORED, PENDING, Pipeline
from retirement.pipeline.strays import ADOPT, by_state, works
from retirement.site import Site
from retirement.site.address import NotRetired, of_record
from retirement.site.vouched import without_proof
from retirement.site.watch import ENDED, Watched, watch

#: So many failures of one step in a row are no passing trouble of the service any more.
OFTEN = 5
#: How a run ends that leaves its learner to a later one.
PARKED = (Ending.PARKED.value, Ending.STRANDED.value)


async def overview(configuration: Configuration, site: Site) -> dict[str, Any]:
    """Learners by state, who is late, stuck or out of reach, and what the ledger has open. Changes nothing.

    Raises `ServiceError` and `LedgerError`.
    """
    watched = await watch(site)
    document = _by_state(site, configuration, watched.learners)
    ended: Counter[str] = Counter()
    # Everyone who ever retired: they are counted, and none is kept.
    async for page in site.lms.rows.pages(_in_order(watched, ENDED), 0):
        ended.update(each.state for each in page.learners)
    document["states"] = dict(sorted((Counter(document["states"]) + ended).items()))
    live = await site.ledger.leases.live()
    document["without_a_live_run"] = [each for each in document["in_working_state"] if learner_scope(each) not in live]
    replaced = await site.ledger.unended.replaced()
    late = [each.user_id for each in replaced if site.ledger.now() > each.due_at]
    document["overdue"] = list(dict.fromkeys([*document["overdue"], *late]))
    document["replaced_and_not_retired"] = not_retired(map(of_record, replaced))
    return document | _out_of_reach(site.pipeline, watched) | await _of_the_ledger(site)


def not_retired(found: Iterable[NotRetired]) -> list[dict[str, Any]]:
    """Retirements that have not ended retired, as rows."""
    return [{"user_id": each.user_id, "retirement": each.retirement_id, "why": each.why} for each in found]


def _in_order(watched: Watched, states: Collection[str]) -> list[str]:
    """Those of the states that the LMS has."""
    return [state for state in watched.order if state in states]


def _out_of_reach(pipeline: Pipeline, watched: Watched) -> dict[str, Any]:
    """Learners that no run takes, with the command that helps."""
    return {
        "in_a_state_that_no_step_has": [
            {"state": state, "learners": len(user_ids), "user_ids": user_ids, "what_helps": ADOPT}
            for state, user_ids in by_state(pipeline, watched.learners).items()
        ],
        "not_to_be_seen": [{"user_id": each.record.user_id, "why": each.text} for each in watched.unseen],
        "unreadable_rows": list(watched.unreadable),
    }


async def _of_the_ledger(site: Site) -> dict[str, Any]:
    """What the ledger has open."""
    unproved = site.ledger.learners.each(endings=[Ending.UNPROVED])
    parked = site.ledger.learners.each(endings=PARKED)
    return {
        "unproved": [each.user_id async for each in unproved],
        "steps_without_proof": await _without_proof(site),
        "parked_often": [each.user_id async for each in parked if is_parked_often(each)],
        "services_down": [each.service for each in await site.ledger.breakers.down()],
        **await _receipts(site),
        "holds": len(await site.ledger.holds.find()),
        "paused_schedules": [f"{each.schedule}: {each.sentence}" for each in await site.ledger.pauses.all()],
        "questions": await questions(site.ledger),
    }


async def _without_proof(site: Site) -> list[dict[str, Any]]:
    """Steps that lie behind rows and that no run has proved."""
    found = await without_proof(site)
    return [{"step": step, "learners": len(user_ids), "user_ids": user_ids} for step, user_ids in found.items()]


async def _receipts(site: Site) -> dict[str, Any]:
    """What services have still to confirm."""
    receipts = [each for each in await site.ledger.receipts.find(open_only=True) if each.operation]
    return {
        "open_receipts": len(receipts),
        "overdue_receipts": [each.id for each in receipts if is_overdue(site, each)],
    }


async def questions(ledger: Ledger) -> list[dict[str, Any]]:
    """The questions that can be answered, and the answers on which a queue run may act, as rows."""
    return [_question(each) for each in await _current(ledger)]


async def services(configuration: Configuration, ledger: Ledger) -> list[dict[str, Any]]:
    """The services that are configured or that the ledger knows, with their breakers, as rows."""
    known = {breaker.service: breaker for breaker in await ledger.breakers.all()}
    return [_service(each, known.get(each)) for each in sorted({*configuration.services, *known})]


def _service(service: str, breaker: Breaker | None) -> dict[str, Any]:
    if breaker is None:
        return {"service": service, "breaker": "closed"} | dict.fromkeys(("since", "next_look", "reason", "by"))
    return {
        "service": service,
        "breaker": breaker.state,
        "since": breaker.since.isoformat(),
        "next_look": breaker.retry_at.isoformat() if breaker.retry_at else None,
        "reason": breaker.reason,
        "by": breaker.by,
    }


async def _current(ledger: Ledger) -> list[Asked]:
    """The questions that can be answered, and the answers on which a queue run may act."""
    now = ledger.now()
    return [each for each in await ledger.decisions.current() if each.is_open(now) or each.counts(now)]


def _question(asked: Asked) -> dict[str, Any]:
    decision, question = asked.decision, asked.question
    until = question.counts_until or decision.expires_at
    return {
        "question": asked.id,
        "answer": decision.answer or "open",
        "yeses": len(asked.yeses),
        "until": until.isoformat(timespec="minutes"),
        "learners": len(question.user_ids),
        "at_most": decision.at_most or question.wanted,
        "asked_at": decision.asked_at.isoformat(timespec="minutes"),
        "run": question.run_id,
        "acted_on_by": question.used_by,
        "why": "; ".join(decision.trips),
    }


def is_parked_often(parked: LearnerRecord) -> bool:
    """Whether one step has failed a parked learner so often that a person should look."""
    return _failures(parked) >= OFTEN


def _failures(record: LearnerRecord) -> int:
    """How often the step that failed last has failed in a row."""
    tried = list(reversed(record.attempts))
    own = [each for each in tried if each.step == tried[0].step] if tried else []
    return len(list(itertools.takewhile(lambda each: each.error is not None, own)))


def _by_state(site: Site, configuration: Configuration, learners: Sequence[Learner]) -> dict[str, Any]:
    """Every learner whose retirement has not ended."""
    now = datetime.now(UTC)
    asked_before = now - timedelta(days=configuration.cool_off_days)
    return {
        "states": dict(sorted(Counter(learner.state for learner in learners).items())),
        **_open_ones(site.pipeline, _outside(learners, DEAD_ENDS), asked_before),
        "errored": _ids(_in(learners, (ERRORED,))),
        "overdue": _ids(each for each in learners if now > site.due_at(each)),
    }


def _open_ones(pipeline: Pipeline, learners: list[Learner], asked_before: datetime) -> dict[str, Any]:
    """Learners whose retirement has neither ended nor failed; the cool-off is over for requests of before that time."""
    return {
        "cooling_off": sum(each.requested_at >= asked_before for each in _in(learners, (PENDING,))),
        "waiting": sum(each.requested_at < asked_before for each in _in(learners, pipeline.queue_states)),
        "in_working_state": _ids(each for each in learners if works(pipeline, each.state)),
    }


def _in(learners: Iterable[Learner], states: Collection[str]) -> list[Learner]:
    return [each for each in learners if each.state in states]


def _outside(learners: Sequence[Learner], states: Collection[str]) -> list[Learner]:
    return [each for each in learners if each.state not in states]


def _ids(found: Iterable[Learner | LearnerRecord]) -> list[int]:
    return [each.user_id for each in found]
