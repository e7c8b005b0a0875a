"""Runs of the queue, as the ledger has them; Prefect's own pages and API stand behind the door as well."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query

from retirement.api.office import InOffice, InPieces
from retirement.api.people import Person
from retirement.api.permissions import Action, AtGate, Viewer, allowed
from retirement.api.prefect_changes import CANCEL, NOT_OURS
from retirement.api.prefect_rules import OF_FLOWS
from retirement.api.refusals import Forbidden, Missing
from retirement.ledger.passed import Asked
from retirement.reports import listed

router = APIRouter(prefix="/api/runs", tags=["runs"])

_Canceller = Annotated[Person, Depends(allowed(Action.MONITOR))]
_Days = Annotated[int, Query(ge=1, le=3650, description="How far back.")]
_Run = Annotated[str, Path(max_length=100, description="The id of the run in Prefect; of a later try with its number.")]

_NO_RUN = "there is no such run"


@router.get("", summary="The runs of the queue, the newest first")
async def runs(gate: AtGate, _: Viewer, rows: InPieces, days: _Days = 30) -> dict[str, Any]:
    """How deep the queue was, and what became of the batch."""
    found = await gate.ledger.queue_runs.newest(rows.piece, since=gate.ledger.now() - timedelta(days=days))
    return {"runs": [listed.queue_run(each) for each in rows.of(found)], "more": rows.is_cut(found)}


@router.get("/{run}", summary="One run of the queue")
async def one(run: _Run, gate: AtGate, _: Viewer) -> dict[str, Any]:
    """As in the list."""
    found = await gate.ledger.queue_runs.one(run)
    if found is None:
        raise Missing(_NO_RUN)
    return listed.queue_run(found)


@router.post("/{run}/cancel", status_code=202, summary="Cancel a run")
async def cancel(run: _Run, gate: AtGate, office: InOffice, person: _Canceller) -> dict[str, str]:
    """Of the queue, of one learner or of a job: what has begun is ended, and its learners are given back.

    As the button of Prefect's UI; 409 for one that has ended, or is a part of another run.
    """
    try:
        # Of a later try the ledger has the run's id with a number; in Prefect it is the same run.
        asked = UUID(run.partition(":")[0])
    except ValueError:
        raise Missing(_NO_RUN) from None

    async def enter(flow: str) -> None:
        if flow not in OF_FLOWS:
            raise Forbidden(NOT_OURS)
        with person.acting():
            await gate.ledger.passed.enter(Asked(CANCEL, str(asked), flow))

    if not await office.cancel(asked, enter):
        raise Missing(_NO_RUN)
    return {"run": str(asked), "asked": CANCEL}
