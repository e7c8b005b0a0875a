"""What queue runs ask, and the answers: the first yes leaves a question open where two different people are needed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from retirement.api.office import InOffice, Number, Typed, as_asked
from retirement.api.people import Person
from retirement.api.permissions import AtGate, Viewer, allowed
from retirement.followup.overview import questions
from retirement.ledger import Action, Said
from retirement.queue import consent

router = APIRouter(prefix="/api/approvals", tags=["approvals"])


class Answer(BaseModel):
    """What a person says; `approver` is their role, and `at_most` learners are retired on a yes."""

    model_config = ConfigDict(extra="forbid")

    answer: Literal["approved", "rejected"]
    approver: Typed
    reason: Typed
    at_most: int | None = Field(default=None, ge=1)


@router.get("", summary="The questions that can be answered, and the answers on which a run may act")
async def open_ones(gate: AtGate, _: Viewer) -> list[dict[str, Any]]:
    """As `questions` of `retirement status --json`."""
    return await questions(gate.ledger)


@router.post("/{question}", summary="Answer what a queue run asks")
async def answer(
    question: Number,
    given: Answer,
    office: InOffice,
    person: Annotated[Person, Depends(allowed(Action.APPROVE))],
) -> dict[str, Any]:
    """As `retirement approve --json`, without waiting for the run; 409 for a late answer, and one person twice."""
    with as_asked(approver=given.approver, reason=given.reason), person.acting():
        async with office.opened() as site:
            asked = await site.ledger.decisions.one(question)
            number = consent.number(asked, given.at_most) if given.answer == "approved" else None
            said = Said(given.answer, given.approver, given.reason, number, "command")
            about = await consent.nameable(site, asked)
            await consent.answered(site.ledger, asked, said, office.configuration.guard, about)
            return consent.document(await site.ledger.decisions.one(question))
