"""Who may do what: the check that every route of the door has, after it has found out who asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Security
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPBearer

from retirement.api.gate import Gate
from retirement.api.people import Person
from retirement.api.refusals import Forbidden, Missing
from retirement.ledger import Action, Area

__all__ = [
    "ORGANIZATION",
    "Action",
    "Area",
    "AtGate",
    "Need",
    "Viewer",
    "Visitor",
    "allowed",
    "gate_of",
    "own_or",
    "signed_in",
]

#: The path parameter in which a route of the area `organization` has the organisation.
ORGANIZATION = "organization"

#: The path parameter in which a route has a learner.
USER_ID = "user_id"
#: Said of a number without a learner, and to a learner of every other one.
NO_LEARNER = "no retirement of this learner is known"

_bearer = HTTPBearer(auto_error=False, description="An access token of the provider, or a learner's of the LMS.")


def gate_of(connection: HTTPConnection) -> Gate:
    """The gate of the door that a request came to."""
    gate: Gate = connection.app.state.gate
    return gate


async def signed_in(connection: HTTPConnection, _: object = Security(_bearer)) -> Person:
    """The person who asks, whatever they may do. Raises `DoorError`."""
    return await gate_of(connection).person(connection)


#: What routes ask for by their parameters.
AtGate = Annotated[Gate, Depends(gate_of)]


class Need:
    """What a route needs, before it is known who asks."""

    def __init__(self, action: Action, domain: Area | str = Area.SYSTEM) -> None:
        self.action, self.area = action, Area(domain)

    @property
    def refusal(self) -> Forbidden:
        """Said to those to whom it is not granted."""
        return Forbidden(f"this needs the permission {self.action.value} in the domain {self.area.value}")


class allowed(Need):  # noqa: N801 - a dependency reads as a word: `Depends(allowed(Action.VIEW))`
    """A dependency that gives the person who asks, and refuses those who may not do this.

    What is granted for the system holds for each organisation. In the area `organization` the route has a path
    parameter of that name.
    """

    async def __call__(self, connection: HTTPConnection, _: object = Security(_bearer)) -> Person:
        """Raises `DoorError`."""
        gate = gate_of(connection)
        person = await gate.person(connection)
        instance = connection.path_params[ORGANIZATION] if self.area is Area.ORGANIZATION else ""
        if not await gate.permits(person, self.action, self.area, instance):
            raise self.refusal
        return person


Viewer = Annotated[Person, Depends(allowed(Action.VIEW))]


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person who asks about a learner; `is_permitted`: as an operator, and else about themself only."""

    person: Person
    is_permitted: bool


class own_or(Need):  # noqa: N801 - as above
    """As `allowed` in the whole system; a learner may as well, where the path's `user_id` is their own.

    Of every other number a learner is told what is told of one that does not exist.
    """

    async def __call__(self, connection: HTTPConnection, _: object = Security(_bearer)) -> Visitor:
        """Raises `DoorError`."""
        gate = gate_of(connection)
        person = await gate.person(connection)
        is_own = person.lms_user_id is not None and connection.path_params[USER_ID] == str(person.lms_user_id)
        is_permitted = await gate.permits(person, self.action)
        if is_own and not is_permitted:
            gate.people.count_own(person.holder)
        if is_own or is_permitted:
            return Visitor(person, is_permitted)
        raise self.refusal if person.lms_user_id is None else Missing(NO_LEARNER)
