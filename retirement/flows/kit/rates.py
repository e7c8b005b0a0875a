"""The limits of services, kept for every process that shares one engine.

A vendor counts requests, not processes. Prefect's global concurrency limits count for all who share its server:
each rate of a connector is one that gives its slots back by time, and `at_once` one whose slots are held and
expire with a lease. They are named `retirement:SERVICE` and `retirement:SERVICE:<request beginning>`, and show
in the UI. Behind them each process keeps the limits for itself, so an engine that refuses or does not answer
makes nothing fail, and nothing faster than one process may be.
"""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import concurrency, rate_limit
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL

from retirement.wire.limits import Limits, Rate

_log = logging.getLogger(__name__)

#: What Prefect does not allow in a name.
_BANNED = re.compile(r"[/%&<>]")
#: Seconds after which a place that a dead process held is free again; a live one renews it.
LEASE_SECONDS = 300.0
#: Limits that this process has made (or been refused), by the engine's address and name: each is asked for once.
_made: dict[tuple[str, str], bool] = {}


def name_of(service: str, beginning: str = "") -> str:
    """What the limit of a service, or of its requests that begin so, is called in the engine."""
    rest = _BANNED.sub(".", beginning.replace(" /", " "))
    return f"retirement:{service}:{rest}" if rest else f"retirement:{service}"


@asynccontextmanager
async def turn(service: str, limits: Limits, request: str) -> AsyncIterator[None]:
    """Waits until no other process of the engine stands in the way; the request counts until the block ends.

    A run whose engine lives in its own process (no PREFECT_API_URL) shares it with no other process, and does not wait.
    """
    engine = PREFECT_API_URL.value()
    if not engine:
        yield
        return
    await _rates(engine, service, limits, request)
    async with _place(engine, service, limits.at_once):
        yield


async def _rates(engine: str, service: str, limits: Limits, request: str) -> None:
    wanted = {name_of(service, beginning): limits.rates[beginning] for beginning in limits.on(request)}
    names = [name for name, rate in wanted.items() if await _exists(engine, name, rate)]
    try:
        # All of them or none, so that no allowance is spent on a request that still has to wait for another.
        await rate_limit(names)
    except Exception as error:  # noqa: BLE001 - whatever the engine says, our own gate keeps the rate
        _log.warning("the rate of %s is not shared now: %s", service, type(error).__name__)


@asynccontextmanager
async def _place(engine: str, service: str, at_once: int | None) -> AsyncIterator[None]:
    """One of the places that a service has for requests at a time; it is not the engine that a request fails by."""
    name = f"{name_of(service)}:at once"
    if not at_once or not await _exists(engine, name, at_once):
        yield
        return
    place = concurrency(name, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False)
    try:
        await place.__aenter__()
    except Exception as error:  # noqa: BLE001 - whatever the engine says, our own gate keeps the places
        _log.warning("the places of %s are not shared now: %s", service, type(error).__name__)
        yield
        return
    try:
        yield
    finally:
        try:
            await place.__aexit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - the request has been made; its place is free with the lease
            _log.warning("a place of %s is given back late: %s", service, type(error).__name__)


async def _exists(engine: str, name: str, limit: Rate | int) -> bool:
    """Makes a limit, or brings it up to date, once in this process; whether the engine has it."""
    if (engine, name) not in _made:
        _made[engine, name] = await _make(name, limit)
    return _made[engine, name]


async def _make(name: str, limit: Rate | int) -> bool:
    slots, decay = (limit.calls, limit.calls / limit.seconds) if isinstance(limit, Rate) else (limit, None)
    try:
        async with get_client() as client:
            await client.upsert_global_concurrency_limit_by_name(name, slots, decay)
    except ObjectAlreadyExists:
        return True  # another process was faster
    except Exception as error:  # noqa: BLE001 - an engine that refuses does not keep learners from being retired
        _log.warning("the limit %s is kept by this process alone: %s", name, type(error).__name__)
        return False
    return True
