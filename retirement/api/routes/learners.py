"""One learner: an operator asks about any, a learner with a token of the LMS about themself."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from retirement.api.office import InOffice, as_asked
from retirement.api.permissions import Action, Visitor, own_or
from retirement.api.refusals import Forbidden
from retirement.api.retirements import Retirements

router = APIRouter(prefix="/api/learners/{user_id}", tags=["learners"])


def retirements_of(request: Request) -> Retirements:
    """The retirements of the door that a request came to."""
    found: Retirements = request.app.state.retirements
    return found


_UserId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The LMS' number of the learner.")]
_Retirements = Annotated[Retirements, Depends(retirements_of)]


@router.get("", summary="Where a learner stands")
async def standing(
    user_id: _UserId, retirements: _Retirements, visitor: Annotated[Visitor, Depends(own_or(Action.VIEW))]
) -> dict[str, Any]:
    """For operators what `retirement status` says; for a learner how far the own request is."""
    if visitor.is_permitted:
        return await retirements.standing(user_id)
    return await retirements.own(user_id)


@router.post("/take-back", status_code=204, summary="Take a request back that has not begun")
async def take_back(
    user_id: _UserId, retirements: _Retirements, visitor: Annotated[Visitor, Depends(own_or(Action.RETIRE))]
) -> Response:
    """The learner keeps the account; 409 where something of it may be erased already."""
    by = "the learner" if visitor.person.lms_user_id == user_id else "an operator"
    with visitor.person.acting():
        await retirements.take_back(user_id, by)
    return Response(status_code=204)


@router.delete("", status_code=204, summary="Start the retirement of a learner")
async def retire(
    user_id: _UserId,
    retirements: _Retirements,
    visitor: Annotated[Visitor, Depends(own_or(Action.RETIRE))],
    before_cool_off: Annotated[
        str | None, Query(min_length=1, max_length=200, description="Why the cool-off is not waited for.")
    ] = None,
) -> Response:
    """Starts the run of a learner who has a request; 409 while the cool-off lasts, which a learner cannot shorten."""
    if before_cool_off is not None and not visitor.is_permitted:
        raise Forbidden("the cool-off is not for the learner to shorten")
    with as_asked(before_cool_off=before_cool_off), visitor.person.acting():
        await retirements.start(user_id, before_cool_off)
    return Response(status_code=204)


@router.get("/certificate", summary="The certificate of a learner's newest retirement")
async def certificate(
    user_id: _UserId,
    retirements: _Retirements,
    office: InOffice,
    visitor: Annotated[Visitor, Depends(own_or(Action.VIEW))],
) -> dict[str, Any]:
    """As `retirement certificate` issues it, signed; it says itself whether it is complete.

    It is proved by the whole ledger, so one is issued at a time; 429 for a second one of a person, and for a learner
    while another one is issued.
    """
    async with office.alone.turn(visitor.person, waits=visitor.is_permitted):
        return dict(await retirements.certificate(user_id))
