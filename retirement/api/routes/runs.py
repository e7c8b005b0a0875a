"""Runs of the queue, as the ledger has them; Prefect's own pages and API stand behind the door as well."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from retirement.api.office import InPieces
from retirement.api.permissions import AtGate, Viewer
from retirement.api.refusals import Missing
from retirement.reports import listed

router = APIRouter(prefix="/api/runs", tags=["runs"])

_Days = Annotated[int, Query(ge=1, le=3650, description="How far back.")]
_Run = Annotated[str, Path(max_length=100, description="The id of the run in Prefect; of a later try with its number.")]


@router.get("", summary="The runs of the queue, the newest first")
async def runs(gate: AtGate, _: Viewer, piece: InPieces, days: _Days = 30) -> dict[str, Any]:
    """How deep the queue was, and what became of the batch."""
    found = await gate.ledger.queue_runs.since(gate.ledger.now() - timedelta(days=days))
    newest = found[::-1]
    return {"runs": [listed.queue_run(each) for each in piece.of(newest)], "more": piece.is_cut(newest)}


@router.get("/{run}", summary="One run of the queue")
async def one(run: _Run, gate: AtGate, _: Viewer) -> dict[str, Any]:
    """As in the list."""
    found = await gate.ledger.queue_runs.one(run)
    if found is None:
        raise Missing("there is no such run")
    return listed.queue_run(found)
