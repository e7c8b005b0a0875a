"""Commands that answer what a queue run asks, whether that run still waits or not: approve and reject."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal

import typer

from retirement.cli.command import Call, command
from retirement.cli.options import require_keepable
from retirement.errors import ConfigError, StateConflict
from retirement.ledger import Asked, Ledger, Said, question_scope
from retirement.process import waiting
from retirement.queue import consent
from retirement.reports import DONE
from retirement.site import opened

#: Seconds between two looks whether a run acts on the answer.
LOOK_SECONDS = 0.5

QuestionArgument = Annotated[
    str,
    typer.Argument(
        metavar="QUESTION", help="Number of the question, or id of the run that asks; `retirement status` shows both."
    ),
]
ApproverOption = Annotated[str, typer.Option("--approver", help="Your role or login; kept in the ledger.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger. Names no learner.")]


@command()
async def approve(
    call: Call,
    question: QuestionArgument,
    approver: ApproverOption,
    reason: ReasonOption,
    at_most: Annotated[
        int | None,
        typer.Option("--at-most", min=1, help="Most learners to retire; default: as many as the run asks for."),
    ] = None,
) -> int:
    """Say yes to a queue run that a guard has stopped: it goes on, or the next run does."""
    return await _answer(call, question, "approved", (approver, reason), at_most)


@command()
async def reject(call: Call, question: QuestionArgument, approver: ApproverOption, reason: ReasonOption) -> int:
    """Say no to a queue run that a guard has stopped; no service is called."""
    return await _answer(call, question, "rejected", (approver, reason), None)


async def _answer(
    call: Call, named: str, answer: Literal["approved", "rejected"], typed: tuple[str, str], at_most: int | None
) -> int:
    approver, reason = typed
    require_keepable(approver=approver, reason=reason)
    async with opened(call.configuration) as site:
        asked = await _found(site.ledger, named)
        number = consent.number(asked, at_most, name="--at-most") if answer == "approved" else None
        said = Said(answer, approver, reason, number, "command")
        about = await consent.nameable(site, asked)
        try:
            is_answered = await consent.answered(site.ledger, asked, said, call.configuration.guard, about)
        except StateConflict as first:
            raise ConfigError(str(first)) from None
        if not is_answered:
            return await _first_of_two(call, site.ledger, asked.id)
        run = await _acting(site.ledger, asked)
        after = await site.ledger.decisions.one(asked.id)
    until, document = after.question.counts_until, consent.document(after) | {"run": run}
    call.show(document, f"question {asked.id}: {answer}; {_what_follows(answer, run, until)}")
    return DONE


async def _first_of_two(call: Call, ledger: Ledger, number: int) -> int:
    asked = await ledger.decisions.one(number)
    until = f"{asked.decision.expires_at:%Y-%m-%d %H:%M} UTC"
    call.show(consent.document(asked), f"question {asked.id}: {consent.one_of_two(asked)}, until {until}")
    return DONE


def _what_follows(answer: str, run: str | None, until: datetime | None) -> str:
    if run:
        return f"run {run} {'goes on' if answer == 'approved' else 'ends'}"
    return f"no run waits for it any more: the next queue run acts on it, until {until:%Y-%m-%d %H:%M} UTC"


async def _found(ledger: Ledger, named: str) -> Asked:
    """The question of that number or run. Raises `ConfigError` where there is none, and names those that are open."""
    found: Asked | None = None
    if named.isdecimal():
        with suppress(ConfigError):
            found = await ledger.decisions.one(int(named))
    else:
        found = await ledger.decisions.of_run(named)
    if found is None:
        now = ledger.now()
        open_ones = [str(each.id) for each in await ledger.decisions.current() if each.is_open(now)]
        raise ConfigError(f"there is no question {named}; open are: {', '.join(open_ones) or 'none'}")
    return found


async def _acting(ledger: Ledger, asked: Asked) -> str | None:
    """The run that acts on the answer, or is alive and waits for it; None where no process does.

    A process that was killed keeps its lease for as long as the configuration says: so long this waits.
    """
    scope = question_scope(asked.id)
    first = (await ledger.leases.live()).get(scope)
    with waiting("the run to act on the answer"):
        while True:
            # In this order: a run enters that it acts, and then gives its lease back.
            lease = (await ledger.leases.live()).get(scope)
            question = (await ledger.decisions.one(asked.id)).question
            if question.used_by or lease is None or first is None:
                return question.used_by
            if lease.expires_at > first.expires_at:
                return question.run_id
            await asyncio.sleep(LOOK_SECONDS)
