"""An unusual queue: ask a person, and keep what they said in the ledger."""

import re
from collections.abc import Iterable
from datetime import timedelta

from flows.approval import Answer, Question, ask
from retirement.config import Configuration
from retirement.errors import Held
from retirement.intake import Intake
from retirement.learner import Learner
from retirement.ledger.queue_runs import Answer as Said
from retirement.site import Site
from retirement.typed import keepable

_WORD = re.compile(r"[^\W_]+")

#: A shorter name is a word of its own too often.
_SHORTEST = 3


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
    approver, reason = safe(answer.approver, intake.waiting), answer.reason
    if approver:  # else nobody typed it
        reason = safe(reason, intake.waiting)
    # The form offers as many as wait; a run takes no more than its limit all the same.
    allowed = min(most, answer.how_many)
    await site.ledger.decide(number, said, approver=approver or None, reason=reason, at_most=allowed)
    if not answer.approved:
        why = "; ".join(sentences)
        raise Held(f"{why}: nothing was called, since the run was not approved ({said})")
    return allowed


def safe(text: str, waiting: Iterable[Learner]) -> str:
    """What somebody typed, unless it has an address in it or names, in whole words, one of those who wait."""
    if text and not keepable(text):
        return "withheld: it held an address"
    said = _words(text)
    for each in waiting:
        for name in (each.username, each.email, each.name, each.current_username):
            if len(words := _words(name)) >= _SHORTEST + 2 and words in said:
                return "withheld: it named a learner"
    return text


def _words(text: str) -> str:
    """The words with a space around each, so that one such text is found in another only as whole words."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "
