"""Holds: registered reasons to keep a learner, or one service's data, until a date."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from retirement import reports
from retirement.api.office import LARGEST, InOffice, InPieces, Number, Typed, as_asked
from retirement.api.people import Person
from retirement.api.permissions import AtGate, Viewer, allowed
from retirement.api.refusals import Conflict
from retirement.ledger import Action
from retirement.ledger.holds import Wanted, nothing_waits

router = APIRouter(prefix="/api/holds", tags=["holds"])

_Holder = Annotated[Person, Depends(allowed(Action.HOLD))]


class NewHold(BaseModel):
    """A hold that is to be placed, on one learner or on the learners of one organisation."""

    model_config = ConfigDict(extra="forbid")

    user_id: int | None = Field(default=None, ge=1, le=LARGEST)
    org: Typed | None = None
    service: str | None = None
    basis: Typed
    until: date
    by: Typed


class Reason(BaseModel):
    """Who answers for an act, by role, and why."""

    model_config = ConfigDict(extra="forbid")

    by: Typed
    reason: Typed


@router.get("", summary="The holds")
async def holds(gate: AtGate, _: Viewer, rows: InPieces, every: bool = False) -> dict[str, Any]:
    """As `retirement hold list --json`; `every`: released and expired ones as well."""
    found = await gate.ledger.holds.find(active_only=not every, piece=rows.piece)
    return {"holds": reports.holds(rows.of(found)), "more": rows.is_cut(found)}


@router.post("", summary="Place a hold", status_code=201)
async def place(given: NewHold, gate: AtGate, office: InOffice, person: _Holder) -> dict[str, int]:
    """As `retirement hold add --json`."""
    with as_asked(basis=given.basis, by=given.by, org=given.org), person.acting():
        wanted = Wanted(given.user_id, given.org, given.service, given.until)
        wanted.require(office.configuration.services, datetime.now(UTC).date())
        number = await gate.ledger.holds.add(
            user_id=given.user_id,
            org=given.org,
            service=given.service,
            basis=given.basis.strip(),
            until=given.until,
            by=given.by,
        )
    return {"hold": number}


@router.post("/{hold}/release", summary="End a hold before its day")
async def release(hold: Number, given: Reason, gate: AtGate, office: InOffice, person: _Holder) -> dict[str, Any]:
    """As `retirement hold release --json`; `released` is false after the first yes where two people are needed."""
    with as_asked(by=given.by, reason=given.reason), person.acting():
        two = office.configuration.guard.two_for_holds
        released = await gate.ledger.holds.release(hold, by=given.by, reason=given.reason, two_people=two)
    return {"hold": hold, "released": released}


@router.post("/{hold}/keep", summary="Say no to the end of a hold")
async def keep(hold: Number, given: Reason, gate: AtGate, person: _Holder) -> dict[str, Any]:
    """As `retirement hold keep --json`; it takes back a yes that waits; 409 where none does."""
    with as_asked(by=given.by, reason=given.reason), person.acting():
        if not await gate.ledger.holds.keep(hold, by=given.by, reason=given.reason):
            raise Conflict(nothing_waits(hold))
    return {"hold": hold, "released": False}
