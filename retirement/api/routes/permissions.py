"""Permissions: which there are, who has them, and granting them; an entry of the ledger for each change.

Paths, names and statuses are those of Eclipse Che (contract of the services, section C8), which operators of such sites
know: `userId` is `sub` of the provider, `instanceId` the organisation in the domain `organization`.
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from retirement.api.office import LARGEST
from retirement.api.people import Person, as_shown
from retirement.api.permissions import AtGate, allowed, signed_in
from retirement.api.refusals import DoorError, Missing
from retirement.ledger import EVERYTHING, Action, Area, Holder, Permission, Piece
from retirement.privacy import REFUSAL, keepable

router = APIRouter(prefix="/api/permissions", tags=["permissions"])

_Instance = Annotated[str, Query(max_length=255, description="The organisation, in the domain `organization`.")]


class Answer(BaseModel):
    """What is answered, with the words of the contract."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Domain(Answer):
    """A domain, and what can be permitted in it."""

    id: Area
    allowed_actions: Sequence[Action]


class Own(Answer):
    """What the person who asks may do in one place."""

    domain_id: Area
    instance_id: str
    actions: Sequence[Action]


class Granted(Own):
    """What was granted to one person in one place."""

    user_id: str
    issuer: str


class Wanted(BaseModel):
    """What a person is to have in one place from now on; without actions everything there is revoked."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    user_id: str = Field(min_length=1, max_length=255)
    domain_id: Area
    instance_id: str | None = Field(default=None, max_length=255)
    actions: list[Action] = Field(max_length=len(EVERYTHING))
    issuer: str | None = Field(default=None, max_length=2000)


@router.get("", summary="The domains, and what can be permitted in each")
async def domains(_: Annotated[Person, Depends(signed_in)], domain: Area | None = None) -> list[Domain]:
    """All domains, or the one that is named."""
    return [Domain(id=each, allowed_actions=EVERYTHING) for each in Area if domain in (None, each)]


@router.get("/{domain}", summary="What the person who asks may do in a domain")
async def own(
    domain: str, gate: AtGate, person: Annotated[Person, Depends(signed_in)], instance: _Instance = ""
) -> Own:
    """With what their groups have; 404 where they may do nothing there."""
    area = _area(domain)
    _require_instance(area, instance)
    may = await gate.may(person, area, instance)
    if not may:
        raise Missing("nothing is permitted there")
    return Own(domain_id=area, instance_id=instance, actions=[each for each in EVERYTHING if each in may])


@router.get("/{domain}/all", summary="What was granted to all people in a domain")
async def everyone(
    domain: str,
    gate: AtGate,
    _: Annotated[Person, Depends(allowed(Action.SET_PERMISSIONS))],
    instance: _Instance = "",
    max_items: Annotated[int, Query(alias="maxItems", ge=1, le=1000)] = 30,
    skip_count: Annotated[int, Query(alias="skipCount", ge=0, le=LARGEST)] = 0,
) -> list[Granted]:
    """In the order of their issuers and subjects; what groups of the provider have is in the configuration."""
    area = _area(domain)
    _require_instance(area, instance)
    found = await gate.ledger.permissions.all(area, instance, piece=Piece(max_items, skip_count))
    return [_granted(each) for each in found]


@router.post("", status_code=204, summary="Grant permissions to a person, or revoke them")
async def grant(
    wanted: Wanted, gate: AtGate, person: Annotated[Person, Depends(allowed(Action.SET_PERMISSIONS))]
) -> Response:
    """The person has these actions there from now on, and no others; 409 where none could set permissions then."""
    instance = wanted.instance_id or ""
    _require_instance(wanted.domain_id, instance)
    holder = Holder(wanted.issuer or gate.provider.name, as_shown(wanted.user_id))
    if holder.issuer != gate.provider.name:
        raise DoorError("issuer: is no provider of this door")
    with person.acting():
        await gate.ledger.permissions.set(holder, wanted.domain_id, instance, wanted.actions)
    return Response(status_code=204)


def _area(name: str) -> Area:
    try:
        return Area(name)
    except ValueError:
        raise Missing("there is no such domain") from None


def _require_instance(area: Area, instance: str) -> None:
    if (area is Area.ORGANIZATION) != bool(instance):
        raise DoorError(
            "instanceId: name the organisation" if area is Area.ORGANIZATION else "instanceId: the system has none"
        )
    if instance and not keepable(instance):
        raise DoorError(f"instanceId: {REFUSAL}")


def _granted(row: Permission) -> Granted:
    return Granted(
        user_id=row.subject,
        issuer=row.issuer,
        domain_id=Area(row.domain),
        instance_id=row.instance,
        actions=[Action(each) for each in row.actions],
    )
