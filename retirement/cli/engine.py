"""Prefect's server as a site's configuration wants it."""

from contextlib import AbstractAsyncContextManager

from retirement.config import Configuration, EngineEvents
from retirement.flows.kit.server import PrefectServer, running


def engine_of(
    configuration: Configuration, port: int | None = None, keep_minutes: float | None = None
) -> AbstractAsyncContextManager[PrefectServer]:
    """The server to work with, as `running` gives it; `keep_minutes` in the place of the configuration's."""
    return running(
        port,
        configuration.engine_retention_days,
        configuration.engine.keep_minutes if keep_minutes is None else keep_minutes,
        every_event=configuration.engine_events is EngineEvents.ALL,
    )
