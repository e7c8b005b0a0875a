"""About the door itself: that it is there, who the caller is to it, and what can be asked."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from retirement.api import pages
from retirement.api.people import Person
from retirement.api.permissions import signed_in

router = APIRouter(tags=["about"])


class Caller(BaseModel):
    """Who asks, as the provider calls them."""

    subject: str
    issuer: str
    channel: str


@router.get("/api/health", summary="Whether the door is there")
async def health() -> dict[str, bool]:
    """Open to all: it says nothing of the site."""
    return {"listening": True}


@router.get("/api/me", summary="Who the caller is")
async def me(person: Annotated[Person, Depends(signed_in)]) -> Caller:
    """What would stand in the ledger, too."""
    return Caller(subject=person.subject, issuer=person.issuer, channel=person.channel)


@router.get("/api", include_in_schema=False)
async def shown(request: Request, _: Annotated[Person, Depends(signed_in)]) -> HTMLResponse:
    """What can be asked, for people."""
    return pages.description(request.app.openapi())


@router.get("/api/openapi.json", summary="What can be asked, for programs")
async def description(request: Request, _: Annotated[Person, Depends(signed_in)]) -> dict[str, Any]:
    """OpenAPI."""
    found: dict[str, Any] = request.app.openapi()
    return found
