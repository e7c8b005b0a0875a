"""An unusual queue: ask a person, and keep what they said in the ledger."""

from datetime import timedelta

from flows.approval import Answer, Question, ask
from retirement.config import Configuration
from retirement.errors import Held
from retirement.intake import Intake
from retirement.ledger.queue_runs import Answer as Said
from retirement.site import Site


async def agreed(site: Site, configuration: Configuration, intake: Intake, run_id: str, most: int) -> int:
    """How many learners a person lets this run retire. Raises `Held` where nobody says yes in time.

    Question and answer are ledger entries; the question is one before anybody can answer.
    """
    sentences = [trip.sentence for trip in intake.trips]
    seconds = configuration.guard.wait_hours * 3600
    expires_at = site.ledger.now() + timedelta(seconds=seconds)
    number = await site.ledger.ask(run_id, trips=sentences, depth=intake.depth, expires_at=expires_at)
    if seconds:
        question = Question(tuple(sentences), intake.depth, min(most, intake.depth))
        answer = await ask(question, seconds=seconds)
    else:
        answer = Answer(False, reason="nobody is asked here: guard.wait_hours is 0", expired=True)
    said: Said = "approved" if answer.approved else "expired" if answer.expired else "rejected"
    await site.ledger.decide(
        number, said, approver=answer.approver or None, reason=_safe(answer.reason, intake), at_most=answer.how_many
    )
    if not answer.approved:
        why = "; ".join(sentences)
        raise Held(f"{why}: nothing was called, since the run was not approved ({said})")
    return min(most, answer.how_many)


def _safe(reason: str, intake: Intake) -> str:
    """The reason, unless it names one of those whom it is about."""
    text = reason.casefold()
    names = (name for each in intake.waiting for name in (each.username, each.email, each.name))
    return "withheld: it named a learner" if any(name and name.casefold() in text for name in names) else reason
