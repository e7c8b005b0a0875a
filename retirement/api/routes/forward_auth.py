"""Forward-auth: a proxy (nginx, Caddy, Traefik) asks whether it may pass a request on to Prefect.

For sites whose Prefect server is on another machine. The proxy shows no body, so what can be looked into only with one
needs every permission but that to grant some; what changes code is refused to all, as at the door itself. A request
that changes something is an entry before the proxy may pass it on.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.requests import HTTPConnection

from retirement.api.around import FORWARDED, SAFE, origin_of, require_origin
from retirement.api.pages import FORWARD_AUTH
from retirement.api.people import Person
from retirement.api.permissions import AtGate, signed_in
from retirement.api.prefect_changes import uuid_of
from retirement.api.prefect_rules import SOCKETS, Kind, Rule, rule_of
from retirement.api.refusals import DoorError, Forbidden
from retirement.ledger import EVERYTHING, Action, Area
from retirement.ledger.passed import UNSEEN, Asked

router = APIRouter(tags=["prefect"])

#: What may be done without a look into the body.
_BLIND = (Kind.PAGE, Kind.SETTINGS, Kind.READ, Kind.TYPED, Kind.PAUSE)
_EVERY = frozenset(each.value for each in EVERYTHING) - {Action.SET_PERMISSIONS.value}


@router.get(FORWARD_AUTH, summary="Whether a proxy may pass a request on to Prefect", status_code=200)
async def forward_auth(request: Request, gate: AtGate, _: Annotated[Person, Depends(signed_in)]) -> Response:
    """200 with who asks, 401 or 403, by `X-Forwarded-Method` and `X-Forwarded-Uri` of a proxy that is trusted."""
    told = request.scope.get(FORWARDED)
    if told is None:
        raise DoorError("only a proxy of door.trusted_proxies asks here")
    method, uri = told.get("method"), told.get("uri")
    if not method or not uri:
        raise DoorError("the proxy does not give X-Forwarded-Method and X-Forwarded-Uri")
    # As it would have come to the door itself: a cookie of a request that changes something needs its page's origin.
    asked = HTTPConnection({**request.scope, "method": method})
    person = await gate.known(asked)
    if method not in SAFE:
        require_origin(asked.headers.get("origin"), origin_of(gate.settings.url))
    path = uri.partition("?")[0]
    rule = None if path in SOCKETS else rule_of(method, path)
    if rule is None:
        raise Forbidden("this is not asked of Prefect through the door")
    may = frozenset(await gate.may(person, Area.SYSTEM))
    if not (rule.permits(may) if rule.kind in _BLIND else may >= _EVERY):
        raise Forbidden(_needs(rule))
    if rule.kind.changes:
        with person.acting():
            await gate.ledger.passed.enter(Asked(rule.kind.value, uuid_of(rule.id), UNSEEN))
    headers = {"X-Retirement-Person": person.named, "X-Retirement-Asks": rule.kind.value}
    return Response(headers=headers)


def _needs(rule: Rule) -> str:
    if rule.kind in _BLIND:
        return "this needs the permission view or monitor in the domain system"
    return "a request whose body is not seen needs every permission but setPermissions in the domain system"
