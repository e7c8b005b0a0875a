"""The work of the site: queue, services with their breakers, receipts."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from retirement.api.office import InOffice, InPieces, Number, Typed, as_asked
from retirement.api.people import Person
from retirement.api.permissions import AtGate, Viewer, allowed
from retirement.api.refusals import Missing
from retirement.followup.confirming import confirm
from retirement.followup.overview import overview, services
from retirement.followup.questions import is_overdue
from retirement.ledger import Action
from retirement.reports import listed

router = APIRouter(prefix="/api", tags=["work"])

_UserId = Annotated[int, Query(ge=1, le=2**31 - 1, description="The LMS' number of a learner.")]


class Breaker(BaseModel):
    """A service that is called no more, or is called again; `by` is the role of the person."""

    model_config = ConfigDict(extra="forbid")

    breaker: Literal["open", "closed"]
    reason: Typed
    by: Typed


class Evidence(BaseModel):
    """What a person has seen of an erasure, such as a ticket; `by` is the role of the person."""

    model_config = ConfigDict(extra="forbid")

    evidence: Typed
    by: Typed


@router.get("/queue", summary="Learners by state, who is late or stuck, and what the ledger has open")
async def queue(office: InOffice, _: Viewer) -> dict[str, Any]:
    """As `retirement status --json`."""
    async with office.opened() as site:
        return await overview(office.configuration, site) | {"schedules": await office.schedules()}


@router.get("/services", summary="Which services are called")
async def all_services(gate: AtGate, office: InOffice, _: Viewer) -> dict[str, Any]:
    """As `retirement status --services --json`."""
    return {"services": await services(office.configuration, gate.ledger)}


@router.put("/services/{service}/breaker", summary="Stop calling a service, or call it again")
async def breaker(
    service: str,
    given: Breaker,
    gate: AtGate,
    office: InOffice,
    person: Annotated[Person, Depends(allowed(Action.MONITOR))],
) -> dict[str, str]:
    """As `retirement breaker open|close --json`."""
    if service not in office.configuration.services:
        raise Missing("there is no such service")
    with as_asked(reason=given.reason, by=given.by), person.acting():
        change = gate.ledger.breakers.open if given.breaker == "open" else gate.ledger.breakers.close
        await change(service, reason=given.reason, by=given.by)
    return {"service": service, "breaker": given.breaker}


@router.get("/receipts", summary="What services have still to confirm")
async def receipts(
    office: InOffice, _: Viewer, rows: InPieces, every: bool = False, user_id: _UserId | None = None
) -> dict[str, Any]:
    """With the words of `retirement verify --json`, and no service is asked; `every`: confirmed ones as well."""
    async with office.opened() as site:
        found = await site.ledger.receipts.asked(rows.piece, user_id=user_id, open_only=not every)
        told = [listed.receipt(each, overdue=is_overdue(site, each)) for each in rows.of(found)]
    return {"receipts": told, "more": rows.is_cut(found)}


@router.post("/receipts/{receipt}/confirmation", summary="Close a receipt by what a person has seen")
async def confirmation(
    receipt: Number, given: Evidence, gate: AtGate, person: Annotated[Person, Depends(allowed(Action.CONFIRM))]
) -> dict[str, Any]:
    """As `retirement confirm --json`."""
    with as_asked(evidence=given.evidence, by=given.by), person.acting():
        return await confirm(gate.ledger, receipt, given.evidence, given.by)
