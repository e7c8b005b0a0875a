"""Reports: the page of the day, that of a month, and what course partners were told."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path

from retirement.api.office import InOffice, InPieces, Number, as_asked
from retirement.api.people import Person
from retirement.api.permissions import Action, Area, AtGate, Viewer, allowed
from retirement.api.refusals import Missing
from retirement.ledger import Ledger
from retirement.ledger.deliveries import FileReceipt
from retirement.ledger.tables import Claim
from retirement.reports import listed, month_page
from retirement.reports.month import read_month
from retirement.reports.today import today_of
from retirement.site import ledger_location

router = APIRouter(prefix="/api", tags=["reports"])

_Month = Annotated[str, Path(max_length=20, description="As YYYY-MM.")]
_Reporter = Annotated[Person, Depends(allowed(Action.REPORT))]
_Organization = Annotated[str, Path(max_length=255, description="The organisation, as its courses name it.")]
_OfIt = Annotated[Person, Depends(allowed(Action.REPORT, Area.ORGANIZATION))]


@router.get("/reports/today", summary="The page of the day")
async def today(office: InOffice, _: Viewer) -> dict[str, Any]:
    """As `retirement digest --json`, without files and channels."""
    async with office.opened() as site:
        return (await today_of(office.configuration, site)).document


@router.get("/reports/months/{month}", summary="A month for the record")
async def month(month: _Month, office: InOffice, person: Viewer) -> dict[str, Any]:
    """As `retirement digest --month --json`, without files.

    It is read from the whole ledger, so one is read at a time; 429 for a second one of a person.
    """
    location = ledger_location(office.configuration)
    with as_asked():
        async with office.alone.turn(person):
            found = await asyncio.to_thread(read_month, location, month, datetime.now(UTC), key="month")
    return month_page.document(found)


@router.get("/partner-reports", summary="What course partners were told, the newest first")
async def partner_reports(gate: AtGate, _: _Reporter, rows: InPieces) -> dict[str, Any]:
    """Claims of learners with their files, as `retirement partner-report` has made them; by ids, without contents."""
    found = await gate.ledger.claims.newest(rows.piece)
    return {"reports": await _reports(gate.ledger, rows.of(found)), "more": rows.is_cut(found)}


@router.get("/partner-reports/{claim}", summary="One report to course partners")
async def partner_report(claim: Number, gate: AtGate, _: _Reporter) -> dict[str, Any]:
    """As in the list."""
    found = await gate.ledger.claims.named(claim)
    if found is None:
        raise Missing("there is no such report")
    return (await _reports(gate.ledger, [found]))[0]


@router.get("/organizations/{organization}/partner-reports", summary="The files that name an organisation's learners")
async def of_organization(organization: _Organization, gate: AtGate, _: _OfIt, rows: InPieces) -> dict[str, Any]:
    """The newest first; with how many learners each has, unless it has those of others too, and none of their ids."""
    found = await gate.ledger.deliveries.newest(rows.piece, org=organization)
    return {"files": [listed.file_of(organization, each) for each in rows.of(found)], "more": rows.is_cut(found)}


async def _reports(ledger: Ledger, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    files: dict[int, list[FileReceipt]] = {}
    for each in await ledger.deliveries.find({claim.id for claim in claims}):
        files.setdefault(each.file.claim, []).append(each)
    return [listed.partner_report(claim, files.get(claim.id, ())) for claim in claims]
