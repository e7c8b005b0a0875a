"""The door on the network: one task beside the flows of `serve`, which ends with it (docs/decisions/0026)."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn

from retirement.api.app import door
from retirement.api.around import LARGEST_HEADERS, App
from retirement.config import Configuration, DoorSettings
from retirement.errors import ConfigError, Defect

logger = logging.getLogger(__name__)

#: Requests at the same time; further ones are answered 503.
_MOST_REQUESTS = 200
#: Seconds that requests have to end when `serve` does.
_GRACE_SECONDS = 5


@asynccontextmanager
async def listening(configuration: Configuration) -> AsyncIterator[str | None]:
    """Listens as the section `door` says, until the block ends; gives a line that says where.

    Without the section nothing listens, and there is no line. Raises `ConfigError` where the address cannot be had, or
    certificate, keys or ledger are not as they have to be.
    """
    settings = configuration.door
    if settings is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(door(configuration))
        bound = stack.enter_context(_bound(configuration, settings))
        server = uvicorn.Server(_served(configuration, settings, app))
        task = asyncio.create_task(server.serve(sockets=[bound]))
        task.add_done_callback(_tell)
        try:
            yield f"door: {settings.url} (listens at {_shown(settings)}); it asks {settings.issuer} who comes in"
        finally:
            server.should_exit = True
            await asyncio.wait([task])


def _tell(task: "asyncio.Task[None]") -> None:
    """A door that closes by itself does not end the flows, and is not to go unnoticed."""
    if not task.cancelled() and (error := task.exception()):
        logger.error("the door has closed: %s", Defect.at(error))


def _shown(settings: DoorSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


def _bound(configuration: Configuration, settings: DoorSettings) -> socket.socket:
    """A socket at the address. Raises `ConfigError`."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, number)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except BaseException:
            made.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"{configuration.source}: door.port: {_shown(settings)} cannot be listened at ({error.strerror}); give"
            " another door.host or door.port"
        ) from None
    return made


def _served(configuration: Configuration, settings: DoorSettings, app: App) -> uvicorn.Config:
    """How the application is served. Raises `ConfigError` for a certificate that is none."""
    config = uvicorn.Config(
        app,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        # Its parser bounds what comes before a request is one.
        http="h11",
        h11_max_incomplete_event_size=LARGEST_HEADERS,
        limit_concurrency=_MOST_REQUESTS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # What proxies say is read by ourselves, as far as they are trusted.
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        # The words of the library for a key that does not fit, or has a password.
        why = getattr(error, "reason", None) or error.strerror
        raise ConfigError(
            f"{configuration.source}: door.certificate: it cannot be served with ({why}); give certificate and key, in"
            " PEM, without a password"
        ) from None
    return config
