"""The door as one ASGI application: its routes, and around them what every request passes first."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from retirement.api.around import App, Around
from retirement.api.gate import Gate
from retirement.api.issuers import issuers_of
from retirement.api.logout import Logouts
from retirement.api.office import Cancel, Office, Schedules
from retirement.api.pace import People
from retirement.api.pages import is_for_people, refusal, sent_to_sign_in
from retirement.api.people import as_shown
from retirement.api.prefect import PrefectBehind
from retirement.api.provider import Pools, Provider
from retirement.api.refusals import NOT_UNDERSTOOD, DoorError
from retirement.api.retirements import Retirements, Sites, Start
from retirement.api.routes import (
    about,
    approvals,
    forward_auth,
    holds,
    learners,
    permissions,
    reports,
    runs,
    sign_in,
    work,
)
from retirement.api.sessions import Sessions
from retirement.api.sign_in import SignIn
from retirement.config import Configuration
from retirement.errors import ConfigError, LedgerError, RetirementError, SamePerson, StateConflict
from retirement.flows.kit.behind import Behind, behind
from retirement.flows.kit.cancelling import cancel_run
from retirement.flows.kit.planned import planned
from retirement.flows.kit.starting import start_learner
from retirement.ledger import EVERYTHING, Area, Holder, Ledger, opened
from retirement.process import acting
from retirement.site import ledger_location, tokens_of
from retirement.site import opened as opened_site
from retirement.wire.passing import Passing
from retirement.wire.pool import pool

logger = logging.getLogger(__name__)

#: Every part of the door, each with its routes; a new one is a file in `retirement/api/routes` and a name here.
ROUTERS: Sequence[APIRouter] = (
    permissions.router,
    learners.router,
    about.router,
    sign_in.router,
    forward_auth.router,
    approvals.router,
    holds.router,
    work.router,
    runs.router,
    reports.router,
)
#: Requests to the provider at the same time.
_AT_ONCE = 4
_pool = partial(pool, at_once=_AT_ONCE)


@asynccontextmanager
async def door(
    configuration: Configuration,
    *,
    pools: Pools = _pool,
    sites: Sites | None = None,
    start: Start = start_learner,
    clock: Callable[[], float] = time.monotonic,
    passing: Passing | None = None,
    where: Callable[[], Behind] = behind,
    schedules: Schedules = planned,
    cancel: Cancel = cancel_run,
) -> AsyncIterator[App]:
    """The door of a site, as an ASGI application, until the block ends. `clock` counts seconds.

    `sites` opens LMS and ledger for one request, by default with one token of the LMS for all of them; `start` starts a
    learner's run, `passing` connects to the Prefect server that is `where`, `schedules` asks it for them, `cancel` has
    it cancel a run. Grants everything to the administrators of the configuration. Raises `ConfigError`.
    """
    settings = configuration.door
    if settings is None:
        raise ConfigError(f"{configuration.source}: door: is missing, so there is no door")
    async with AsyncExitStack() as stack:
        provider = Provider(settings, pools)
        stack.push_async_callback(provider.aclose)
        issuers = issuers_of(configuration, settings, provider, clock)
        try:
            ledger = await stack.enter_async_context(opened(ledger_location(configuration)))
            await _grant_administrators(ledger, issuers.people.name, settings.administrators)
        except LedgerError as error:
            raise ConfigError(f"the door cannot work without the ledger: {error}") from None
        opening = await stack.enter_async_context(_opening(configuration, sites))
        sessions, people = Sessions(settings.session_minutes * 60, clock), People(settings.requests_per_minute, clock)
        gate = Gate(settings, ledger, sessions, issuers, people)
        passing = passing or Passing()
        stack.push_async_callback(passing.aclose)
        app = _application(gate, SignIn(gate, provider, clock), PrefectBehind(gate, passing, where))
        app.state.logouts = Logouts(gate, clock)
        app.state.retirements = Retirements(configuration, opening, start)
        app.state.office = Office(configuration, opening, schedules, cancel)
        yield Around(app, settings)


@asynccontextmanager
async def _opening(configuration: Configuration, given: Sites | None) -> AsyncIterator[Sites]:
    if given is not None:
        yield given
        return
    async with tokens_of(configuration) as tokens:
        yield partial(opened_site, tokens=tokens)


async def _grant_administrators(ledger: Ledger, issuer: str, subjects: Iterable[str]) -> None:
    """As the permission model has it: they are granted when the server starts, whatever was revoked before."""
    with acting("console"):
        for subject in subjects:
            holder = Holder(issuer, as_shown(subject))
            await ledger.permissions.set(holder, Area.SYSTEM, "", EVERYTHING)


def _application(gate: Gate, sign_in_here: SignIn, prefect: App) -> FastAPI:
    app = FastAPI(
        title="Open edX user retirement",
        version=version("openedx-retirement"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # As they are, and not by `include_router`, which makes all of them anew for each application.
        routes=[route for router in ROUTERS for route in router.routes],
    )
    app.state.gate, app.state.sign_in = gate, sign_in_here
    # After the routes: what none of them takes is Prefect's, whose UI has pages at any path.
    app.mount("/", prefect)
    app.add_exception_handler(DoorError, _refused)
    app.add_exception_handler(RetirementError, _failed)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Says to the caller, and in the log, why a request is not done; neither names a person."""
    status, detail = (error.status, error.detail) if isinstance(error, DoorError) else (500, "")
    told, headers = (error.logged, error.headers) if isinstance(error, DoorError) else ("", {})
    logger.warning("refused: %s %s: %s: %s", request.method, _route(request), status, told)
    if is_for_people(request):
        return sent_to_sign_in(request) if status == 401 else refusal(status, detail, headers)
    return JSONResponse({"detail": detail}, status, headers)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """What came of the work behind a route, in its own words, which are safe to show (`retirement.errors`)."""
    status = 409 if isinstance(error, StateConflict | SamePerson) else 503
    logger.warning("failed: %s %s: %s: %s", request.method, _route(request), status, error)
    return JSONResponse({"detail": str(error)}, status)


async def _misunderstood(request: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, without the value that is: it may be anything."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    detail = "; ".join(f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in found)
    logger.warning("refused: %s %s: 400: %s", request.method, _route(request), NOT_UNDERSTOOD)
    return JSONResponse({"detail": detail}, 400)


def _route(request: Request) -> str:
    """The path as a template: values of paths are numbers of learners, and what others have sent."""
    return str(getattr(request.scope.get("route"), "path", "a path"))
