"""Signing in and out, for people with a browser."""

from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from retirement.api.gate import Gate
from retirement.api.logout import Logouts
from retirement.api.pages import front
from retirement.api.people import Person
from retirement.api.permissions import AtGate, signed_in
from retirement.api.refusals import DoorError, TooLarge, Unauthenticated
from retirement.api.sign_in import BACK_CHANNEL, CALLBACK, PENDING_SECONDS, SignIn
from retirement.ledger import Area

router = APIRouter(tags=["sign-in"], include_in_schema=False)

#: Bytes of the provider's word that a session has ended.
_LARGEST_FORM = 64 * 1024


def sign_in_of(request: Request) -> SignIn:
    """The sign-ins of the door that a request came to."""
    found: SignIn = request.app.state.sign_in
    return found


def logouts_of(request: Request) -> Logouts:
    """What takes logout tokens at the door that a request came to."""
    found: Logouts = request.app.state.logouts
    return found


_SignIn = Annotated[SignIn, Depends(sign_in_of)]


@router.get("/")
async def welcome(request: Request, gate: AtGate) -> Response:
    """Who is signed in, and where to sign in."""
    try:
        person = await gate.person(request)
    except Unauthenticated:
        return front(None, (), "")
    parts = urlsplit(gate.settings.issuer)
    return front(person, sorted(await gate.may(person, Area.SYSTEM)), f"{parts.scheme}://{parts.netloc}")


@router.get("/sign-in")
async def begin(gate: AtGate, sign_in: _SignIn, next: str = "/") -> Response:  # noqa: A002 - the usual word for it
    """To the provider."""
    place, browser = await sign_in.begin(next)
    response = RedirectResponse(place, 303)
    _set(response, gate, sign_in.cookie, browser, int(PENDING_SECONDS))
    return response


@router.get(CALLBACK)
async def complete(request: Request, gate: AtGate, sign_in: _SignIn) -> Response:
    """Back from the provider."""
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) != len(set(names)):
        raise DoorError("the answer of the provider says something twice")
    address = request.client.host if request.client else ""
    signed = await sign_in.complete(dict(request.query_params), request.cookies.get(sign_in.cookie, ""), address)
    # Who signs in anew has one session, and a copy of the old cookie is good for nothing.
    gate.sessions.end(request.cookies.get(gate.cookie, ""))
    response = RedirectResponse(signed.page, 303)
    _set(response, gate, gate.cookie, signed.cookie, gate.settings.session_minutes * 60)
    _set(response, gate, sign_in.cookie, "", 0)
    return response


@router.post("/sign-out")
async def end(request: Request, gate: AtGate, sign_in: _SignIn, _: Annotated[Person, Depends(signed_in)]) -> Response:
    """Ends the session here, and leads to where the provider ends its own."""
    gate.sessions.end(request.cookies.get(gate.cookie, ""))
    response = RedirectResponse(await sign_in.end_session() or "/", 303)
    _set(response, gate, gate.cookie, "", 0)
    return response


@router.post(BACK_CHANNEL)
async def ended(request: Request, logouts: Annotated[Logouts, Depends(logouts_of)]) -> Response:
    """The provider says that a person has signed out there, or was shut out."""
    body = await request.body()
    if len(body) > _LARGEST_FORM:
        raise TooLarge("a logout token is smaller")
    given = parse_qs(body.decode("ascii", "replace")).get("logout_token", [""])
    try:
        await logouts.end(given[0])
    except Unauthenticated as error:
        raise DoorError(error.detail) from None
    return Response(status_code=200)


def _set(response: Response, gate: Gate, name: str, value: str, seconds: int) -> None:
    """A cookie that scripts do not see, and that pages of other sites do not send with what changes something."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=gate.settings.is_secure, httponly=True, samesite="lax"
    )
